#!/usr/bin/env bash
# Foreign peers of WebSocket: PyPI's websockets, npm's ws and Gorilla's websocket (Go). Each is a client of the endpoints
# (echo and topics, by TLS and without, compressed with context takeover, without it, and not at all), a client of the proxy
# and a server behind it, and a server of `ringway connect`. By HTTP/2 (RFC 8441), they go through a bridge that is written
# with PyPI's h2, and the proxy asks a server of HTTP/2 for them as well.
#
#   scripts/websocket_peers.sh [PROGRAM]
#
# PROGRAM is target/release/ringway or target/debug/ringway by default. Prints a line for each check, and their number.
# Needs Debian's python3 and python3-venv, nodejs and npm, golang-go and golang-github-gorilla-websocket-dev; what is not
# Debian's is put into target/websocket_peers. A peer that is not there is named, and the others run.
#
# Exit codes: 0 all as it should be, 1 something is not, 3 a peer or the program is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
    -h | --help) sed -n '2,14s/^# \{0,1\}//p' scripts/websocket_peers.sh; exit 0 ;;
esac
target=${CARGO_TARGET_DIR:-target}
program=${1:-}
for built in "$target/release/ringway" "$target/debug/ringway"; do
    [ -n "$program" ] || [ ! -x "$built" ] || program=$built
done
[ -x "$program" ] || { echo "${program:-ringway} is not there: cargo build --release" >&2; exit 3; }
program=$(realpath "$program")
command -v python3 >/dev/null || { echo "missing; install with: apt-get install python3 python3-venv" >&2; exit 3; }
mkdir -p "$target/websocket_peers"
home=$(realpath "$target/websocket_peers") here=$(realpath scripts/websocket_peers)
folder=$(mktemp -d)
pids=()
end() {
    [ "${#pids[@]}" -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$folder"
}
trap end EXIT

# Which peers there are: each has a function of its name that runs it.
peers=() missing=()
python() { exec "$home/venv/bin/python" "$here/peer.py" "$@"; }
node() { NODE_PATH=$home/node_modules exec node "$here/peer.js" "$@"; }
go() { exec "$home/peer-go" "$@"; }
set_up_python() {
    [ ! -e "$home/venv/ready" ] || return 0
    rm -rf "$home/venv"
    python3 -m venv "$home/venv" && "$home/venv/bin/pip" install --quiet websockets==15.0.1 h2==4.2.0 && touch "$home/venv/ready"
}
set_up_node() {
    command -v npm >/dev/null && type -P node >/dev/null || return 1
    [ -e "$home/node_modules/ws" ] || npm install --silent --no-package-lock --prefix "$home" ws@8.18.3
}
set_up_go() {
    GO111MODULE=off GOPATH=/usr/share/gocode GOFLAGS='' "$(type -P go || echo false)" build -o "$home/peer-go" "$here/peer.go"
}
needs() {
    case "$1" in
        python) echo "Python websockets: apt-get install python3-venv, and PyPI" ;;
        node) echo "Node ws: apt-get install nodejs npm, and npm's registry" ;;
        go) echo "Go gorilla/websocket: apt-get install golang-go golang-github-gorilla-websocket-dev" ;;
    esac
}
for peer in python node go; do
    if "set_up_$peer" >"$folder/log" 2>&1; then peers+=("$peer"); else missing+=("$(needs $peer)"); cat "$folder/log" >&2; fi
done

passed=0 failed=0
# Counts a check of this script: NAME COMMAND...
check() {
    local name=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
        echo "ok      $name"
    else
        failed=$((failed + 1))
        echo "FAILED  $name"
    fi
}
# Runs a client, which prints a line for each check: PEER URL LABEL OPTIONS
client() {
    local peer=$1 ended=0
    shift
    ("$peer" client "$@") >"$folder/out" 2>"$folder/log" || ended=$?
    grep -v '^done$' "$folder/out" || true
    passed=$((passed + $(grep -c '^ok ' "$folder/out" || true)))
    failed=$((failed + $(grep -c '^FAILED ' "$folder/out" || true)))
    if [ "$ended" != 0 ] || [ "$(tail -1 "$folder/out")" != "done" ]; then
        failed=$((failed + 1))
        echo "FAILED  $2: the client ended with $ended: $(tail -1 "$folder/log")"
    fi
}
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
has() { grep --quiet --ignore-case --extended-regexp -- "$1" "$2"; }
lacks() { ! has "$@"; }
# Waits until a command holds, up to 20 s.
until_holds() {
    for _ in {1..400}; do
        if "$@" 2>/dev/null; then return 0; fi
        sleep 0.05
    done
    return 1
}
listens() { (: <"/dev/tcp/127.0.0.1/$1"); }

