#!/usr/bin/env bash
# Builds the extension: {{crate}}.wasm. Needs Python 3.10 or newer with venv, and PyPI the first time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
tools=${COMPONENTIZE_PY:-target/componentize-py-0.25.0}

if [ ! -x "$tools/bin/componentize-py" ]; then
  python3 -m venv "$tools"
  "$tools/bin/pip" install --quiet --disable-pip-version-check componentize-py==0.25.0
fi
"$tools/bin/componentize-py" --quiet --wit-path wit --world capable-datastore \
  componentize --python-path . datastore --output {{crate}}.wasm
python3 stamp.py {{crate}}.wasm
