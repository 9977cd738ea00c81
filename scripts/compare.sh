#!/usr/bin/env bash
# Measures Ringway beside its peers on the same work, in one run, and writes docs/benchmarks.md.
#
#   scripts/compare.sh tcp [--runs N] [--seconds S] [--gigabytes G] [--only WORK]
#
# Needs Debian's packages haproxy, nginx, libnginx-mod-stream and python3. Takes at most five
# minutes with the defaults, after the build. Everything stays on loopback and two cores.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '2,7s/^# \{0,1\}//p' "$0"; }

case "${1:-}" in
    tcp) ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
esac

missing=()
command -v haproxy >/dev/null || missing+=(haproxy)
command -v nginx >/dev/null || missing+=(nginx)
[ -e /usr/lib/nginx/modules/ngx_stream_module.so ] || missing+=(libnginx-mod-stream)
command -v python3 >/dev/null || missing+=(python3)
if [ "${#missing[@]}" -gt 0 ]; then
    echo "missing: ${missing[*]}" >&2
    echo "install all with: apt-get install haproxy nginx libnginx-mod-stream python3" >&2
    exit 2
fi

# The idle test holds two descriptors a connection. Root may raise the hard limit; where it stays
# lower, the test is scaled down and says so.
ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"
exec python3 scripts/compare/compare.py "$@"
