#!/usr/bin/env bash
# Foreign clients of HTTP/2 against a server, its files, echo, proxy and services of gRPC: curl and nghttp, by TLS and in
# clear text; h2load through reloads, drains and connections that end for their age, none of whose requests may fail;
# headless Chromium by TLS, with calls of gRPC-Web by its official client.
#
#   scripts/http2_peers.sh [PROGRAM [RELOADS [DRAINS]]]
#
# Needs the program built: `cargo build --release`, or its path as the first argument; Debian's curl, python3,
# nghttp2-client (nghttp, h2load), chromium, npm; npm's grpc-web, which it puts into a temporary folder. A peer that is not
# there is named and left out, and the exit code is then 3; 1 if something failed.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
    -h | --help) sed -n '2,11s/^# \{0,1\}//p' scripts/http2_peers.sh; exit 0 ;;
esac
program=$(realpath "${1:-target/release/ringway}") reloads=${2:-20} drains=${3:-5}
folder=$(mktemp -d)
server='' behind=()
end() {
    for one in $server "${behind[@]}"; do
        kill "$one" 2>/dev/null || true
    done
    wait 2>/dev/null || true
    rm -rf "$folder"
}
trap end EXIT
for tool in curl python3; do
    command -v $tool >/dev/null || { echo "$tool is not there: apt-get install $tool" >&2; exit 3; }
