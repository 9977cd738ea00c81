#!/usr/bin/env bash
# The one gate: format, lints, tests, documentation. Needs a Rust toolchain and a C compiler.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }

step "format"
cargo fmt --all -- --check
step "lints"
cargo clippy --all-targets --locked -- -D warnings
step "tests"
cargo test --locked
step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked --quiet
if command -v shellcheck >/dev/null; then
    step "shell scripts"
    shellcheck scripts/*.sh .ci/run
fi
printf '\nall good\n'
