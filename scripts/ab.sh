#!/usr/bin/env bash
# Compares two revisions of Ringway: the same load on both in turn, and the instructions of a request.
#
#   scripts/ab.sh REV1 REV2 [--rounds N] [--seconds S] [--connections N] [--rate R] [--only WORK]
#                           [--no-instructions]
#
# REV is anything that git knows, or `.` for the working tree as it is. Each is built as a release
# in a worktree of its own under target/ab/, with one target folder, so that dependencies are built
# once. Then both serve at a time, on CPU 0, and `ringway bench ab` of the second revision loads them
# in turn from CPU 1, in changing order, so that what changes on the machine meets both. The verdict
# is on rounds: see docs/bench.md. CPU per request is that of each server's own process.
#
# Works: fixed, proxy (HTTP/1.1), http2, echo (TCP), frame, websocket. Then `benches/instructions`
# counts instructions and allocations of a request by both revisions, which do not depend on the
# machine's load; it needs Debian's packages valgrind and jq, and is left out with --no-instructions.
#
# Needs two CPUs, python3, and util-linux's taskset. REV2 makes the load, and has to have
# `bench ab --server-pids`: name the older revision first. Both have to read the configuration below.
# S is a whole number of seconds.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '2,20s/^# \{0,1\}//p' "scripts/ab.sh"; }
wrong() { echo "ab.sh: $1" >&2; usage >&2; exit 2; }

revisions=() rounds=6 seconds=2 connections=64 rate="" only="" instructions=yes
while [ $# -gt 0 ]; do
    case "$1" in
        --rounds | --seconds | --connections | --rate | --only)
            [ $# -gt 1 ] || wrong "$1 needs a value"
            declare "${1#--}=$2"
            shift
            ;;
        --no-instructions) instructions=no ;;
        -h | --help) usage; exit 0 ;;
        -*) wrong "$1 is unknown" ;;
        *) revisions+=("$1") ;;
    esac
    shift
done
[ "${#revisions[@]}" -eq 2 ] || wrong "two revisions are compared"
for number in rounds seconds connections; do
    [[ "${!number}" =~ ^[1-9][0-9]*$ ]] || wrong "--$number takes a whole number"
done
[ "$rounds" -ge 3 ] || wrong "--rounds is at least 3"
works=(fixed proxy http2 echo frame websocket)
if [ -n "$only" ]; then
    [[ " ${works[*]} " == *" $only "* ]] || wrong "$only is no work: there are ${works[*]}"
    works=("$only")
fi
missing=()
for program in python3 taskset $([ "$instructions" = no ] || echo valgrind jq); do
    command -v "$program" >/dev/null && continue
    case "$program" in
        taskset) missing+=(util-linux) ;;
        *) missing+=("$program") ;;
    esac
done
if [ "${#missing[@]}" -gt 0 ]; then
    echo "missing; install with: apt-get install ${missing[*]}" >&2
    exit 2
fi

folder="$PWD/target/ab"
mkdir -p "$folder"
run="$(mktemp -d)"
servers=()
clean() {
    git worktree remove --force "$folder/worktree" 2>/dev/null || rm -rf "$folder/worktree"
    [ "${#servers[@]}" -eq 0 ] || kill "${servers[@]}" 2>/dev/null || true
    rm -rf "$run"
}
trap clean EXIT

# shellcheck source=scripts/count_instructions.sh
. scripts/count_instructions.sh

# Builds a revision; its programs are then $folder/NUMBER.ringway and $folder/NUMBER.instructions.
build() {
    local number="$1" revision="$2" place="$PWD"
    if [ "$revision" != . ]; then
        revision="$(git rev-parse --verify --quiet "$revision^{commit}")" || wrong "$2 is no revision"
        place="$folder/worktree"
        git worktree remove --force "$place" 2>/dev/null || true
        git worktree add --quiet --force --detach "$place" "$revision"
    fi
    echo "building $2" >&2
    (
        cd "$place"
        export CARGO_TARGET_DIR="$folder/target"
        cargo build --release --locked --quiet
        cp "$CARGO_TARGET_DIR/release/ringway" "$folder/$number.ringway"
        if [ "$instructions" = yes ]; then
            cp "$(instructions_program --release --quiet)" "$folder/$number.instructions"
        fi
    )
    [ "$place" = "$PWD" ] || git worktree remove --force "$place"
    # Programs of older revisions look for the folder in which they were built.
    mkdir -p "$folder/worktree"
}

