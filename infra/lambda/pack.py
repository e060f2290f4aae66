#!/usr/bin/env python3
"""Checks a function's binary against what AWS Lambda's provided.al2023 has, and packs it.

    pack.py FUNCTION BINARY ZIP

The same binary gives the same zip, byte for byte: fixed times, one file, no extra fields.
"""
import hashlib
import re
import subprocess
import sys
import zipfile

# Amazon Linux 2023.
GLIBC_MAX = (2, 34)
LIBRARIES = {
    "libc.so.6",
    "libm.so.6",
    "libgcc_s.so.1",
    "libpthread.so.0",
    "libdl.so.2",
    "librt.so.1",
    "ld-linux-x86-64.so.2",
    "ld-linux-aarch64.so.1",
}
ZIP_BYTES_MAX = {"ingest": 25_000_000, "maintain": 25_000_000, "query": 45_000_000}


def fail(message):
    sys.exit(f"infra/lambda/pack.py: {message}")


def readelf(option, path):
    command = ["readelf", "--wide", option, path]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def check(path):
    """What the binary asks of the system it runs on. Returns the glibc it needs."""
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", readelf("--dynamic", path)))
    odd = needed - LIBRARIES
    if odd:
        fail(f"{path} needs {', '.join(sorted(odd))}: expected nothing but {', '.join(sorted(LIBRARIES))}")
    versions = re.findall(r"GLIBC_(\d+)\.(\d+)", readelf("--version-info", path))
    newest = max(((int(major), int(minor)) for major, minor in versions), default=(0, 0))
    if newest > GLIBC_MAX:
        fail(
            f"{path} needs GLIBC_{newest[0]}.{newest[1]}: expected at most GLIBC_{GLIBC_MAX[0]}.{GLIBC_MAX[1]}, "
            "which provided.al2023 has; build on a system that is not newer"
        )
    with open(path, "rb") as file:
        binary = file.read()
    # AWS-LC's jitter entropy costs about 100 ms at first use.
    for word in (b"jent_entropy", b"jitterentropy"):
        if word in binary:
            fail(f"{path} has {word.decode()}: build with AWS_LC_SYS_NO_JITTER_ENTROPY=1")
    return binary, newest


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in ZIP_BYTES_MAX:
        fail(f"expected FUNCTION ({', '.join(ZIP_BYTES_MAX)}), BINARY and ZIP")
    function, path, target = sys.argv[1:]
    binary, glibc = check(path)
    entry = zipfile.ZipInfo("bootstrap", date_time=(1980, 1, 1, 0, 0, 0))
    entry.create_system = 3
    entry.external_attr = 0o100755 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(entry, binary, compresslevel=9)
    with open(target, "rb") as file:
        packed = file.read()
    print(
        f"{target}: {len(packed):,} bytes, binary {len(binary):,}, GLIBC_{glibc[0]}.{glibc[1]}, "
        f"SHA-256 {hashlib.sha256(packed).hexdigest()}"
    )
    limit = ZIP_BYTES_MAX[function]
    if len(packed) > limit:
        fail(f"{target} has {len(packed):,} bytes: expected at most {limit:,}")


main()
