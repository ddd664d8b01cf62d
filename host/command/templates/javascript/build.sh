#!/usr/bin/env bash
# Builds the extension: {{crate}}.wasm. Needs Node.js 20 or newer with npm, and the npm registry the first time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
tools=${COMPONENTIZE_JS:-.}

if [ ! -e "$tools/node_modules/.bin/componentize-js" ]; then
  npm install --silent --no-audit --no-fund --prefix "$tools"
fi
mkdir -p target
rm -rf target/wit
cp -r wit target/wit
cp -r "$tools"/node_modules/@bytecodealliance/jco/lib/wit/builtin/0.2.12/wasi-{filesystem,io,clocks} target/wit/deps/
"$tools/node_modules/.bin/componentize-js" --wit target/wit --world-name extension -o {{crate}}.wasm datastore.js
node stamp.js {{crate}}.wasm