done
[ -x "$program" ] || { echo "$program is not there: cargo build --release" >&2; exit 3; }
missing=()
# Whether a peer is there; what it is missing is told at the end.
has_tool() {
    command -v "$1" >/dev/null && return 0
    missing+=("$1 (apt-get install $2)")
    return 1
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
clear=$(free_port) tls=$(free_port) old=$(free_port) admin=$(free_port)
behind_ports=("$(free_port)" "$(free_port)")
http=http://localhost:$clear https=https://localhost:$tls
(cd "$folder" && "$program" cert localhost 127.0.0.1 >/dev/null)
www=$folder/www
mkdir "$www"
head -c 3000000 /dev/urandom >"$www/large"
printf 'hello\n' >"$www/small"
for number in {1..50}; do
    printf 'sum += %s;\n' "$number" >"$www/$number.js"
done
# Routes of each listener.
routes() {
    cat <<END
[[listener.route]]
path = "/echo"
echo = true
body_max = "off"
[[listener.route]]
path_prefix = "/proxied/"
proxy = "self"
prefix_rewrite = "/"
body_max = "off"
[[listener.route]]
path_prefix = "/behind/"
proxy = "behind"
prefix_rewrite = "/"
[[listener.route]]
path_prefix = "/ringway.v1.Stream/"
handler = "demo"
grpc_web = true
[[listener.route]]
path_prefix = "/grpc.health.v1.Health/"
handler = "demo"
grpc_web = true
[[listener.route]]
files = "$www"
response_headers.set.x-turn = "$1"
END
}
configure() {
    cat >"$folder/new.toml" <<END
[runtime]
workers = 1
pin = false
shutdown_timeout = "30s"
[admin]
listen = "127.0.0.1:$admin"
[[listener]]
name = "clear"
listen = "127.0.0.1:$clear"
protocol = "http"
keepalive_requests = "off"
$(routes "$1")
[[listener]]
name = "old"
listen = "127.0.0.1:$old"
protocol = "http"
keepalive_requests = "off"
keepalive_max_age = "500ms"
$(routes "$1")
[[listener]]
name = "tls"
listen = "127.0.0.1:$tls"
protocol = "http"
keepalive_requests = "off"
$(routes "$1")
[listener.tls]
certificate = "$folder/server.pem"
key = "$folder/server.key"
[upstream.self]
servers = ["127.0.0.1:$clear"]
protocol = "http2"
[upstream.behind]
servers = ["127.0.0.1:${behind_ports[0]}", "127.0.0.1:${behind_ports[1]}"]
protocol = "http2"
END
    mv "$folder/new.toml" "$folder/a.toml"
}
ask() { curl --silent --show-error --fail --max-time 60 --cacert "$folder/ca.pem" "$@"; }
answers() { ask --retry 200 --retry-connrefused --retry-delay 0 --retry-max-time 20 --output /dev/null "$1/small" 2>>"$folder/log"; }
# One of the servers behind the proxy.
start_behind() {
    cat >"$folder/behind-$1.toml" <<END
[runtime]
workers = 1
pin = false
shutdown_timeout = "30s"
[admin]
enabled = false
[[listener]]
name = "behind"
listen = "127.0.0.1:${behind_ports[$1]}"
protocol = "http"
[[listener.route]]
files = "$www"
END
    "$program" serve --config "$folder/behind-$1.toml" >>"$folder/log" 2>&1 &
    behind[$1]=$!
    answers "http://127.0.0.1:${behind_ports[$1]}"
}
configure 0
"$program" serve --config "$folder/a.toml" >>"$folder/log" 2>&1 &
server=$!
answers "$http"
start_behind 0
start_behind 1

passed=0
check() {
    local name=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        echo "FAILED: $name" >&2
        exit 1
    fi
}
same() { cmp --silent "$1" "$2"; }
has() { grep --quiet --extended-regexp -- "$1" "$2"; }

# curl, which may have been built without HTTP/2.
if curl --version | grep -q HTTP2; then
    for base in "--http2-prior-knowledge $http" "--http2 $https"; do
        read -r version url <<<"$base"
        for path in "" /proxied; do
            told=$(ask "$version" --output "$folder/out" --write-out '%{http_version}' "$url$path/large")
            check "curl: a file from $url$path" same "$folder/out" "$www/large"
            check "curl: HTTP/2 with $url$path" [ "$told" = 2 ]
            ask "$version" --data-binary "@$www/large" "$url$path/echo" >"$folder/out"
            check "curl: a body there and back by $url$path" same "$folder/out" "$www/large"
            ask "$version" --range 1000-1999 "$url$path/large" >"$folder/out"
            check "curl: a range from $url$path" same "$folder/out" <(head -c 2000 "$www/large" | tail -c 1000)
            told=$(ask "$version" --head --output /dev/null --write-out '%{http_code}' "$url$path/large")
            check "curl: a head from $url$path" [ "$told" = 200 ]
            # By prior knowledge, curl 7.88 cannot use a connection twice, whatever the server.
            [ "$url" = "$https" ] || continue
            ask "$version" --no-progress-meter --parallel --parallel-max 50 "$url$path/[1-50].js" >"$folder/out"
            check "curl: 50 at a time from $url$path" [ "$(wc -l <"$folder/out")" = 50 ]
        done
    done
    told=$(ask --http2 --output /dev/null --write-out '%{http_version}' "$http/small")
    check "curl: an upgrade to h2c is ignored" [ "$told" = 1.1 ]
    echo "$(curl --version | head -1 | cut -d' ' -f1-2): $passed checks passed"
else
    missing+=("curl with HTTP/2")
fi

if has_tool nghttp nghttp2-client; then
    before=$passed
    for url in "$http" "$https"; do
        for path in "" /proxied; do
            nghttp --no-verify-peer "$url$path/large" >"$folder/out" 2>/dev/null
            check "nghttp: a file from $url$path" same "$folder/out" "$www/large"
            nghttp --no-verify-peer --data "$www/large" --header ":method: PUT" --trailer "x-sum: 1" "$url$path/echo" \
                >"$folder/out" 2>/dev/null
            check "nghttp: a body with trailers there and back by $url$path" same "$folder/out" "$www/large"
            nghttp --no-verify-peer --null-out --stat --multiply 90 "$url$path/small" >"$folder/out" 2>/dev/null
            check "nghttp: 90 at a time from $url$path" [ "$(grep -c ' 200 .* /.*small$' "$folder/out")" = 90 ]
            nghttp --no-verify-peer --window-bits 10 --connection-window-bits 10 "$url$path/large" >"$folder/out" 2>/dev/null
            check "nghttp: small windows with $url$path" same "$folder/out" "$www/large"
            nghttp --no-verify-peer --continuation --padding 100 --header-table-size 0 "$url$path/small" \
                >"$folder/out" 2>/dev/null
            check "nghttp: CONTINUATION and padding with $url$path" same "$folder/out" "$www/small"
        done
    done
    echo "$(nghttp --version | cut -d' ' -f2): $((passed - before)) checks of nghttp passed"
fi

# None of the requests of a load may fail.
load() {
    h2load --threads 1 --clients 10 --max-concurrent-streams 20 "$@" >"$folder/out" 2>&1 || return 1
    sed -n 's/^requests: //p' "$folder/out"
    has ' 0 failed, 0 errored, 0 timeout$' "$folder/out" && has ', 0 3xx, 0 4xx, 0 5xx$' "$folder/out"
}
if has_tool h2load nghttp2-client; then
    for url in "$http/small" "$https/small" "$http/proxied/small" "$https/proxied/small"; do
        check "h2load: $url" load --requests 50000 "$url"
    done
    check "h2load: bodies" load --requests 2000 --data "$www/50.js" "$http/proxied/echo"
fi

if command -v h2load >/dev/null; then
    # A load that goes on until all is done.
    background() {
        (while [ ! -e "$folder/stop" ]; do load --requests 20000 "$1" || exit 1; done) >"$folder/told" &
        loading=$!
    }
    # Stops the load and says what it was.
    finish() {
        : >"$folder/stop"
        wait "$loading" || { echo "FAILED: $1" >&2; cat "$folder/told" >&2; tail -20 "$folder/out" >&2; exit 1; }
        rm "$folder/stop"
        passed=$((passed + 1))
        awk -v name="$1" '{ sum += $1 } END { print name ": " sum " requests, none failed" }' "$folder/told"
    }
    background "$http/proxied/small"
    for turn in $(seq "$reloads"); do
        sleep 0.2
        configure "$turn"
        kill -HUP "$server"
    done
    until [ "$(ask --head "$http/small" | tr -d '\r' | sed -n 's/^x-turn: //p')" = "$reloads" ]; do sleep 0.05; done
    finish "h2load through $reloads reloads"

    # Connections that end for their age, and are told so in two steps. h2load begins none in their place: what it had
    # begun by then has to be done.
    for _ in {1..5}; do
        load --requests 1000000 "http://localhost:$old/small" >"$folder/told" || true
        told=$(sed -n 's/^.*, \([0-9]*\) started, \1 done, \1 succeeded.*/\1/p' "$folder/told")
        check "h2load: all requests on connections that grow old: $(cat "$folder/told")" [ -n "$told" ]
        echo "h2load with connections that grow old: $told requests were begun, none failed"
    done
    told=$(ask "http://127.0.0.1:$admin/metrics" | sed -n 's/^ringway_http_connections_aged_total{listener="old"} //p')
    check "h2load: connections have grown old" [ "$told" = 50 ]

    # Of two servers behind the proxy, one ends and comes back, and then the other one.
    background "$http/behind/small"
    for turn in $(seq "$drains"); do
        sleep 0.5
        at=$((turn % 2))
        kill -TERM "${behind[at]}"
        wait "${behind[at]}" || { echo "FAILED: a drained process ends in order" >&2; exit 1; }
        start_behind $at
    done
    finish "h2load through $drains drains"
fi

# A page of 50 scripts, which then calls services.
cat >"$www/page.html" <<'END'
<!doctype html>
<title>peers</title>
<pre id="told">nothing</pre>
<script>var sum = 0;</script>
SCRIPTS
<script type="module">
const told = [];
try {
    const entries = performance.getEntriesByType("resource").filter((one) => /\/\d+\.js$/.test(one.name));
    const page = performance.getEntriesByType("navigation")[0].nextHopProtocol;
    const h2 = entries.filter((one) => one.nextHopProtocol === "h2").length;
    told.push(`page by ${page}, ${entries.length} scripts, ${h2} of them by h2, sum ${sum}`);
    const { GrpcWebClientBase, MethodDescriptor, MethodType } = await import("/grpc-web.js");
    const same = (bytes) => bytes;
    const method = (name, type) => new MethodDescriptor(name, type, Uint8Array, Uint8Array, same, same);
    const check = method("/grpc.health.v1.Health/Check", MethodType.UNARY);
    const stream = method("/ringway.v1.Stream/StreamData", MethodType.SERVER_STREAMING);
    const none = method("/ringway.v1.Stream/None", MethodType.UNARY);
    const message = new Uint8Array([8, 7, 18, 5, 104, 101, 108, 108, 111]);
    const call = (client, method, message) =>
        client.unaryCall(location.origin + method.name, message, {}, method).catch((error) => `error ${error.code}`);
    for (const format of ["binary", "text"]) {
        const client = new GrpcWebClientBase({ format });
        told.push(`${format}: health ${await call(client, check, new Uint8Array())}`);
        told.push(`${format}: no such method, ${await call(client, none, message)}`);
        const answers = [];
        const status = await new Promise((done) => {
            const answer = client.serverStreaming(location.origin + stream.name, message, {}, stream);
            answer.on("data", (data) => answers.push(data));
            answer.on("error", (error) => done(`error ${error.code}`));
            answer.on("end", () => done("end"));
        });
        told.push(`${format}: stream ${answers.join(";")} ${status}`);
    }
} catch (error) {
    told.push(`failed: ${error}`);
}
document.getElementById("told").textContent = told.join("\n") + "\nthat is all";
</script>
END
scripts=$(for number in {1..50}; do echo "<script src=\"$number.js\"></script>"; done)
python3 - "$www/page.html" "$scripts" <<'END'
import pathlib, sys
page = pathlib.Path(sys.argv[1])
page.write_text(page.read_text().replace("SCRIPTS", sys.argv[2]))
END
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [ -z "$browser" ]; then
    missing+=("chromium (apt-get install chromium)")
else
    if has_tool npm npm; then
        (cd "$folder" && npm install --silent --no-audit --no-fund --no-save grpc-web >/dev/null 2>&1) &&
            cp "$folder/node_modules/grpc-web/index.esm.js" "$www/grpc-web.js" || missing+=("grpc-web (of npm)")
    fi
    timeout 120 "$browser" --headless --no-sandbox --disable-gpu --ignore-certificate-errors \
        --user-data-dir="$folder/browser" --virtual-time-budget=30000 --dump-dom "$https/page.html" \
        >"$folder/dom" 2>"$folder/browser.log" || { echo "FAILED: the browser" >&2; tail "$folder/browser.log" >&2; exit 1; }
    sed -n '/<pre/,/<\/pre>/{s/<[^>]*>//g; p}' "$folder/dom" >"$folder/page"
    sed 's/^/Chromium: /' "$folder/page"
    told() { check "Chromium: $1" grep --quiet --line-regexp --fixed-strings "$1" "$folder/page"; }
    told "page by h2, 50 scripts, 50 of them by h2, sum 1275"
    if [ -e "$www/grpc-web.js" ]; then
        for format in binary text; do
            told "$format: health 8,1"
            told "$format: no such method, error 12"
            told "$format: stream 8,7,18,5,104,101,108,108,111 end"
        done
    fi
fi

echo "$passed checks passed"
if [ ${#missing[@]} -gt 0 ]; then
    printf 'not there: %s\n' "${missing[@]}" >&2
    exit 3
fi
