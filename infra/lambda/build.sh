#!/usr/bin/env bash
# Builds the functions and packs each as a zip that AWS Lambda takes for provided.al2023.
#
#   infra/lambda/build.sh                                       for this machine's architecture
#   infra/lambda/build.sh --target aarch64-unknown-linux-gnu    for the other one
#   infra/lambda/build.sh --out DIR                             into DIR instead of <target>/lambda/<triple>
#   infra/lambda/build.sh --function ingest                     one of them: ingest, maintain, query
#   infra/lambda/build.sh --profile release                     faster to build; `dist` is what is deployed
#
# Never downloads a toolchain: the target's standard library must be installed. Not a part of every
# CI run: a dist build takes two cores about ten minutes.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
profile=dist
target=
out=
functions=()

fail() {
    echo "infra/lambda/build.sh: $1" >&2
    exit 1
}

while [ $# -gt 0 ]; do
    case $1 in
    --target | --out | --function | --profile)
        [ $# -ge 2 ] || fail "$1 needs a value"
        case $1 in
        --target) target=$2 ;;
        --out) out=$2 ;;
        --function) functions+=("$2") ;;
        --profile) profile=$2 ;;
        esac
        shift 2
        ;;
    *) fail "expected --target, --out, --function or --profile, found '$1'" ;;
    esac
done
[ ${#functions[@]} -gt 0 ] || functions=(ingest maintain query)
for function in "${functions[@]}"; do
    case $function in
    ingest | maintain | query) ;;
    *) fail "--function: expected ingest, maintain or query, found '$function'" ;;
    esac
done

host=$(rustc -vV | sed -n 's/^host: //p')
target=${target:-$host}
case $target in
x86_64-unknown-linux-gnu | aarch64-unknown-linux-gnu) ;;
*) fail "--target: expected x86_64-unknown-linux-gnu or aarch64-unknown-linux-gnu, found '$target'" ;;
esac

# Asking for another target could make a wrapper of the toolchain download it.
library=$(rustc --print target-libdir --target "$target")
compgen -G "$library/libstd-*.rlib" >/dev/null ||
    fail "this toolchain has no standard library for $target: expected libstd in $library, found none. Install it where you may (rustup target add $target), or build on a machine of that architecture. Nothing was downloaded"

# What checks and packs the binaries; asked for before the long build.
for tool in python3 readelf; do
    command -v "$tool" >/dev/null || fail "needs the command $tool; install python3 and binutils"
done
# What is deployed asks for nothing that glibc has only since 2.35: cc.sh sees to it.
variable=CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$target")_LINKER
compiler=${!variable:-}
if [ -z "$compiler" ]; then
    compiler=cc
    [ "$target" = "$host" ] || compiler=${target%%-*}-linux-gnu-gcc
fi
command -v "$compiler" >/dev/null ||
    fail "needs a linker for $target: install $compiler, or name one in $variable"
export "$variable=$repo/infra/lambda/cc.sh" MESHLEDGER_LINKER="$compiler"

cd "$repo"
# AWS-LC gathers entropy from the CPU's jitter for about 100 ms at first use. It is not linked
# today; should it be one day, then without that.
export AWS_LC_SYS_NO_JITTER_ENTROPY=1
packages=()
for function in "${functions[@]}"; do
    packages+=(--package "meshledger-$function-fn" --bin "meshledger-$function-fn")
done
cargo build --locked --profile "$profile" --target "$target" "${packages[@]}"

built=${CARGO_TARGET_DIR:-target}/$target/$profile
out=${out:-${CARGO_TARGET_DIR:-target}/lambda/$target}
mkdir -p "$out"
for function in "${functions[@]}"; do
    python3 infra/lambda/pack.py "$function" "$built/meshledger-$function-fn" "$out/meshledger-$function-fn.zip"
done