# The head of a configuration, with a listener of HTTP on a port.
web() {
    cat <<END
[runtime]
workers = 1
pin = false
[admin]
enabled = false
[[listener]]
name = "web"
listen = "127.0.0.1:$1"
protocol = "http"
keepalive_requests = "off"
END
}

# The configuration of all works, on a port for HTTP, one for the echo and one for frames.
configuration() {
    web "$1"
    cat <<END
[[listener.route]]
path = "/fixed"
respond = "hello, world"
[[listener.route]]
path = "/echo"
websocket = { service = "echo" }
[[listener.route]]
proxy = "behind"
[upstream.behind]
servers = ["127.0.0.1:$upstream"]
[[listener]]
name = "echo"
listen = "127.0.0.1:$2"
protocol = "echo"
[[listener]]
name = "frame"
listen = "127.0.0.1:$3"
protocol = "frame"
END
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Starts a server on a CPU, and waits until it listens.
serve() {
    local cpu="$1" program="$2" file="$3" port="$4"
    taskset -c "$cpu" "$program" serve --config "$file" >/dev/null 2>"$file.log" &
    servers+=($!)
    for _ in $(seq 200); do
        listens "$port" && return
        sleep 0.05
    done
    echo "a server does not listen on port $port: " >&2
    cat "$file.log" >&2
    exit 1
}

build 1 "${revisions[0]}"
build 2 "${revisions[1]}"

read -r upstream first second echo1 echo2 frame1 frame2 < <(python3 -c '
import socket
sockets = [socket.socket() for _ in range(7)]
for one in sockets:
    one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in sockets))')
{
    web "$upstream"
    printf '[[listener.route]]\nrespond = "hello, world"\n'
} >"$run/upstream.toml"
configuration "$first" "$echo1" "$frame1" >"$run/1.toml"
configuration "$second" "$echo2" "$frame2" >"$run/2.toml"
serve 1 "$folder/2.ringway" "$run/upstream.toml" "$upstream"
serve 0 "$folder/1.ringway" "$run/1.toml" "$first"
serve 0 "$folder/2.ringway" "$run/2.toml" "$second"
pids=("${servers[1]}" "${servers[2]}")

for work in "${works[@]}"; do
    more=()
    case "$work" in
        fixed) urls=("http://127.0.0.1:$first/fixed" "http://127.0.0.1:$second/fixed") ;;
        proxy) urls=("http://127.0.0.1:$first/" "http://127.0.0.1:$second/") ;;
        http2) urls=("h2://127.0.0.1:$first/fixed" "h2://127.0.0.1:$second/fixed") more=(--streams 16) ;;
        echo) urls=("tcp://127.0.0.1:$echo1" "tcp://127.0.0.1:$echo2") ;;
        frame) urls=("frame://127.0.0.1:$frame1" "frame://127.0.0.1:$frame2") ;;
        websocket) urls=("ws://127.0.0.1:$first/echo" "ws://127.0.0.1:$second/echo") ;;
    esac
    [ -z "$rate" ] || more+=(--rate "$rate")
    printf '\n== %s: %s is first, %s second\n' "$work" "${revisions[0]}" "${revisions[1]}"
    taskset -c 1 "$folder/2.ringway" bench ab "${urls[@]}" --rounds "$rounds" \
        --duration "${seconds}s" --warm-up 200ms --connections "$connections" --quiet \
        --server-pids "${pids[0]},${pids[1]}" "${more[@]}"
done

[ "$instructions" = yes ] || exit 0
printf '\n== instructions and allocations of a request, 64 connections\n'
printf '| scenario | %s | %s | ratio | allocations |\n| --- | ---: | ---: | ---: | ---: |\n' "${revisions[@]}"
for scenario in fixed file proxy http2 relay frame; do
    if one="$(count "$folder/1.instructions" "$scenario" 64 50 "$run")" \
        && other="$(count "$folder/2.instructions" "$scenario" 64 50 "$run")"; then
        awk -v s="$scenario" -v a="$one" -v b="$other" 'BEGIN {
            split(a, x, " "); split(b, y, " ")
            printf "| %s | %d | %d | %.3f | %s to %s |\n", s, x[1], y[1], y[1] / x[1], x[2], y[2]
        }'
    elif grep -q '^usage:' "$run/log"; then
        # A revision may lack a scenario.
        echo "| $scenario | not in both | | | |"
    else
        count_failed "$scenario" "$run"
    fi
done
