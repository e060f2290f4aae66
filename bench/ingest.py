#!/usr/bin/env python3
"""Ingest of one file, ours beside DuckDB, one thread each, in one run.

    bench/setup.sh target/bench-venv
    cargo build --release -p meshledger-bench
    target/bench-venv/bin/python bench/ingest.py --bench target/release/meshledger-bench \\
        [--events 1000000] [--rounds 3]

Linux only: CPU time and memory come from /proc.

Ours: parse, Parquet, SHA-256 of input and output, statistics.
DuckDB: COPY (SELECT ... FROM read_json(..., columns={...})) TO ... (FORMAT parquet, COMPRESSION zstd).
Reports CPU seconds, JSON megabytes per CPU second, stored bytes per event and peak memory, and
the ratios. Rounds alternate, and the smallest CPU time of each engine counts, since the machine
is shared.
"""
import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
STRINGS = [
    "authority", "connection_termination_details", "downstream_local_address",
    "downstream_remote_address", "method", "path", "protocol", "request_id",
    "requested_server_name", "response_code_details", "response_flags", "route_name",
    "upstream_cluster", "upstream_host", "upstream_local_address", "upstream_service_time",
    "upstream_transport_failure_reason", "user_agent", "x_forwarded_for",
]
NUMBERS = ["bytes_received", "bytes_sent", "duration", "response_code"]
DUCKDB = """
import json, resource, sys, duckdb
assert duckdb.__version__.startswith("2.0."), f"expected DuckDB 2.0, found {duckdb.__version__}"
source, target, strings, numbers = sys.argv[1], sys.argv[2], sys.argv[3].split(","), sys.argv[4].split(",")
columns = {"start_time": "TIMESTAMP"} | {s: "VARCHAR" for s in strings} | {n: "BIGINT" for n in numbers}
db = duckdb.connect()
db.execute("SET autoinstall_known_extensions=false; SET threads=1; SET enable_progress_bar=false")
before = resource.getrusage(resource.RUSAGE_SELF)
db.execute(f"COPY (SELECT * FROM read_json('{source}', format='newline_delimited', columns={columns!r})) "
           f"TO '{target}' (FORMAT parquet, COMPRESSION zstd)")
after = resource.getrusage(resource.RUSAGE_SELF)
cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
print(json.dumps({"engine": "duckdb " + duckdb.__version__, "cpu_seconds": round(cpu, 2),
                  "peak_memory_bytes": after.ru_maxrss * 1024}))
"""


def run(command):
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--events", type=int, default=1_000_000)
    options.add_argument("--seed", type=int, default=42)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--bench", help="the built meshledger-bench", required=True)
    options.add_argument("--python", default=sys.executable, help="a Python with duckdb 2.0")
    options = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "input.jsonl")
        subprocess.run([options.bench, "generate", str(options.events), str(options.seed),
                        "default", source], check=True)
        size = os.path.getsize(source)
        target = os.path.join(folder, "duckdb.parquet")
        best = {}
        for _ in range(options.rounds):
            ours = run([options.bench, "ingest", source])
            assert ours["events"] == options.events and ours["rejects"] == 0, ours
            redacting = run([options.bench, "ingest-redacting", source])
            rootless = run([options.bench, "ingest-without-row-roots", source])
            theirs = run([options.python, "-c", DUCKDB, source, target,
                          ",".join(STRINGS), ",".join(NUMBERS)])
            theirs["stored_bytes"] = os.path.getsize(target)
            for name, result in (("meshledger", ours), ("redacting", redacting),
                                 ("no row root", rootless), ("duckdb", theirs)):
                if name not in best or result["cpu_seconds"] < best[name]["cpu_seconds"]:
                    best[name] = result
    print(f"{options.events:,} events, {size:,} bytes of JSON ({size / options.events:.0f} a record), "
          f"{platform.machine()}, {os.cpu_count()} cores")
    print(f"{'':12}{'CPU s':>8}{'MB/CPU s':>10}{'B/event':>9}{'peak MB':>9}")
    for name, result in best.items():
        print(f"{name:12}{result['cpu_seconds']:8.2f}{size / 1e6 / result['cpu_seconds']:10.0f}"
              f"{result['stored_bytes'] / options.events:9.1f}{result['peak_memory_bytes'] / 1e6:9.0f}")
    ours, theirs = best["meshledger"], best["duckdb"]
    more = ours["cpu_seconds"] - best["no row root"]["cpu_seconds"]
    print(f"row roots: {more / options.events * 1e9:.0f} ns a row")
    print(f"ratio (duckdb / meshledger, above 1 is ours): CPU {theirs['cpu_seconds'] / ours['cpu_seconds']:.2f}, "
          f"bytes {theirs['stored_bytes'] / ours['stored_bytes']:.2f}, "
          f"memory {theirs['peak_memory_bytes'] / ours['peak_memory_bytes']:.2f}")


if __name__ == "__main__":
    main()
