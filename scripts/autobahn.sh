#!/usr/bin/env bash
# Runs the Autobahn test suite of WebSocket against Ringway and prints what is not as it should be.
#
#   scripts/autobahn.sh server [URL]       the suite as client of Ringway's echo service, or of the server at URL (ws://)
#   scripts/autobahn.sh client [COMMAND]   the suite as server of Ringway's client, or of COMMAND
#   scripts/autobahn.sh all                both, of Ringway
#   scripts/autobahn.sh peer               both, of PyPI's websockets: checks this script, and the machine
#   scripts/autobahn.sh setup              only sets it up
#
# Options: [--cases PATTERN]... [--exclude PATTERN]... [--out DIR] [--jobs N] [--limit SECONDS] [--agent NAME]
#   --cases '12.*'   which cases; default: all 517, of the sections 1 to 7, 9, 10, 12 and 13
#   --out DIR        where reports go (index.json, a page per case); default: target/autobahn/reports
#   --jobs N         so many processes share the cases; default: one per core
#   --limit SECONDS  each process is ended after that; default: 1800
#
# COMMAND is run by the shell with two arguments: the URL of a fuzzing server, such as ws://127.0.0.1:9001, and the name of the
# agent. It opens URL/getCaseCount and reads one message, the number of cases; for each N from 1 to it URL/runCase?case=N&agent=NAME,
# where it sends each message back until the server closes; and then URL/updateReports?agent=NAME.
#
# The suite is of Python 2. The script fetches Debian 11's pypy, checked by apt as any package, into target/autobahn (nothing is
# installed), and the suite and what it needs from PyPI. A Python 2.7 of the machine serves as well: PYTHON2=/usr/bin/python2.7.
# Needs Debian's packages apt, dpkg, python3 and python3-pip; peer also needs python3-venv.
#
# Exit codes: 0 all as it should be, 1 some case is not, 2 it cannot run.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '2,26s/^# \{0,1\}//p' scripts/autobahn.sh; }
fail() { echo "autobahn.sh: $*" >&2; exit 2; }

target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/autobahn"
home=$(realpath "$target/autobahn")
helper=$(realpath scripts/autobahn)

# What is allowed to be other than OK: agent, case, behavior, behavior of the close (with - for its spaces); patterns of the shell.
permitted() {
    cat <<'END'
websockets-* 3.[234] NON-STRICT OK
websockets-* 4.[12].[345] NON-STRICT OK
websockets-* 5.15 NON-STRICT OK
websockets-* 6.4.* NON-STRICT OK
websockets-* 7.1.5 FAILED WRONG-CODE
END
}

# The server under test, which has an echo service at /echo.
configuration() {
    local port=$1
    cat <<END
[runtime]
workers = 1
[admin]
enabled = false
[[listener]]
name = "ws"
listen = "127.0.0.1:$port"
protocol = "http"
[[listener.route]]
path = "/echo"
websocket = { service = "echo", message_max = "64MiB", deflate_takeover = true }
END
}

mode=${1:-} url='' command='' patterns=() excluded=() out=$home/reports jobs=$(nproc) limit=1800 agent=''
case "$mode" in
    server | client | all | peer | setup) shift ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
esac
while [ $# -gt 0 ]; do
    case "$1" in
        --cases) patterns+=("${2:?--cases takes a pattern}"); shift 2 ;;
        --exclude) excluded+=("${2:?--exclude takes a pattern}"); shift 2 ;;
        --out) out=${2:?--out takes a folder}; shift 2 ;;
        --jobs) jobs=${2:?--jobs takes a number}; shift 2 ;;
        --limit) limit=${2:?--limit takes seconds}; shift 2 ;;
        --agent) agent=${2:?--agent takes a name}; shift 2 ;;
        ws://*)
            if [ "$mode" != server ] || [ -n "$url" ]; then fail "a URL is for server: $1"; fi
            url=$1
            shift
            ;;
        -*) fail "unknown option $1" ;;
        *)
            if [ "$mode" != client ] || [ -n "$command" ]; then fail "unexpected argument $1"; fi
            command=$1
            shift
            ;;
    esac
done
[ "${#patterns[@]}" -gt 0 ] || patterns=('*')

# The programs that are needed, or what to install.
missing=()
for program in python3 dpkg apt-get; do
    command -v "$program" >/dev/null && continue
    case "$program" in
        apt-get) missing+=(apt) ;;
        *) missing+=("$program") ;;
    esac
done
if command -v python3 >/dev/null; then
    python3 -c 'import pip' 2>/dev/null || missing+=(python3-pip)
    [ "$mode" != peer ] || python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
fi
[ "${#missing[@]}" -eq 0 ] || fail "missing; install with: apt-get install ${missing[*]}"

