#!/usr/bin/env bash
# The one gate: format, lints, tests, documentation. Needs a Rust toolchain and a C compiler; with Debian's shellcheck,
# shell scripts are looked at as well.
#
#   scripts/check.sh              everything
#   scripts/check.sh --no-tests   for who has just run `cargo test`
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }

step "format"
cargo fmt --all -- --check
step "lints"
cargo clippy --all-targets --locked -- -D warnings
step "the library without the command line, and without the admin interface"
cargo clippy --no-default-features --features admin --lib --locked -- -D warnings
cargo clippy --no-default-features --features load --lib --locked -- -D warnings
cargo clippy --no-default-features --lib --locked -- -D warnings
if [ "${1:-}" != "--no-tests" ]; then
    step "tests"
    cargo test --locked
fi
step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked --quiet
if command -v shellcheck >/dev/null; then
    step "shell scripts"
    shellcheck scripts/*.sh .ci/run
fi
printf '\nall good\n'
