#!/usr/bin/env bash
# Runs one load from two network namespaces by `ringway bench agent`, with TLS and a token, and
# checks that the report has the requests of both.
#
# Usage: scripts/bench_agents.sh [RINGWAY]
# RINGWAY is the program, target/release/ringway by default. Run as root. Needs Debian's packages
# iproute2 and python3, and leaves nothing behind: all is in namespaces of its own.
set -euo pipefail
[ -z "${1:-}" ] || [ ! -e "$1" ] || set -- "$(realpath "$1")"
cd "$(dirname "$0")/.."
case "${1:-}" in -h | --help) sed -n '2,8s/^# \{0,1\}//p' scripts/bench_agents.sh; exit 0 ;; esac

if [ "${RINGWAY_INSIDE:-}" != yes ]; then
    program="$(realpath "${1:-target/release/ringway}")"
    [ -x "$program" ] || { echo "$program is missing: cargo build --release" >&2; exit 2; }
    RINGWAY_INSIDE=yes exec unshare --net --mount --pid --fork --mount-proc \
        scripts/bench_agents.sh "$program"
fi
ringway="$1"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"; kill $(jobs -p) 2>/dev/null || true' EXIT
mkdir -p /run/netns
mount -t tmpfs none /run/netns

# A bridge with the server and the coordinator, and a namespace for each agent.
ip link set lo up
ip link add bridge type bridge
ip address add 10.77.0.1/24 dev bridge
ip link set bridge up
for number in 2 3; do
    ip netns add "agent$number"
    ip link add "port$number" type veth peer name eth0 netns "agent$number"
    ip link set "port$number" master bridge up
    ip -n "agent$number" address add "10.77.0.$number/24" dev eth0
    ip -n "agent$number" link set eth0 up
done

head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$folder/token"
"$ringway" cert 10.77.0.2 10.77.0.3 --out "$folder" >/dev/null
cat >"$folder/server.toml" <<'END'
[admin]
enabled = false
[[listener]]
name = "web"
listen = "10.77.0.1:8080"
protocol = "http"
[[listener.route]]
respond = "hello"
END
"$ringway" serve --config "$folder/server.toml" >/dev/null 2>"$folder/server.log" &
for number in 2 3; do
    ip netns exec "agent$number" "$ringway" bench agent --listen "10.77.0.$number:7600" \
        --token-file "$folder/token" --cert "$folder/server.pem" --key "$folder/server.key" \
        2>"$folder/agent$number.log" &
done
listens() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }
for place in "10.77.0.1 8080" "10.77.0.2 7600" "10.77.0.3 7600"; do
    for _ in $(seq 100); do
        # shellcheck disable=SC2086
        listens $place && break
        sleep 0.05
    done
done
"$ringway" bench http://10.77.0.1:8080/ --connections 40 --rate 4000 --requests 12000 --quiet \
    --agents 10.77.0.2:7600,10.77.0.3:7600 --agents-token-file "$folder/token" \
    --agents-ca "$folder/ca.pem" --json "$folder/run.json"
python3 - "$folder/run.json" <<'END'
import json, sys
run = json.load(open(sys.argv[1]))
counts = run["counts"]
assert counts["completed"] == counts["due"] == 12000, counts
assert counts["connects"] == 40 and not run["errors"], run["errors"]
assert len(run["agents"]) == 2 and all(agent["cpu_seconds"] > 0 for agent in run["agents"])
print("both agents have sent their parts: 12,000 requests, all answered")
END