# Wheels, which are unpacked as they are: where one has compiled parts, they are for CPython 2.7, and each does without.
wheels=(
    attrs==19.3.0 Automat==20.2.0 constantly==15.1.0 hyperlink==19.0.0 idna==2.10 incremental==16.10.1 Jinja2==2.11.3
    MarkupSafe==1.1.1 pip==20.3.4 PyHamcrest==1.9.0 setuptools==44.1.1 six==1.16.0 Twisted==20.3.0 wheel==0.37.1
    zope.interface==4.6.0
)
# Sources that Python 2 has to unpack. The suite drives the library autobahn from inside: it takes this version, and no other.
sources=(txaio==2.1.0 autobahn==0.10.9 autobahntestsuite==25.10.1)

# Fetches pypy from the suite bullseye of the mirror that this machine uses, with lists of its own, into the folder `python`.
fetch_pypy() {
    local folder=$home/apt packages=(pypy pypy-lib libffi7 libssl1.1)
    local mirror
    # shellcheck disable=SC2016
    mirror=${MIRROR:-$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -m1 '/debian/*$')} || true
    [ -n "$mirror" ] || { echo "apt knows no mirror of Debian; name one: MIRROR=http://.../debian" >&2; return 1; }
    rm -rf "$folder" "$home/python"
    mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial" "$folder/packages" "$home/python"
    local keys=/usr/share/keyrings/debian-archive-keyring.gpg
    [ -e "$keys" ] || { echo "missing; install with: apt-get install debian-archive-keyring" >&2; return 1; }
    echo "deb [signed-by=$keys] $mirror bullseye main" >"$folder/sources.list"
    local options=(
        -q -o "Dir::Etc::SourceList=$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$folder/lists" -o "Dir::Cache=$folder/cache" -o "APT::Sandbox::User=$(id -un)"
        -o Acquire::Languages=none -o APT::Update::Error-Mode=any
    )
    apt-get "${options[@]}" update || return 1
    (cd "$folder/packages" && apt-get "${options[@]}" download "${packages[@]}") || return 1
    for package in "$folder"/packages/*.deb; do
        dpkg -x "$package" "$home/python" || return 1
    done
    rm -rf "$folder"
}

# Runs Python 2, with the libraries that came with it, in the place of this shell: what runs in the background is then it.
exec_python2() {
    local interpreter libraries=$home/python/usr/lib
    interpreter=$(cat "$home/interpreter")
    libraries=$libraries:$(echo "$libraries"/*-linux-gnu*)
    exec env "LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" PYTHONDONTWRITEBYTECODE=1 "PYTHONPATH=$home/site" \
        "$interpreter" "$@"
}
python2() { (exec_python2 "$@"); }

# Finds a Python 2, or fetches one.
find_python2() {
    local found
    for found in "${PYTHON2:-}" "$(command -v pypy || true)" fetch "$(command -v python2.7 || true)" \
        "$HOME"/.pyenv/versions/2.7.*/bin/python2.7; do
        if [ "$found" = fetch ]; then
            found=$home/python/usr/bin/pypy
            fetch_pypy >"$home/apt.log" 2>&1 || { cat "$home/apt.log" >&2; continue; }
        fi
        [ -x "$found" ] || continue
        echo "$found" >"$home/interpreter"
        python2 -c 'import sys, zlib; assert sys.version_info[:2] == (2, 7)' 2>/dev/null && return
    done
    fail "found no Python 2.7, and could not fetch Debian 11's pypy (see $home/apt.log); name one: PYTHON2=..."
}

setup() {
    local wanted certificates=/etc/ssl/certs/ca-certificates.crt
    wanted="${wheels[*]} ${sources[*]} ${PYTHON2:-}"
    [ "$(cat "$home/ready" 2>/dev/null)" != "$wanted" ] || return 0
    echo "setting up the suite in $home" >&2
    rm -rf "$home/ready" "$home/site"
    find_python2
    python3 -m pip install --quiet --no-deps --no-compile --target "$home/site" --only-binary=:all: --python-version 2.7 \
        --implementation cp --abi cp27mu --platform manylinux1_x86_64 "${wheels[@]}" >"$home/pip.log" 2>&1 ||
        { cat "$home/pip.log" >&2; fail "could not fetch the suite's libraries"; }
    [ -n "${PIP_CERT:-}" ] || [ ! -e "$certificates" ] || export PIP_CERT=$certificates
    python2 -m pip install --no-deps --no-compile --no-build-isolation --no-cache-dir --target "$home/site" "${sources[@]}" \
        >>"$home/pip.log" 2>&1 || { cat "$home/pip.log" >&2; fail "could not fetch the suite"; }
    python2 "$helper/suite.py" "$home/site" list '*' >"$home/cases" || fail "the suite does not start"
    echo "$wanted" >"$home/ready"
}

