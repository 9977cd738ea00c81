#!/usr/bin/env bash
# Uploads a file to a server on this machine by HTTP/1.1 and by HTTP/2, in turn, and prints how long each took: HTTP/2 has to
# be as fast, but for a margin. Says something where packets take their time: `scripts/vm.sh --upload` runs it in a guest whose
# loopback delays them.
#
#   scripts/upload.sh PROGRAM [MIB [ROUNDS [MARGIN]]]     default: 100 MiB, 3 rounds, 1.1
#
# Needs Debian's curl and python3. The server takes the file over the delayed loopback and passes it to one that drops it,
# over a socket that is not delayed. The median of the rounds counts. Exit codes: 1 if HTTP/2 is slower, 3 if it cannot run.
set -euo pipefail

case "${1:-}" in
    '' | -h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
program=$(realpath "$1") mib=${2:-100} rounds=${3:-3} margin=${4:-1.1}
for tool in curl python3; do
    command -v $tool >/dev/null || { echo "$tool is not there: apt-get install $tool" >&2; exit 3; }
done
curl --version | grep -q HTTP2 || { echo "curl was built without HTTP/2" >&2; exit 3; }
folder=$(mktemp -d) pids=()
end() {
    kill "${pids[@]}" 2>/dev/null || true
    rm -rf "$folder"
}
trap end EXIT
head -c "${mib}M" /dev/zero >"$folder/file"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
python3 - "$folder/sink" <<'END' &
import socket, sys, threading

def serve(one):
    head = b""
    while b"\r\n\r\n" not in head:
        part = one.recv(65536)
        if not part:
            return
        head += part
    head, body = head.split(b"\r\n\r\n", 1)
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    came, buffer = len(body), bytearray(1 << 20)
    while came < length:
        count = one.recv_into(buffer)
        if not count:
            return
        came += count
    text = b"%d\n" % came
    one.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(text) + text)
    one.close()

listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
END
pids+=($!)
until [ -S "$folder/sink" ]; do sleep 0.1; done
cat >"$folder/a.toml" <<END
[runtime]
workers = 1
[admin]
enabled = false
[[listener]]
name = "web"
listen = "127.0.0.1:$port"
protocol = "http"
[[listener.route]]
path = "/ready"
respond = "ready"
[[listener.route]]
proxy = "sink"
body_max = "off"
[upstream.sink]
servers = ["unix:$folder/sink"]
END
"$program" serve --config "$folder/a.toml" >"$folder/log" 2>&1 &
pids+=($!)
curl --silent --retry 100 --retry-connrefused --retry-delay 0 --retry-max-time 60 --output /dev/null "http://127.0.0.1:$port/ready" ||
    { cat "$folder/log" >&2; exit 3; }

# How long an upload takes, in seconds.
upload() {
    curl --silent --show-error --fail --max-time 600 "$1" --header 'expect:' --upload-file "$folder/file" \
        --output "$folder/answer" --write-out '%{time_total} %{http_version}\n' "http://127.0.0.1:$port/" >"$folder/took"
    read -r took version <"$folder/took"
    [ "$(cat "$folder/answer")" = $((mib << 20)) ] || { echo "not all has come" >&2; exit 1; }
    printf '%s: %s s\n' "HTTP/$version" "$took"
    echo "$took" >>"$folder/took$1"
}
for _ in $(seq "$rounds"); do
    upload --http1.1
    upload --http2-prior-knowledge
done
median() { sort -n "$folder/took$1" | sed -n "$((rounds / 2 + 1))p"; }
awk -v old="$(median --http1.1)" -v new="$(median --http2-prior-knowledge)" -v mib="$mib" -v margin="$margin" 'BEGIN {
    printf "%d MiB: HTTP/1.1 %.2f s, HTTP/2 %.2f s, ratio %.2f\n", mib, old, new, new / old
    exit new > old * margin
}'
