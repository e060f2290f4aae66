#!/usr/bin/env bash
# A Python environment with DuckDB 2.0 for bench/ingest.py; the tests use another version, whose
# delta extension can be had. Into the folder given, else target/bench-venv.
set -euo pipefail
cd "$(dirname "$0")/.."
venv="${1:-target/bench-venv}"
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.0
"$venv/bin/python" -c 'import duckdb; print("DuckDB", duckdb.__version__)'
