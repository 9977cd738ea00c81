#!/usr/bin/env bash
# Serves under docs/ringway-seccomp.json as a container runtime would filter it: files, a listing,
# TLS, a proxy, datagrams, metrics and a reload, by io_uring and by epoll.
#
#   scripts/sandbox.sh [PROGRAM]      by default a build of this tree
#
# Needs Debian's packages python3 and python3-seccomp, and Linux with seccomp.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
    -h | --help) sed -n '2,7s/^# \{0,1\}//p' scripts/sandbox.sh; exit 0 ;;
esac
# Debian's own Python has its packages.
python=/usr/bin/python3
if ! "$python" -c 'import seccomp' 2>/dev/null; then
    echo "missing; install with: apt-get install python3 python3-seccomp" >&2
    exit 2
fi
program=${1:-target/debug/ringway}
[ $# -gt 0 ] || cargo build --locked --quiet --bin ringway
exec "$python" scripts/sandbox.py "$program"
