#!/usr/bin/env bash
# Makes target/servers, a Python environment with the servers that the tests start. Does nothing if it is up to date.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

wanted=tests/servers/requirements.txt
made=target/servers
mkdir -p target

# One at a time: the loser finds it made.
exec 9>target/servers.lock
if command -v flock >/dev/null; then flock 9; fi

if cmp -s "$wanted" "$made/requirements.txt"; then exit 0; fi
echo "making $made, once" >&2
rm -rf "$made"
python3 -m venv "$made"
"$made/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted"
# Last, so that a half-made one is made anew.
cp "$wanted" "$made/requirements.txt"
