#!/usr/bin/env python3
"""How often a row keeps its record's text in `raw`, by source format.

    python3 bench/raw_kept.py --meshledger target/release/meshledger [--events 100000]

A row whose columns and `attributes` give its record back, value by value, needs no `raw`; rows of
text formats, of records in an envelope, and of records that would not come back have it. Rows are
counted in archives made of the fixtures, each record a delivery of its own, and of generated
traffic in each of its formats. Needs the Python package duckdb, which reads the archives.
"""
import argparse
import base64
import glob
import json
import os
import subprocess
import tempfile

import duckdb

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "..", "tests", "data")


def fixtures(folder):
    """Files of records below a folder, by the source they are configured to come from."""
    for path in sorted(glob.glob(os.path.join(DATA, "*", "*.jsonl"))):
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file):
                name, source, record = f"{number}", "auto", line.rstrip("\n").encode()
                if os.path.basename(path) == "cases.jsonl":
                    case = json.loads(line)
                    source = case["source"]
                    record = case.get("record", "").encode()
                    if "record_base64" in case:
                        record = base64.b64decode(case["record_base64"])
                place = os.path.join(folder, source)
                os.makedirs(place, exist_ok=True)
                stem = os.path.relpath(path, DATA).replace(os.sep, "-")
                with open(os.path.join(place, f"{stem}-{name}"), "wb") as out:
                    out.write(record)


class Archive:
    def __init__(self, program, folder):
        self.program, self.url = program, os.path.join(folder, "archive")
        self.run("init", "--archive", self.url)

    def run(self, *arguments):
        done = subprocess.run([self.program, *arguments], capture_output=True, text=True)
        assert done.returncode in (0, 4), done.stderr

    def ingest(self, source, *paths):
        self.run("ingest", "--archive", self.url, "--source", source, "--redaction", "none", *paths)

    def shares(self):
        files = [path for root in (self.url, self.url + ".work")
                 for path in glob.glob(os.path.join(root, "**", "*.parquet"), recursive=True)]
        seen = {}
        for path in files:
            # What waits and what is sealed may be the same file.
            seen[os.path.basename(path)] = path
        events = [path for path in seen.values() if "quarantine" not in path]
        return duckdb.sql(
            "select source_format, count(*), count(raw), sum(strlen(raw)) "
            f"from read_parquet({events!r}, union_by_name = true) group by all order by all"
        ).fetchall()


def show(title, shares):
    for source_format, rows, kept, size in shares:
        mean = f"{size / kept:8.0f}" if kept else "       -"
        print(f"{title:20}{source_format:24}{rows:9}{kept:9}{100 * kept / rows:8.1f} %{mean}")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--meshledger", required=True, help="the built command line")
    options.add_argument("--events", type=int, default=100_000, help="generated records a format")
    options = options.parse_args()
    program = os.path.abspath(options.meshledger)
    print(f"{'records':20}{'source_format':24}{'rows':>9}{'with raw':>9}{'share':>10}{'bytes':>8}")
    with tempfile.TemporaryDirectory() as scratch:
        fixtures(os.path.join(scratch, "records"))
        archive = Archive(program, scratch)
        for source in sorted(os.listdir(os.path.join(scratch, "records"))):
            place = os.path.join(scratch, "records", source)
            archive.ingest(source, *sorted(os.path.join(place, name) for name in os.listdir(place)))
        show("fixtures", archive.shares())
    for written in ("default", "extended", "mixed"):
        with tempfile.TemporaryDirectory() as scratch:
            archive = Archive(program, scratch)
            traffic = os.path.join(scratch, "traffic")
            archive.run("generate", "--events", str(options.events), "--format", written, "--out", traffic)
            archive.ingest("auto", *glob.glob(os.path.join(traffic, "*.jsonl")))
            show(f"generated, {written}", archive.shares())


if __name__ == "__main__":
    main()