# The servers behind the proxy echo; at a text `ping` they send a ping, and `pong from server` when it is answered; at
# `fragments` a text in several frames; at `close CODE REASON` that close frame. They print which close frame they got.
declare -A behind=()
for peer in ${peers[@]+"${peers[@]}"}; do
    for kind in plain deflate; do
        behind[$peer-$kind]=$(free_port)
        ("$peer" server "${behind[$peer-$kind]}" $kind) >"$folder/$peer-$kind" 2>&1 &
        pids+=($!)
    done
done
ws=$(free_port) wss=$(free_port) bridge=$(free_port)
endpoint='service = "echo", message_max = "1MiB", deflate_min = "0B", subprotocols = ["chat.v1"]'
routes() {
    cat <<END
[[listener.route]]
path = "/echo"
websocket = { $endpoint }
[[listener.route]]
path = "/plain"
websocket = { $endpoint, deflate = false }
[[listener.route]]
path = "/takeover"
websocket = { $endpoint, deflate_takeover = true }
[[listener.route]]
path = "/topics"
websocket = { service = "topics", topics = "all", deflate_min = "0B" }
[[listener.route]]
path_prefix = "/http2/"
prefix_rewrite = "/"
proxy = "self"
END
    for name in ${behind[@]+"${!behind[@]}"}; do
        printf '[[listener.route]]\npath = "/%s"\nproxy = "%s"\n' "$name" "$name"
    done
}
{
    cat <<END
[runtime]
workers = 2
pin = false
[admin]
enabled = false
[topics.all]
[[listener]]
name = "ws"
listen = "127.0.0.1:$ws"
protocol = "http"
$(routes)
[[listener]]
name = "wss"
listen = "127.0.0.1:$wss"
protocol = "http"
$(routes)
[listener.tls]
certificate = "self_signed"
key = "self_signed"
[upstream.self]
servers = ["127.0.0.1:$ws"]
protocol = "http2"
END
    for name in ${behind[@]+"${!behind[@]}"}; do
        printf '[upstream.%s]\nservers = ["127.0.0.1:%s"]\n' "$name" "${behind[$name]}"
    done
} >"$folder/a.toml"
"$program" serve --config "$folder/a.toml" >"$folder/server" 2>&1 &
server=$!
pids+=("$server")
until_holds listens "$wss" || { cat "$folder/server" >&2; echo "FAILED  the server does not start" >&2; exit 1; }
for name in ${behind[@]+"${!behind[@]}"}; do
    until_holds listens "${behind[$name]}" || { cat "$folder/$name" >&2; echo "FAILED  $name does not start" >&2; exit 1; }
done
bases=("ws://localhost:$ws" "wss://localhost:$wss")
if [ -e "$home/venv/ready" ]; then
    (python bridge "$bridge" "$ws") >"$folder/bridge" 2>&1 &
    pids+=($!)
    until_holds listens "$bridge" && bases+=("h2://localhost:$bridge")
fi

