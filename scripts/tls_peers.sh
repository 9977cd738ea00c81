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
# An OCSP answer that says that the certificate is good.
serial=$(openssl x509 -in "$folder/server.pem" -noout -serial | cut -d= -f2)
printf 'V\t991231235959Z\t\t%s\tunknown\t/CN=localhost\n' "$serial" >"$folder/index.txt"
openssl ocsp -index "$folder/index.txt" -CA "$folder/ca.pem" -rsigner "$folder/ca.pem" -rkey "$folder/ca.key" \
    -issuer "$folder/ca.pem" -cert "$folder/server.pem" -ndays 7 -respout "$folder/ocsp.der" >/dev/null 2>&1
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
ocsp = ["$folder/ocsp.der"]
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

client() { openssl s_client -connect "127.0.0.1:$https" -servername localhost -CAfile "$folder/ca.pem" "$@"; }
# Its request, so that the answer shows that the ticket has come.
resume() { client "$@" -ign_eof >"$folder/out" 2>&1 <<<$'GET /echo HTTP/1.0\r\n\r\n' || true; }
for version in -tls1_2 -tls1_3; do
    resume $version -sess_out "$folder/session"
    check "a first session by $version" has "^New, TLSv1" "$folder/out"
    resume $version -sess_in "$folder/session"
    check "a session that is resumed by $version" has "^Reused, TLSv1" "$folder/out"
    client $version -status </dev/null >"$folder/out" 2>&1 || true
    check "an OCSP answer by $version" has "OCSP Response Status: successful" "$folder/out"
    check "which is for the certificate, by $version" has "Cert Status: good" "$folder/out"
done
client -tls1_3 </dev/null >"$folder/out" 2>&1 || true
check "openssl verifies the chain" has "Verify return code: 0 (ok)" "$folder/out"
for old in -tls1 -tls1_1; do
    check "no $old" fails sh -c "openssl s_client -connect 127.0.0.1:$https $old -cipher ALL:@SECLEVEL=0 </dev/null"
done
# openssl ends when it is declined, and else waits for more.
(printf 'R\n'; sleep 2) | client -tls1_2 >"$folder/out" 2>&1 || true
check "an attempt to renegotiate" has "^RENEGOTIATING" "$folder/out"
check "which is declined" has "no renegotiation" "$folder/out"
"$program" doctor --tls "localhost:$https" >"$folder/out"
check "doctor tells version and pins" has "spki:" "$folder/out"
echo "$(curl --version | head -1 | cut -d' ' -f1-2), $(openssl version | cut -d' ' -f1-2): $passed checks passed"
[ "${2:-}" = testssl ] || exit 0
# What it finds, worst first. Left out: what is said of certificates that `ringway cert` makes, which nobody trusts and
# nobody lists as revoked, and what belongs to the site and not to TLS.
command -v testssl >/dev/null || { echo "testssl is not there: apt-get install testssl.sh" >&2; exit 3; }
testssl --quiet --color 0 --warnings off --add-ca "$folder/ca.pem" --jsonfile "$folder/testssl.json" "localhost:$https" \
    >"$folder/testssl.log" </dev/null || true
python3 - "$folder/testssl.json" <<'EOF'
import json, sys

expected = {"cert_chain_of_trust", "cert_revocation", "cert_crlDistributionPoints", "cert_ocspURL", "HSTS", "security_headers"}
ranks = ["CRITICAL", "HIGH", "MEDIUM", "WARN", "LOW"]
findings = json.load(open(sys.argv[1]))
if len(findings) < 100:
    sys.exit("FAILED: testssl has stopped early")
found = [one for one in findings if one["severity"] in ranks and one["id"] not in expected]
for one in sorted(found, key=lambda one: ranks.index(one["severity"])):
    print(one["severity"], one["id"] + ":", one["finding"])
left = [one["id"] for one in findings if one["severity"] in ranks and one["id"] in expected]
print(f"testssl: {len(findings)} findings, of which left out:", ", ".join(left) or "none")
if any(one["severity"] in ranks[:3] for one in found):
    sys.exit("FAILED: testssl has found something above LOW")
EOF
