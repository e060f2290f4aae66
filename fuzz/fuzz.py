"""Corpora of the fuzz targets, and runs measured in CPU seconds. `run.sh` calls this; README.md
says how. Only Python's standard library is used."""

import base64
import glob
import gzip
import hashlib
import json
import os
import re
import signal
import struct
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "..", "tests", "data")
KEPT = os.path.join(HERE, "corpora")
WORK = os.environ["FUZZ_WORK"]
PROGRAM = os.environ["FUZZ_PROGRAM"]

FOLDERS = ["envoy_text", "otlp", "ztunnel", "linkerd", "consul", "kubernetes", "hoop", "shippers"]
TARGETS = ["envoy_json", "envoy_text", "otlp_json", "otlp_protobuf", "ztunnel", "linkerd",
           "consul", "kubernetes", "hoop", "shippers", "auto", "redact", "replay"]
INPUT_BYTES_MAX = 16 * 1024
# What is kept of one target in the repository at most, packed.
KEPT_BYTES_MAX = 110_000
# Exit code of libFuzzer that was told to end.
INTERRUPTED = 72

CREDENTIALS = [
    b'{"path":"/a?token=abc&x=1","authorization":"Bearer abc.def","n":1}',
    b'{"log":"{\\"password\\":\\"p\\",\\"a\\":\\"Basic dXNlcjpwYXNz\\"}","stream":"stdout"}',
    b'https://user:pass@example.com/?code=1&state=2 eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcdefgh',
    b'-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----',
    b'{"kind":"Secret","apiVersion":"v1","data":{"a":"AAAA"},"stringData":{"b":"c"}}',
    b'ghp_0123456789abcdefghijABCDEFGHIJ012345 AKIA0123456789ABCDEF',
]


def fixtures():
    """Every record of the fixtures: its folder, its source, its bytes."""
    for path in sorted(glob.glob(os.path.join(DATA, "envoy", "*.jsonl"))):
        with open(path, "rb") as file:
            for line in file.read().splitlines()[::2]:
                yield "envoy", "auto", line
    for folder in FOLDERS:
        with open(os.path.join(DATA, folder, "cases.jsonl"), encoding="utf-8") as file:
            for line in file:
                case = json.loads(line)
                if "record" in case:
                    record = case["record"].encode()
                else:
                    record = base64.b64decode(case["record_base64"])
                yield folder, case["source"], record


def seeds(target):
    for folder, source, record in fixtures():
        is_protobuf = source == "otlp_protobuf"
        if target == "otlp_protobuf":
            wanted = is_protobuf
        elif target == "otlp_json":
            wanted = folder == "otlp" and not is_protobuf
        elif target in ("auto", "replay", "redact"):
            wanted = not is_protobuf and len(record) < 4096
        else:
            wanted = folder == target or (folder, target) == ("envoy", "envoy_json")
        if wanted and len(record) <= INPUT_BYTES_MAX:
            yield record
    if target in ("redact", "replay", "auto"):
        yield from CREDENTIALS
    if target == "envoy_json":
        # Several records, so that what they have in common is seen.
        lines = [record for folder, _, record in fixtures() if folder == "envoy"]
        for at in range(0, len(lines), 6):
            yield b"\n".join(lines[at:at + 6])[:INPUT_BYTES_MAX]
            yield b"\n".join([lines[at]] * 5)


def kept(target):
    path = os.path.join(KEPT, target + ".gz")
    if not os.path.exists(path):
        return
    with gzip.open(path) as file:
        packed = file.read()
    at = 0
    while at < len(packed):
        (length,) = struct.unpack_from("<I", packed, at)
        yield packed[at + 4:at + 4 + length]
        at += 4 + length


def folder(*parts):
    path = os.path.join(WORK, *parts)
    os.makedirs(path, exist_ok=True)
    return path


def put(path, data):
    with open(os.path.join(path, hashlib.sha1(data).hexdigest()), "wb") as file:
        file.write(data)


def prepare(target):
    corpus = folder("corpus", target)
    words = set()
    for record in seeds(target):
        put(corpus, record)
        words.update(re.findall(rb'"([^"\\]{2,40})"', record))
    for data in kept(target):
        put(corpus, data)
    words = sorted(words, key=lambda word: hashlib.sha1(word).digest())[:400]
    for syntax in [b'{"', b'":', b'","', b'\\u0022', b'\\"', b'null', b'[{', b'}]', b'\\ud800']:
        words.append(syntax)
    with open(os.path.join(folder("words"), target), "w") as file:
        for word in words:
            file.write('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n')
    return corpus


