#!/bin/sh
# The compiler as cargo calls it (RUSTC_WRAPPER): code that reads records is instrumented for
# libFuzzer, everything else is built as always. All of it works on the stable toolchain.
case " $* " in
*" --crate-name meshledger_ingest_fn "* | *" --crate-name meshledger_common "* | \
    *" --crate-name meshledger_fuzz "* | *" --crate-name serde_json "*)
    exec "$@" -Cpasses=sancov-module \
        -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
        -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares
    ;;
*) exec "$@" ;;
esac
