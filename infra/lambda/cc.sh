#!/usr/bin/env bash
# The linker of infra/lambda/build.sh: the C compiler, with old_glibc.c linked in. (rustc tells from
# the name that it is one.)
# MESHLEDGER_LINKER names the compiler; `cc` if it is not set.
set -euo pipefail
compiler=${MESHLEDGER_LINKER:-cc}
object=$(mktemp --suffix=.o)
trap 'rm -f "$object"' EXIT
"$compiler" -O2 -fno-builtin -ffunction-sections -c -o "$object" "$(dirname "${BASH_SOURCE[0]}")/old_glibc.c"
"$compiler" "$@" "$object"
