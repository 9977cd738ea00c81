#!/usr/bin/env bash
# How long a client of HTTP/2 that behaves waits while others flood the server, as against quiet times: a table of the 99th
# percentiles by flood. The floods are those of tests/e2e/http2/floods.rs; the server has one processor, and the clients
# another one, on which the client that is measured goes first. Quiet and flooded times alternate, and the medians over all
# rounds count: none may be more than twice the quiet one (exit code 1).
#
#   scripts/http2_floods.sh [ROUNDS [ATTACKERS]]     default: 5 rounds of 15 floods, about 0.8 s each; 1 attacker
#
# Each attacker is a thread that sends as fast as it can, on one connection after the other. Run it on a machine that does
# nothing else: where quiet times are not quiet, there is no verdict. Needs two processors, and util-linux (taskset, chrt).
# Exit code 3 if it cannot run or tell.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
    -h | --help) sed -n '2,12s/^# \{0,1\}//p' scripts/http2_floods.sh; exit 0 ;;
esac
for tool in taskset chrt; do
    command -v $tool >/dev/null || { echo "$tool is not there: apt-get install util-linux" >&2; exit 3; }
done
[ "$(nproc)" -ge 2 ] || { echo "this needs two processors" >&2; exit 3; }
export RINGWAY_FLOOD_ROUNDS=${1:-5} RINGWAY_FLOOD_ATTACKERS=${2:-1}
cargo test --locked --release --quiet --test e2e --no-run
table=$(mktemp)
trap 'rm -f "$table"' EXIT
status=0
cargo test --locked --release --quiet --test e2e -- --ignored --nocapture http2::floods:: 2>&1 | tee "$table" || status=1
! grep -q '^NOT QUIET' "$table" || exit 3
exit $status
