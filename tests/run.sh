#!/usr/bin/env bash
# The tests, all of them: what a newcomer runs and what .ci/run calls.
# Needs a Rust toolchain, git and Python 3; everything else is installed by tests/setup.sh into a
# virtual environment beside the build. Arguments go to `cargo test`, for example a test's name.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
export MESHLEDGER_VENV="${MESHLEDGER_VENV:-$CARGO_TARGET_DIR/venv}"
tests/setup.sh
# One workspace build, one feature set: the tests run the `meshledger` binary it makes.
cargo build --locked --workspace
cargo test --locked --workspace "$@"
