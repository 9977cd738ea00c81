#!/usr/bin/env bash
# Speaks TLS to a server with curl and openssl, and lets the proxy speak to openssl's server. Needs Debian's curl and
# openssl, and the program built: `cargo build --release`, or its path as the first argument. With testssl.sh (Debian's
# package of that name), `scripts/tls_peers.sh PROGRAM testssl` grades the default configuration, too.
set -euo pipefail
cd "$(dirname "$0")/.."

program=$(realpath "${1:-target/release/ringway}")
folder=$(mktemp -d)
pids=()
end() {
    [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$folder"
}
trap end EXIT
for tool in curl openssl python3; do
    command -v $tool >/dev/null || { echo "$tool is not there: apt-get install $tool" >&2; exit 3; }
done
[ -x "$program" ] || { echo "$program is not there: cargo build --release" >&2; exit 3; }

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
https=$(free_port) proxy=$(free_port) other=$(free_port)
(cd "$folder" && "$program" cert localhost 127.0.0.1 >/dev/null)
mkdir "$folder/www"
head -c 3000000 /dev/urandom >"$folder/www/large"
cat >"$folder/a.toml" <<EOF
[runtime]
workers = 1
pin = false
[admin]
enabled = false
[[listener]]
name = "https"
listen = "127.0.0.1:$https"
protocol = "http"
[[listener.route]]
path = "/echo"
echo = true
[[listener.route]]
path_prefix = "/other/"
prefix_rewrite = "/"
proxy = "other"
[[listener.route]]
files = "$folder/www"
[listener.tls]
certificate = "$folder/server.pem"
key = "$folder/server.key"
[[listener]]
name = "proxy"
listen = "127.0.0.1:$proxy"
protocol = "tcp"
upstream = "https"
[upstream.https]
servers = ["127.0.0.1:$https"]
[upstream.https.tls]
ca = "$folder/ca.pem"
[upstream.other]
servers = ["127.0.0.1:$other"]
[upstream.other.tls]
ca = "$folder/ca.pem"
server_name = "localhost"
EOF
"$program" check --config "$folder/a.toml" >/dev/null
"$program" serve --config "$folder/a.toml" >"$folder/log" 2>&1 &
pids+=($!)
(cd "$folder/www" && exec openssl s_server -accept "$other" -cert ../server.pem -key ../server.key -WWW -quiet) \
    >"$folder/other.log" 2>&1 &
pids+=($!)

ask() { curl --silent --show-error --fail --max-time 20 --cacert "$folder/ca.pem" "$@"; }
ask --retry 50 --retry-connrefused --retry-delay 0 --retry-max-time 10 --output /dev/null "https://localhost:$https/large"
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
fails() { ! "$@" >/dev/null 2>&1; }
has() { grep --quiet -- "$1" "$2"; }

for version in 1.2 1.3; do
    ask "--tlsv$version" --tls-max "$version" "https://localhost:$https/large" >"$folder/out"
    check "a file by TLS $version" same "$folder/out" "$folder/www/large"
    ask "--tlsv$version" --tls-max "$version" --data-binary "@$folder/www/large" "https://127.0.0.1:$https/echo" >"$folder/out"
    check "a body there and back by TLS $version" same "$folder/out" "$folder/www/large"
done
ask "http://127.0.0.1:$proxy/large" >"$folder/out"
check "a file through a proxy that speaks TLS" same "$folder/out" "$folder/www/large"
ask "https://localhost:$https/other/large" >"$folder/out"
check "a file of openssl's server" same "$folder/out" "$folder/www/large"
check "a client that trusts nobody of ours" fails curl --silent --max-time 5 "https://localhost:$https/large"
status=$(curl --silent --max-time 5 --output /dev/null --write-out '%{http_code}' "http://localhost:$https/large")
check "plain HTTP" [ "$status" = 400 ]

client() { openssl s_client -connect "127.0.0.1:$https" -servername localhost -CAfile "$folder/ca.pem" "$@" </dev/null; }
client -tls1_3 -sess_out "$folder/session" -ign_eof >"$folder/out" 2>&1 <<<$'GET /echo HTTP/1.0\r\n\r\n' || true
client -tls1_3 >"$folder/out" 2>&1 || true
check "openssl verifies the chain" has "Verify return code: 0 (ok)" "$folder/out"
for old in -tls1 -tls1_1; do
    check "no $old" fails client $old -cipher ALL:@SECLEVEL=0
done
check "no renegotiation" fails sh -c "printf 'R\n' | openssl s_client -connect 127.0.0.1:$https -tls1_2 2>&1 | grep -q 'RENEGOTIATING.*verify'"
"$program" doctor --tls "localhost:$https" >"$folder/out"
check "doctor tells version and pins" has "spki:" "$folder/out"
echo "$(curl --version | head -1 | cut -d' ' -f1-2), $(openssl version | cut -d' ' -f1-2): $passed checks passed"
if [ "${2:-}" = testssl ]; then
    testssl --quiet --color 0 --severity MEDIUM --add-ca "$folder/ca.pem" "localhost:$https"
fi