for peer in ${peers[@]+"${peers[@]}"}; do
    for base in "${bases[@]}"; do
        by=${base%%:*} url=${base/#h2:/ws:}
        client "$peer" "$url/echo" "$peer to echo, $by, not compressed" endpoint
        client "$peer" "$url/echo" "$peer to echo, $by, compressed" "endpoint deflate"
        client "$peer" "$url/takeover" "$peer to echo, $by, with takeover" "endpoint deflate takeover"
        # What the client offers, and the endpoint declines.
        client "$peer" "$url/plain" "$peer to echo, $by, compression declined" "endpoint declined"
        client "$peer" "$url/topics" "$peer to topics, $by" "topics deflate"
        client "$peer" "$url/http2/takeover" "$peer to echo, $by, proxied by HTTP/2" "endpoint deflate takeover"
        for other in "${peers[@]}"; do
            client "$peer" "$url/$other-plain" "$peer to $other by the proxy, $by, not compressed" proxied
            client "$peer" "$url/$other-deflate" "$peer to $other by the proxy, $by, compressed" "proxied deflate"
            client "$peer" "$url/http2/$other-deflate" "$peer to $other by two proxies, $by, HTTP/2" "proxied deflate"
        done
    done
done
for name in ${behind[@]+"${!behind[@]}"}; do
    check "$name got the close frames of clients by the proxy" until_holds has '^closed 4321 done hère' "$folder/$name"
done

# Our client. Its input ends when the answers are there: LINES OPTIONS... URL; input and output are the files `in` and `out`.
enough() { [ "$(wc -c <"$folder/out")" -ge "$1" ]; }
connect() {
    local size=$1
    shift
    : >"$folder/out"
    : >"$folder/told"
    { cat "$folder/in"; until_holds "${wait_for:-enough}" "$size" || true; } |
        timeout 60 "$program" connect "$@" >"$folder/out" 2>"$folder/told"
}
was_told() { has closed "$folder/told"; }
same_lines() { connect "$(wc -c <"$folder/in")" "$@" && cmp --silent "$folder/in" "$folder/out"; }
prints() {
    printf '%s\n' "$1" >"$folder/in"
    printf '%s\n' "$2" >"$folder/expected"
    shift 2
    connect "$(wc -c <"$folder/expected")" "$@" && cmp --silent "$folder/expected" "$folder/out"
}
closes_with() {
    printf 'close 4444 that is äll\n' >"$folder/in"
    # The input does not end before the client has told how it ended.
    ! wait_for=was_told connect 0 "$@" && has '4444.*that is äll' "$folder/told"
}
for name in ${behind[@]+"${!behind[@]}"}; do
    url=ws://127.0.0.1:${behind[$name]}/
    for option in --verbose --no-deflate; do
        label="ringway connect $option to $name" verbose=--verbose
        [ "$option" != --verbose ] || verbose=''
        { printf 'text\n\ngrüße, 世界 🌍\n'; seq -f 'message %g of those that repeat' 200; } >"$folder/in"
        check "$label: lines" same_lines $option "$url"
        case "$name$option" in
            *-deflate--verbose) check "$label: compression" has permessage-deflate "$folder/told" ;;
            *--verbose) check "$label: no compression" lacks permessage-deflate "$folder/told" ;;
        esac
        python3 -c 'print("sixteen letters." * (1 << 16 ))' >"$folder/in"
        check "$label: 1 MiB" same_lines $option "$url"
        head -c 1048576 /dev/urandom >"$folder/in"
        check "$label: bytes" same_lines $option --binary "$url"
        check "$label: a ping of the server" prints ping "pong from server" $option "$url"
        check "$label: fragments" prints fragments "$(python3 -c 'print("fragment " * 3000)')" $option "$url"
        check "$label: closed by the server" closes_with $option "$url"
        check "$label: a close code" prints x x $option --close-code 4002 "$url"
        check "$label: a close code came" until_holds has '^closed 4002' "$folder/$name"
        check "$label: a subprotocol" prints x x $verbose $option --subprotocol none.v9 --subprotocol chat.v1 "$url"
        check "$label: a subprotocol was told" has 'sec-websocket-protocol: chat.v1' "$folder/told"
    done
done
check "the server is still there" kill -0 "$server"
check "the server did not panic" lacks panicked "$folder/server"

echo "$((passed + failed)) checks: $passed passed, $failed failed"
for peer in ${missing[@]+"${missing[@]}"}; do echo "missing: $peer" >&2; done
[ "$failed" -eq 0 ] || exit 1
[ "${#missing[@]}" -eq 0 ] || exit 3