# Sets up PyPI's websockets, as a server and a client that are known to be good.
setup_peer() {
    [ -e "$home/peer/ready" ] && return
    rm -rf "$home/peer"
    python3 -m venv "$home/peer"
    "$home/peer/bin/pip" install --quiet websockets==15.0.1
    touch "$home/peer/ready"
}

pids=()
# shellcheck disable=SC2317
end() {
    [ "${#pids[@]}" -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
}
trap end EXIT

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# Starts a server with its output in a file, and waits until it listens: LOG PORT COMMAND...
start() {
    local log=$1 port=$2
    shift 2
    "$@" >"$log" 2>&1 &
    pids+=($!)
    python3 "$helper/report.py" wait "$port" $! || { cat "$log" >&2; fail "it did not listen on port $port: $*"; }
}

# The program, of which one that is built is taken.
ringway() {
    local program
    for program in "${RINGWAY:-}" "$target/release/ringway" "$target/debug/ringway"; do
        [ ! -x "$program" ] || { realpath "$program"; return; }
    done
    fail "ringway is not built: cargo build --release"
}

# Distributes the cases over the jobs, as files $out/$side/N/cases; prints how many there are.
distribute() {
    local side=$1
    rm -rf "${out:?}/$side"
    mkdir -p "$out/$side"
    python2 "$helper/suite.py" "$home/site" list "${patterns[@]}" ${excluded[@]+-- "${excluded[@]}"} >"$out/$side/cases"
    [ -s "$out/$side/cases" ] || fail "no such cases: ${patterns[*]}"
    python3 "$helper/report.py" split "$out/$side" "$jobs"
}

run_server() {
    local name=$1 url=$2 side=server running=() folder
    distribute $side
    for folder in "$out/$side"/[0-9]*; do
        exec_python2 "$helper/suite.py" "$home/site" client "$folder" "$url" "$name" >"$folder/log" 2>&1 &
        running+=($!)
    done
    pids+=("${running[@]}")
    python3 "$helper/report.py" join "$limit" "$out/$side" "${running[@]}" || true
    permitted >"$out/permitted"
    python3 "$helper/report.py" report "$out/$side" "$name" "$out/permitted"
}

run_client() {
    local name=$1 command=$2 side=client running=() folder port
    distribute $side
    for folder in "$out/$side"/[0-9]*; do
        port=$(free_port)
        start "$folder/log" "$port" exec_python2 "$helper/suite.py" "$home/site" server "$folder" "ws://127.0.0.1:$port" "$name"
        echo "$port" >"$folder/port"
        (exec timeout "$limit" bash -c "$command \"\$@\"" client "ws://127.0.0.1:$port" "$name" >"$folder/client.log" 2>&1) &
        running+=($!)
    done
    pids+=("${running[@]}")
    python3 "$helper/report.py" join "$limit" "$out/$side" "${running[@]}" || true
    for folder in "$out/$side"/[0-9]*; do
        [ -e "$folder/index.json" ] || python3 "$helper/report.py" update "$(cat "$folder/port")" "$name" || true
    done
    permitted >"$out/permitted"
    python3 "$helper/report.py" report "$out/$side" "$name" "$out/permitted"
}

server_of_ringway() {
    local port program
    program=$(ringway) || exit
    port=$(free_port)
    configuration "$port" >"$home/ringway.toml"
    start "$home/ringway.log" "$port" "$program" serve --config "$home/ringway.toml"
    run_server "${agent:-ringway}" "ws://127.0.0.1:$port/echo"
}

client_of_ringway() {
    local program=${CLIENT:-}
    if [ -z "$program" ]; then
        for program in "$target"/{release,debug}/examples/websocket_cases ''; do
            [ ! -x "$program" ] || break
        done
        [ -n "$program" ] || fail "no client: cargo build --example websocket_cases, or CLIENT=COMMAND"
        program=$(realpath "$program")
    fi
    run_client "${agent:-ringway}" "$program"
}

# In one group, which the shell reads whole: the script may be changed while it runs.
{
setup
mkdir -p "$out"
out=$(realpath "$out")
status=0
case "$mode" in
    setup) ;;
    server) if [ -n "$url" ]; then run_server "${agent:-server}" "$url"; else server_of_ringway; fi || status=$? ;;
    client) if [ -n "$command" ]; then run_client "${agent:-client}" "$command"; else client_of_ringway; fi || status=$? ;;
    all)
        server_of_ringway || status=$?
        client_of_ringway || status=$?
        ;;
    peer)
        setup_peer
        port=$(free_port)
        start "$home/peer.log" "$port" "$home/peer/bin/python" "$helper/peer.py" server "$port"
        run_server websockets-server "ws://127.0.0.1:$port" || status=$?
        run_client websockets-client "'$home/peer/bin/python' '$helper/peer.py' client" || status=$?
        ;;
esac
exit "$status"
}
