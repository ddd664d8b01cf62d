#!/usr/bin/env bash
# Builds the JavaScript example as a component: build.sh [OUTPUT-FOLDER], by default target/guests.
# Needs Node.js 20 or newer with npm, and the npm registry the first time.
set -euo pipefail

version=0.23.0
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=$here/../../target
tools=$target/componentize/javascript-$version
out=${1:-$target/guests}
mkdir -p "$out" "$tools"
out=$(cd "$out" && pwd)

exec 9>"$tools.lock"
flock 9
modules=$tools/node_modules/@bytecodealliance
if [ ! -e "$tools/complete" ]; then
  npm install --silent --no-audit --no-fund --prefix "$tools" "@bytecodealliance/componentize-js@$version"
  touch "$tools/complete"
fi

built=$out/javascript.wasm
for source in "$here"/*.* "$here"/../../wit/*.wit; do
  [ "$built" -nt "$source" ] || stale=yes
done
[ -n "${stale-}" ] || exit 0

work=$(mktemp -d "$target/componentize/javascript.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/wit/deps"
cp "$here/world.wit" "$work/wit/"
cp -r "$here/../../wit" "$work/wit/deps/datastore"
mv "$work/wit/deps/datastore/deps/"* "$work/wit/deps/"
rmdir "$work/wit/deps/datastore/deps"
cp -r "$modules"/jco/lib/wit/builtin/0.2.12/wasi-{filesystem,io,clocks} "$work/wit/deps/"

"$modules/../.bin/componentize-js" --wit "$work/wit" --world-name extension -o "$work/javascript.wasm" "$here/datastore.js"
cargo build --quiet --locked --manifest-path "$here/../Cargo.toml" --package stamp --target-dir "$target/guest-build/native"
{ printf '{ "packages": [' && cat "$here/package.json" && printf '] }'; } |
  "$target/guest-build/native/debug/stamp" "$work" "$out"
touch "$built"
