#!/usr/bin/env bash
# Reloads a large configuration again and again while requests come, and prints what that costs:
# how long a reload takes, the longest turn of a worker, requests that failed, and latencies with
# reloads and without.
#
#   scripts/reload.sh [--seconds S] [--every SECONDS] [--routes N] [--servers N] [--rate N]
#
# By default 60 s without reloads and 60 s with one every 0.1 s, of 10,000 routes and an upstream
# of 10,000 servers; each reload changes routes and servers. Requests follow each other as fast as
# they are answered; with --rate, there are so many a second, so that a machine of two cores has
# time for the reloads, too. Needs Debian's packages wrk and python3, or nghttp2-client with --rate.
# docs/reload.md has figures.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
    -h | --help) sed -n '2,13s/^# \{0,1\}//p' scripts/reload.sh; exit 0 ;;
esac
missing=()
load=wrk
[[ " $* " == *" --rate "* ]] && load=h2load
for program in "$load" python3; do
    command -v "$program" >/dev/null && continue
    [ "$program" = h2load ] && program=nghttp2-client
    missing+=("$program")
done
if [ "${#missing[@]}" -gt 0 ]; then
    echo "missing; install with: apt-get install ${missing[*]}" >&2
    exit 2
fi
ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"
cargo build --locked --release --quiet --bin ringway
exec python3 scripts/reload.py target/release/ringway "$@"
