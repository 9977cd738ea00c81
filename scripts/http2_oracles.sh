#!/usr/bin/env bash
# nghttp2 and PyPI's h2 hear the conversations of tests/http2_differential.rs as servers, valid ones and mutated ones,
# and what they tell is compared with what our server tells; blocks of our encoder are read by nghttp2 and PyPI's
# hpack, and blocks of theirs by our decoder.
#
#   scripts/http2_oracles.sh [SEEDS]
#
# Needs a C compiler, Debian's libnghttp2-dev, and python3 with venv (Debian's python3-venv), into which it puts PyPI's
# h2 and hpack, or a python3 in PYTHON that has them. 0: all agree but for what is permitted; 1: they do not, with the
# conversation; 3: a tool is not there.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
    -h | --help) sed -n '2,11s/^# \{0,1\}//p' scripts/http2_oracles.sh; exit 0 ;;
esac
missing() { echo "$1 is not there: apt-get install $2" >&2; exit 3; }
command -v cc >/dev/null || missing "a C compiler" gcc
python=${PYTHON:-python3}
command -v "$python" >/dev/null || missing "$python" python3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
echo '#include <nghttp2/nghttp2.h>' | cc -E - >/dev/null 2>&1 || missing nghttp2/nghttp2.h libnghttp2-dev
cc -O1 -Wall -Wextra -Werror -o "$folder/nghttp2" scripts/http2_oracles.c -lnghttp2
if ! "$python" -c 'import h2, hpack' 2>/dev/null; then
    "$python" -m venv "$folder/venv" 2>/dev/null || missing "python3's venv" python3-venv
    "$folder/venv/bin/pip" install --quiet h2 hpack || { echo "PyPI's h2 cannot be installed" >&2; exit 3; }
    python=$folder/venv/bin/python
fi

ours() {
    env RINGWAY_HTTP2_RUNS="${SEEDS}" "$@" cargo test --locked --quiet --test http2_differential \
        conversations_are_written_and_blocks_are_read >"$folder/log" 2>&1 || { cat "$folder/log" >&2; exit 1; }
}
SEEDS=${1:-500}
ours RINGWAY_HTTP2_WRITE="$folder/written"
"$python" scripts/http2_oracles.py "$folder/nghttp2" "$folder/written" "$folder/blocks"
ours RINGWAY_HTTP2_READ="$folder/blocks"
echo "our decoder reads the blocks of both"
