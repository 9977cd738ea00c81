#!/usr/bin/env bash
# Counts what a request costs in user space: instructions and allocations of one worker, without a
# kernel, the same in every run. Writes a table to standard output: docs/benchmarks-instructions.md
# has one, and says what is counted.
#
#   scripts/instructions.sh [--release] [SCENARIO...]    fixed, file, proxy, http2, relay, frame
#
# The program (benches/instructions/) runs a worker on the simulated kernel; callgrind counts the
# instructions of its turns, without those of the simulated kernel, the clients and the servers.
# Compare two figures only if both were counted on the same machine, with the same compiler.
#
# By default our own code is optimized as in a release, and dependencies are those of a debug build,
# so that it takes about a minute to build; with --release all is as it is shipped, in four.
#
# Needs Debian's packages valgrind and jq.
set -euo pipefail
cd "$(dirname "$0")/.."

scenarios=()
profile=quick
for argument in "$@"; do
    case "$argument" in
        --release) profile=release ;;
        fixed | file | proxy | http2 | relay | frame) scenarios+=("$argument") ;;
        -h | --help) sed -n '2,16s/^# \{0,1\}//p' scripts/instructions.sh; exit 0 ;;
        *) sed -n '2,16s/^# \{0,1\}//p' scripts/instructions.sh >&2; exit 2 ;;
    esac
done
[ "${#scenarios[@]}" -gt 0 ] || scenarios=(fixed file proxy http2 relay frame)

missing=()
for program in valgrind jq; do
    command -v "$program" >/dev/null || missing+=("$program")
done
if [ "${#missing[@]}" -gt 0 ]; then
    echo "missing; install with: apt-get install ${missing[*]}" >&2
    exit 2
fi

options=(--release)
if [ "$profile" = quick ]; then
    own=profile.dev.package.ringway
    options=(--config "$own.opt-level=3" --config "$own.codegen-units=1"
        --config "$own.debug-assertions=false" --config "$own.overflow-checks=false")
fi
# shellcheck source=scripts/count_instructions.sh
. scripts/count_instructions.sh
program="$(CARGO_INCREMENTAL=0 instructions_program "${options[@]}")"
out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT

counted() {
    count "$program" "$1" "$2" "$3" "$out" || count_failed "$1" "$out"
}

printf '| scenario | instructions, 64 connections | allocations '
printf '| instructions, 1 connection | allocations |\n'
echo "| --- | ---: | ---: | ---: | ---: |"
for scenario in "${scenarios[@]}"; do
    read -r many many_allocations <<<"$(counted "$scenario" 64 50)"
    read -r one one_allocations <<<"$(counted "$scenario" 1 500)"
    echo "| $scenario | $many | $many_allocations | $one | $one_allocations |"
done
