#!/usr/bin/env bash
# Builds the Python example as a component: build.sh [OUTPUT-FOLDER], by default target/guests.
# Needs Python 3.10 or newer with venv, and PyPI the first time.
set -euo pipefail

version=0.25.0
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=$here/../../target
tools=$target/componentize/python-$version
out=${1:-$target/guests}
mkdir -p "$out" "$target/componentize"
out=$(cd "$out" && pwd)

exec 9>"$tools.lock"
flock 9
if [ ! -x "$tools/bin/componentize-py" ]; then
  python3 -m venv "$tools"
  "$tools/bin/pip" install --quiet --disable-pip-version-check "componentize-py==$version"
fi

built=$out/python.wasm
for source in "$here"/datastore.py "$here"/build.sh "$here"/../../wit/*.wit; do
  [ "$built" -nt "$source" ] || stale=yes
done
[ -n "${stale-}" ] || exit 0

work=$(mktemp -d "$target/componentize/python.XXXXXX")
trap 'rm -rf "$work"' EXIT
cp "$here/datastore.py" "$work/"
cd "$work"
"$tools/bin/componentize-py" --quiet --wit-path "$here/../../wit" --world capable-datastore \
  componentize --python-path "$work" datastore --output "$work/python.wasm"
cargo build --quiet --locked --manifest-path "$here/../Cargo.toml" --package stamp --target-dir "$target/guest-build/native"
"$target/guest-build/native/debug/stamp" "$work" "$out" <<'METADATA'
{ "packages": [{
  "name": "python",
  "version": "0.1.0",
  "description": "Keeps a cache in sync with a shared folder, in Python",
  "license": "MIT OR Apache-2.0",
  "metadata": { "lockkeeper": { "name": "@lockkeeper/python" } }
}] }
METADATA
touch "$built"
