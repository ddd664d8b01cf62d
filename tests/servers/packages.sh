#!/usr/bin/env bash
# Installs what the tests start, where this is root on Debian or Ubuntu. Does nothing if all of it is there.
set -euo pipefail

missing=()
command -v etcd >/dev/null || missing+=(etcd-server)
command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
command -v faketime >/dev/null || missing+=(faketime)
command -v ip >/dev/null || missing+=(iproute2)
command -v valgrind >/dev/null || missing+=(valgrind)
if [ "${#missing[@]}" = 0 ]; then exit 0; fi

echo "installing for the tests: ${missing[*]}" >&2
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
  echo "that takes root and apt-get" >&2
  exit 1
fi
# Only the programs are wanted: no server is started, no cluster made.
mkdir -p /etc/postgresql-common
[ -e /etc/postgresql-common/createcluster.conf ] ||
  echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
apt=(apt-get -qq -o DPkg::Lock::Timeout=300)
"${apt[@]}" update >&2
"${apt[@]}" install -y --no-install-recommends "${missing[@]}" >&2
