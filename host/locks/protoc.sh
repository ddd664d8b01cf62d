#!/usr/bin/env bash
# Runs the protoc that is installed. Where there is none, root on Debian or Ubuntu gets it from the system's packages.
set -euo pipefail

if ! command -v protoc >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt=(apt-get -qq -o DPkg::Lock::Timeout=300)
    "${apt[@]}" install -y --no-install-recommends protobuf-compiler libprotobuf-dev >&2 ||
      { "${apt[@]}" update >&2 && "${apt[@]}" install -y --no-install-recommends protobuf-compiler libprotobuf-dev >&2; }
  else
    echo "protoc is not installed; the client of etcd needs it to be built (Debian: protobuf-compiler libprotobuf-dev)" >&2
    exit 1
  fi
fi
exec protoc "$@"
