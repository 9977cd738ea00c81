#!/usr/bin/env bash
# Speaks TLS to a server with curl and openssl, and lets our clients and our proxy speak to openssl's server. Needs
# Debian's curl, openssl and python3, and the program built: `cargo build --release`, or its path as the first argument.
# With testssl.sh (Debian's package of that name) the default configuration is graded as well; it takes two minutes.
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
https=$(free_port) proxy=$(free_port) other=$(free_port) names=$(free_port) clients=$(free_port) graded=$(free_port)
(cd "$folder" && "$program" cert localhost 127.0.0.1 >/dev/null)
mkdir "$folder/www"
# More certificates of the same issuer, and one of a stranger.
issue() {
    local name=$1 algorithm=$2
    shift 2
    # shellcheck disable=SC2086
    openssl req -newkey $algorithm -nodes -keyout "$folder/$name.key" -subj "/CN=$name" -out "$folder/$name.csr" 2>/dev/null
    printf 'subjectAltName = DNS:%s.example\n' "$name" >"$folder/$name.ext"
    openssl x509 -req -in "$folder/$name.csr" -CA "${ca:-$folder/ca.pem}" -CAkey "${ca_key:-$folder/ca.key}" \
        -CAcreateserial -extfile "$folder/$name.ext" -out "$folder/$name.pem" "$@" 2>/dev/null
}
issue rsa rsa:2048 -days 9
issue ed25519 ed25519 -days 9
issue client "ec -pkeyopt ec_paramgen_curve:P-256" -days 9
python3 - "$folder" <<'EOF'
import datetime, sys
now = datetime.datetime.now(datetime.timezone.utc)
for name, start, end in (("expired", -9, -1), ("early", 1, 9)):
    times = [(now + datetime.timedelta(days=days)).strftime("%Y%m%d%H%M%SZ") for days in (start, end)]
    print(" ".join(times), file=open(f"{sys.argv[1]}/{name}.times", "w"))
EOF
# `openssl ca` alone can set both times.
mkdir "$folder/db"
: >"$folder/db/index"
cat >"$folder/db/conf" <<EOF
[ca]
default_ca = d
[d]
database = $folder/db/index
new_certs_dir = $folder/db
rand_serial = yes
default_md = sha256
policy = p
copy_extensions = copy
[p]
commonName = supplied
EOF
for name in expired early; do
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$folder/$name.key" -subj "/CN=$name" \
        -addext "subjectAltName = DNS:$name.example" -out "$folder/$name.csr" 2>/dev/null
    read -r start end <"$folder/$name.times"
    openssl ca -batch -config "$folder/db/conf" -cert "$folder/ca.pem" -keyfile "$folder/ca.key" -in "$folder/$name.csr" \
        -startdate "$start" -enddate "$end" -notext -out "$folder/$name.pem" 2>/dev/null
done
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$folder/stranger-ca.key" -subj "/CN=stranger" \
    -out "$folder/stranger-ca.pem" 2>/dev/null
ca=$folder/stranger-ca.pem ca_key=$folder/stranger-ca.key issue stranger "ec -pkeyopt ec_paramgen_curve:P-256" -days 9
# An OCSP answer for the server's certificate.
serial=$(openssl x509 -in "$folder/server.pem" -noout -serial | cut -d= -f2)
printf 'V\t351231235959Z\t\t%s\tunknown\t/CN=localhost\n' "$serial" >"$folder/db/ocsp"
openssl ocsp -index "$folder/db/ocsp" -CA "$folder/ca.pem" -rsigner "$folder/ca.pem" -rkey "$folder/ca.key" \
    -issuer "$folder/ca.pem" -cert "$folder/server.pem" -respout "$folder/server.ocsp" -ndays 9 -noverify >/dev/null 2>&1
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
certificate = ["$folder/server.pem", "$folder/rsa.pem", "$folder/ed25519.pem", "$folder/expired.pem",
    "$folder/early.pem", "$folder/stranger.pem"]
key = ["$folder/server.key", "$folder/rsa.key", "$folder/ed25519.key", "$folder/expired.key",
    "$folder/early.key", "$folder/stranger.key"]
ocsp = ["$folder/server.ocsp"]
[[listener]]
name = "graded"
listen = "127.0.0.1:$graded"
protocol = "http"
[[listener.route]]
respond = "hello"
[listener.tls]
certificate = "$folder/server.pem"
key = "$folder/server.key"
[[listener]]
name = "names"
listen = "127.0.0.1:$names"
protocol = "sni"
names = { localhost = "passed" }
[[listener]]
name = "clients"
listen = "127.0.0.1:$clients"
protocol = "http"
[[listener.route]]
proxy = "other"
[listener.route.client_certificate]
subject = "CN=nobody"
[[listener.route]]
redirect = "https://\$tls_client_subject"
[listener.tls]
certificate = "$folder/server.pem"
key = "$folder/server.key"
client_auth = "required"
client_ca = "$folder/ca.pem"
[[listener]]
name = "proxy"
listen = "127.0.0.1:$proxy"
protocol = "tcp"
upstream = "https"
[upstream.https]
servers = ["127.0.0.1:$https"]
[upstream.https.tls]
ca = "$folder/ca.pem"
[upstream.passed]
servers = ["127.0.0.1:$https"]
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