def program(target):
    """The link by whose name the program knows which target it is."""
    link = os.path.join(folder("programs"), target)
    # A program that was built elsewhere before must not be run in its place.
    if os.path.islink(link) and os.readlink(link) != PROGRAM:
        os.remove(link)
    if not os.path.islink(link):
        os.symlink(PROGRAM, link)
    return link


def cpu_of(pid):
    """CPU seconds of a running process."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def fuzz(target, corpus, seconds, log):
    """One run of the program that ends at so many CPU seconds, or when it found something;
    gives its exit code and the seconds."""
    with open(log, "wb") as file:
        running = subprocess.Popen(
            [program(target), corpus, "-dict=" + os.path.join(WORK, "words", target),
             *options(target)], stdout=subprocess.DEVNULL, stderr=file, cwd=WORK)
        used = 0
        while running.poll() is None:
            try:
                used = cpu_of(running.pid)
            except (OSError, IndexError):
                break
            if used >= seconds:
                # libFuzzer then says what it did, and ends.
                running.send_signal(signal.SIGINT)
                break
            time.sleep(1)
        code = running.wait()
    return (0 if code == INTERRUPTED else code), used


def options(target):
    return [f"-max_len={INPUT_BYTES_MAX}", "-timeout=300", "-rss_limit_mb=3000",
            f"-artifact_prefix={folder('found', target)}/", "-print_final_stats=1"]


def run(target, seconds):
    corpus = prepare(target)
    path = os.path.join(folder("logs"), target)
    code, used = fuzz(target, corpus, seconds, path)
    with open(path, encoding="utf-8", errors="replace") as file:
        log = file.read()
    executions = [int(number) for number in re.findall(r"^#(\d+)\t", log, re.MULTILINE)]
    states = re.findall(r"cov: (\d+) ft: (\d+)", log)
    coverage, features = (max(map(int, column)) for column in zip(*states)) if states else (0, 0)
    if code != 0:
        print(f"{target}: FOUND something; it is in {folder('found', target)}:")
        print("\n".join(log.splitlines()[-40:]))
    result = {"date": time.strftime("%Y-%m-%d"), "target": target, "cpu_seconds": round(used),
              "executions": max(executions, default=0), "coverage": coverage,
              "features": features, "corpus": len(os.listdir(corpus)), "ended_well": code == 0}
    with open(os.path.join(WORK, "runs.jsonl"), "a") as file:
        file.write(json.dumps(result) + "\n")
    print(json.dumps(result), flush=True)
    return code


def reduced(target):
    """The inputs of a corpus that reach something no smaller one reaches."""
    place = folder("reduced", target)
    for name in os.listdir(place):
        os.remove(os.path.join(place, name))
    subprocess.run([program(target), "-merge=1", place, prepare(target), *options(target)],
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=WORK, check=True)
    return place


def keep(target):
    """Packs a corpus, as evenly over its lengths as there is room. The fixtures are left out,
    since they are tests of their own; what the fuzzer found once is in it in any case."""
    if os.environ.get("FUZZ_MERGE", "yes") == "yes":
        place = reduced(target)
    else:
        place = prepare(target)
    known = set(seeds(target))
    inputs = set(kept(target))
    for name in os.listdir(place):
        with open(os.path.join(place, name), "rb") as file:
            inputs.add(file.read())
    inputs = sorted(inputs - known, key=lambda data: (len(data), data))
    found = []
    for path in sorted(glob.glob(os.path.join(HERE, "found", target + "-*"))):
        with open(path, "rb") as file:
            found.append(file.read())
    inputs = [data for data in inputs if data not in found]
    count = len(inputs)
    while True:
        chosen = [inputs[at * len(inputs) // count] for at in range(count)]
        packed = b"".join(struct.pack("<I", len(data)) + data for data in found + chosen)
        packed = gzip.compress(packed, 9, mtime=0)
        if len(packed) <= KEPT_BYTES_MAX:
            break
        count = count * 9 // 10
    os.makedirs(KEPT, exist_ok=True)
    with open(os.path.join(KEPT, target + ".gz"), "wb") as file:
        file.write(packed)
    print(f"{target}: {len(found)} found, {count} of {len(inputs)} inputs, {len(packed)} bytes")


def main():
    what, names, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    targets = TARGETS if names == "all" else names.split(",")
    if what == "keep":
        for target in targets:
            keep(target)
        return 0
    return max(abs(run(target, seconds)) for target in targets)


sys.exit(main())
