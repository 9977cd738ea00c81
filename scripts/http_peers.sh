#!/usr/bin/env bash
# Asks a server of HTTP in every way that curl knows, and checks what comes. Needs Debian's curl and python3, and the
# program built: `cargo build --release`, or its path as the first argument.
set -euo pipefail
cd "$(dirname "$0")/.."

program=${1:-target/release/ringway}
folder=$(mktemp -d)
pid=
end() {
    [ -z "$pid" ] || kill "$pid" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$folder"
}
trap end EXIT
for tool in curl python3; do
    command -v $tool >/dev/null || { echo "$tool is not there: apt-get install $tool" >&2; exit 3; }
done
[ -x "$program" ] || { echo "$program is not there: cargo build --release" >&2; exit 3; }

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkdir "$folder/www"
head -c 300000 /dev/urandom >"$folder/www/large"
printf 'hello, world\n%.0s' {1..500} >"$folder/www/text.txt"
cat >"$folder/a.toml" <<EOF
[runtime]
workers = 1
pin = false
[admin]
enabled = false
[[listener]]
name = "web"
listen = "127.0.0.1:$port"
protocol = "http"
[[listener.route]]
path_prefix = "/proxied/"
proxy = "self"
prefix_rewrite = "/"
[[listener.route]]
path = "/echo"
echo = true
[[listener.route]]
path = "/old"
redirect = "http://\$host:$port/text.txt"
[[listener.route]]
files = "$folder/www"
compress = true
[upstream.self]
servers = ["127.0.0.1:$port"]
EOF
"$program" serve --config "$folder/a.toml" >"$folder/log" 2>&1 &
pid=$!
url="http://127.0.0.1:$port"
ask() { curl --silent --show-error --fail --max-time 20 "$@"; }
ask --retry 50 --retry-connrefused --retry-delay 0 --retry-max-time 10 --output /dev/null "$url/text.txt"

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
status() { [ "$(curl --silent --max-time 20 --output /dev/null --write-out '%{http_code}' "${@:2}")" = "$1" ]; }

for base in "$url" "$url/proxied"; do
    ask "$base/large" >"$folder/out"
    check "a file from $base" same "$folder/out" "$folder/www/large"
    ask --range 1000-1999 "$base/large" >"$folder/out"
    head -c 2000 "$folder/www/large" | tail -c 1000 >"$folder/part"
    check "a range from $base" same "$folder/out" "$folder/part"
    for coding in gzip br zstd identity; do
        curl --version | grep -q "$coding" || [ $coding = gzip ] || [ $coding = identity ] || continue
        ask --compressed --header "accept-encoding: $coding" "$base/text.txt" >"$folder/out"
        check "$coding from $base" same "$folder/out" "$folder/www/text.txt"
    done
    ask --data-binary "@$folder/www/large" "$base/echo" >"$folder/out"
    check "a body there and back by $base" same "$folder/out" "$folder/www/large"
    ask --header "transfer-encoding: chunked" --data-binary "@$folder/www/large" "$base/echo" >"$folder/out"
    check "chunks there and back by $base" same "$folder/out" "$folder/www/large"
    ask --header "expect: 100-continue" --data-binary "@$folder/www/large" "$base/echo" >"$folder/out"
    check "a body after leave by $base" same "$folder/out" "$folder/www/large"
    ask --http1.0 "$base/text.txt" >"$folder/out"
    check "HTTP/1.0 from $base" same "$folder/out" "$folder/www/text.txt"
    ask "$base/text.txt" "$base/text.txt" "$base/text.txt" >"$folder/out"
    cat "$folder/www/text.txt" "$folder/www/text.txt" "$folder/www/text.txt" >"$folder/part"
    check "three on one connection from $base" same "$folder/out" "$folder/part"
    check "a head from $base" status 200 --head "$base/large"
    check "nothing from $base" status 404 "$base/none"
    etag=$(ask --head "$base/large" | tr -d '\r' | sed -n 's/^etag: //p')
    check "not modified from $base" status 304 --header "if-none-match: $etag" "$base/large"
    check "h2c is not spoken by $base" status 200 --http2 "$base/text.txt"
done
ask --location "$url/old" >"$folder/out"
check "a redirect" same "$folder/out" "$folder/www/text.txt"
check "no way out" status 400 --path-as-is "$url/%2e%2e/a.toml"
check "a climb above the root" status 400 --path-as-is "$url/../a.toml"
echo "$(curl --version | head -1 | cut -d' ' -f1-2): $passed checks passed"