client_in() { openssl s_client -connect "127.0.0.1:$https" -servername localhost -CAfile "$folder/ca.pem" "$@"; }
client() { client_in "$@" </dev/null; }
client -tls1_3 >"$folder/out" 2>&1 || true
check "openssl verifies the chain" has "Verify return code: 0 (ok)" "$folder/out"
for old in -tls1 -tls1_1; do
    check "no $old" fails client $old -cipher ALL:@SECLEVEL=0
done
# openssl ends when it is declined, and else waits for more.
(printf 'R\n'; sleep 2) | client_in -tls1_2 >"$folder/out" 2>&1 || true
check "an attempt to renegotiate" has "^RENEGOTIATING" "$folder/out"
check "which is declined" has "no renegotiation" "$folder/out"
"$program" doctor --tls "localhost:$https" >"$folder/out"
check "doctor tells version and pins" has "spki:" "$folder/out"

# Resumption, stapling, names, clients' certificates, kinds of keys.
for version in tls1_2 tls1_3; do
    printf 'GET /large HTTP/1.0\r\n\r\n' |
        client_in -"$version" -sess_out "$folder/session" -ign_eof >/dev/null 2>&1 || true
    client -"$version" -sess_in "$folder/session" >"$folder/out" 2>&1 || true
    check "a session is resumed by $version" has "^Reused, " "$folder/out"
done
client -status >"$folder/out" 2>&1 || true
check "an OCSP answer is stapled" has "Cert Status: good" "$folder/out"
ask --connect-to "localhost:443:127.0.0.1:$names" "https://localhost/large" >"$folder/out"
check "a file through a proxy by name" same "$folder/out" "$folder/www/large"
openssl s_client -connect "127.0.0.1:$names" -servername other.example </dev/null >"$folder/out" 2>&1 || true
check "an unknown name is told by its alert" has "unrecognized name" "$folder/out"
told=$(ask --cert "$folder/client.pem" --key "$folder/client.key" --output /dev/null --write-out "%header{location}" \
    "https://localhost:$clients/")
check "a client's certificate is told" [ "$told" = "https://CN=client" ]
check "a client without one is refused" fails ask "https://localhost:$clients/"
for kind in rsa ed25519; do
    told=$(ask "https://$kind.example:$https/echo" --resolve "$kind.example:$https:127.0.0.1" --data "$kind")
    check "a key of $kind" [ "$told" = "$kind" ]
done
"$program" connect "https://localhost:$other/large" --ca "$folder/ca.pem" >"$folder/out"
check "our client gets a file of openssl's server" same "$folder/out" "$folder/www/large"
for wrong in expired early stranger; do
    "$program" connect "https://localhost:$https/large" --ca "$folder/ca.pem" --server-name "$wrong.example" \
        >/dev/null 2>"$folder/out" && check "$wrong is refused" false
    case $wrong in
        expired) check "an expired certificate is named" has "has expired" "$folder/out" ;;
        early) check "one that is not valid yet is named" has "not valid yet" "$folder/out" ;;
        stranger) check "one of a stranger is named" has "nobody who is trusted" "$folder/out" ;;
    esac
done
echo "$(curl --version | head -1 | cut -d' ' -f1-2), $(openssl version | cut -d' ' -f1-2): $passed checks passed"

if ! command -v testssl >/dev/null; then
    echo "testssl is not there (apt-get install testssl.sh): the configuration is not graded"
    exit 0
fi
# The OCSP answer and the other certificates are of these tests: the plain listener is graded.
testssl --quiet --color 0 --warnings off --openssl-timeout 5 --add-ca "$folder/ca.pem" \
    --jsonfile "$folder/grade.json" "localhost:$graded" >"$folder/grade.txt" || true
python3 - "$folder/grade.json" <<'EOF'
import json, sys

# A certificate for a first try names no place to ask whether it is revoked, and which headers an answer has is for
# whoever writes the pages.
EXPECTED = {"cert_revocation", "security_headers"}
findings = json.load(open(sys.argv[1]))
assert len(findings) > 100, "testssl has not run to its end"
bad = [one for one in findings
       if one["severity"] not in ("OK", "INFO", "LOW", "WARN", "DEBUG") and one["id"] not in EXPECTED]
for one in bad:
    print(one["severity"], one["id"], one["finding"], file=sys.stderr)
print(f"testssl: {len(findings)} findings, {len(bad)} above low")
sys.exit(1 if bad else 0)
EOF
