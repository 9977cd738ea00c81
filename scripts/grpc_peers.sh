#!/usr/bin/env bash
# Calls of grpcio, client and server, through two processes of Ringway, which are reloaded 20 times
# and drained and replaced 5 times meanwhile: no call may fail, and statuses are the server's.
#
#   scripts/grpc_peers.sh [RELOADS [DRAINS]]
#
# Needs python3 with venv (Debian's python3-venv), into which it puts PyPI's grpcio, or a python3
# that has it.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
    -h | --help) sed -n '2,8s/^# \{0,1\}//p' scripts/grpc_peers.sh; exit 0 ;;
esac
cargo build --locked --release --quiet --bin ringway
python=${PYTHON:-python3}
if ! "$python" -c 'import grpc' 2>/dev/null; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    python3 -m venv "$folder"
    "$folder/bin/pip" install --quiet grpcio
    python=$folder/bin/python
fi
"$python" scripts/grpc_peers.py target/release/ringway "$@"
