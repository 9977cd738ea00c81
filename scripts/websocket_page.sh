#!/usr/bin/env bash
# The page that tries WebSockets, /ws of the built-in configuration, in headless Chromium: over HTTP and over HTTPS with
# HTTP/2 (whose sockets are extended CONNECTs, RFC 8441). Echo, bursts, topics over several tabs, retained messages, more
# messages than the page keeps, a restart of the server; names for screen readers; light, dark, and the width of a phone.
#
#   scripts/websocket_page.sh [PROGRAM [FOLDER]]
#
# PROGRAM is target/release/ringway or target/debug/ringway by default: `cargo build --release`. Screenshots go to FOLDER,
# target/websocket_page by default. Needs Debian's python3 and chromium, nothing else. A restart takes up to a minute.
#
# Exit codes: 0 all as it should be, 1 something is not, 3 a program is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
    -h | --help) sed -n '2,12s/^# \{0,1\}//p' scripts/websocket_page.sh; exit 0 ;;
esac
missing=()
command -v python3 >/dev/null || missing+=(python3)
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
[ -n "$browser" ] || missing+=(chromium)
[ "${#missing[@]}" -eq 0 ] || { echo "missing; install with: apt-get install ${missing[*]}" >&2; exit 3; }
target=${CARGO_TARGET_DIR:-target}
program=${1:-}
for built in "$target/release/ringway" "$target/debug/ringway"; do
    [ -n "$program" ] || [ ! -x "$built" ] || program=$built
done
[ -x "$program" ] || { echo "${program:-ringway} is not there: cargo build --release" >&2; exit 3; }
exec python3 scripts/websocket_page.py "$(realpath "$program")" "$browser" "${2:-$target/websocket_page}"
