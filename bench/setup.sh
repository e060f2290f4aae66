#!/usr/bin/env bash
# A Python environment with DuckDB for bench/ingest.py and, with chDB, bench/questions.py. Into the
# folder given, else target/bench-venv; of the version given, else 2.0.0. For S3 DuckDB needs an
# extension that is a package for 1.5.5 alone.
set -euo pipefail
cd "$(dirname "$0")/.."
venv="${1:-target/bench-venv}"
version="${2:-2.0.0}"
packages=("duckdb==$version" "chdb==4.4.0")
[ "$version" != 1.5.5 ] || packages+=("duckdb-extension-httpfs==1.5.5")
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
"$venv/bin/python" -c 'import duckdb; print("DuckDB", duckdb.__version__)'
