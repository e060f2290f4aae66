#!/usr/bin/env python3
"""Twenty questions (bench/questions.sql) over one archive: Meshledger, DuckDB and chDB on the same
Parquet files, in one run, with two threads each.

    bench/setup.sh target/bench-venv
    cargo build --profile dist -p meshledger-cli && cargo build --profile dist -p meshledger-query-fn --example questions
    target/bench-venv/bin/python bench/questions.py --profile-dir target/dist [--events 30000000]
    … --archive s3://bucket/prefix       an archive that is there already; AWS_* variables reach it.
                                         DuckDB's extension for it can be had as a package for 1.5.5:
                                         bench/setup.sh target/bench-venv-s3 1.5.5

Makes the archive first if there is none at --archive (a folder): traffic of 30 days, as `generate`
makes it. Each engine is a process of its own that opens the files once; each question is asked once
to warm up, its rows compared with the others', and then --rounds times: the mean of its CPU seconds
and the least of its wall seconds count. Bytes and requests are ours, of the first time.
"""

import argparse
import json
import math
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
DAYS, START = 30, "2026-10-01"
DAY, WEEK_END = "2026-10-12", "2026-10-19"
THREADS = 2


def fail(text):
    sys.exit(f"bench/questions.py: {text}")


def questions(text):
    """Names and SQL of a file of questions."""
    parts = text.split("-- question: ")[1:]
    return [(name.strip(), sql.strip()) for name, _, sql in (p.partition("\n") for p in parts)]


def make_archive(meshledger, place, events, seed):
    """Traffic of a month, ingested and sealed."""
    print(f"making an archive of {events:,} events in {place}", file=sys.stderr)
    key = pathlib.Path(str(place) + ".key")
    subprocess.run([meshledger, "init", "--archive", place, "--key", key], check=True,
                   stdout=subprocess.DEVNULL)
    generate = subprocess.Popen(
        [meshledger, "generate", "--events", str(events), "--days", str(DAYS), "--start", START,
         "--seed", str(seed), "--out", "-"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    subprocess.run([meshledger, "ingest", "--archive", place, "--key", key, "--seal", "-"],
                   stdin=generate.stdout, check=True, stdout=subprocess.DEVNULL)
    if generate.wait() != 0:
        fail("generate failed")


def files_of(place):
    """All data files, as the peers can open them; after a quiet ingest the log names each."""
    if not place.startswith("s3://"):
        return sorted(str(p) for p in pathlib.Path(place, "data").rglob("*.parquet"))
    return [f"{place}/data/*/*.parquet"]


class DuckDb:
    name = "duckdb"

    def __init__(self, files):
        import duckdb
        self.connection = duckdb.connect(config={"autoinstall_known_extensions": "false",
                                                 "autoload_known_extensions": "false"})
        self.version = duckdb.__version__
        run = self.connection.execute
        if files[0].startswith("s3://"):
            import duckdb_extension_httpfs
            folder = pathlib.Path(duckdb_extension_httpfs.__file__).parent
            extension = next(folder.rglob("*.duckdb_extension"))
            run(f"LOAD '{extension}'")
            endpoint = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
            run(f"CREATE SECRET (TYPE s3, KEY_ID '{os.environ['AWS_ACCESS_KEY_ID']}', "
                f"SECRET '{os.environ['AWS_SECRET_ACCESS_KEY']}', ENDPOINT '{endpoint}', "
                f"URL_STYLE 'path', USE_SSL false, REGION 'us-east-1')")
            # What is measured is reading from the store. DuckDB would keep the bytes in memory of its
            # own after the first time, as the page cache does for all engines in a folder.
            run("SET enable_external_file_cache = false")
        run(f"SET threads = {THREADS}")
        run("SET TimeZone = 'UTC'")
        run("SET parquet_metadata_cache = true")
        listed = ", ".join(f"'{f}'" for f in files)
        run(f"CREATE VIEW mesh_events AS FROM read_parquet([{listed}], hive_partitioning = true, "
            "hive_types = {'event_date': DATE})")

    def ask(self, sql):
        return self.connection.execute(sql).fetchall()


class ChDb:
    name = "chdb"

    def __init__(self, files):
        import chdb
        from chdb import session
        self.version = chdb.__version__
        self.session = session.Session()
        if files[0].startswith("s3://"):
            endpoint = os.environ["AWS_ENDPOINT_URL"].rstrip("/")
            path = files[0].removeprefix("s3://")
            source = (f"s3('{endpoint}/{path}', '{os.environ['AWS_ACCESS_KEY_ID']}', "
                      f"'{os.environ['AWS_SECRET_ACCESS_KEY']}', 'Parquet')")
        else:
            root = pathlib.Path(files[0]).parent.parent
            source = f"file('{root}/*/*.parquet', 'Parquet')"
        self.settings = f" SETTINGS max_threads = {THREADS}, use_hive_partitioning = 1"
        self.session.query("CREATE DATABASE bench")
        self.session.query(f"CREATE VIEW bench.mesh_events AS SELECT * FROM {source}")

    def ask(self, sql):
        sql = sql.replace("mesh_events", "bench.mesh_events") + self.settings
        text = self.session.query(sql, "JSONCompactEachRow").bytes().decode()
        return [json.loads(line) for line in text.splitlines() if line]


def run_peer(engine, questions_file, files, rounds):
    """The peer's side, in a process of its own: a line of JSON a question."""
    peer = {"duckdb": DuckDb, "chdb": ChDb}[engine](files)
    print(json.dumps({"version": peer.version}))
    for name, sql in questions(pathlib.Path(questions_file).read_text()):
        rows = [[str(v) if v is not None else None for v in row] for row in peer.ask(sql)]
        before = resource.getrusage(resource.RUSAGE_SELF)
        wall = math.inf
        for _ in range(rounds):
            began = time.perf_counter()
            peer.ask(sql)
            wall = min(wall, time.perf_counter() - began)
        after = resource.getrusage(resource.RUSAGE_SELF)
        cpu = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / rounds
        print(json.dumps({"name": name, "cpu_seconds": cpu, "wall_seconds": wall, "rows": rows}),
              flush=True)


def same(ours, theirs):
    """Whether two answers are the same but for how numbers are written."""
    def plain(rows):
        return [[None if v is None else str(v) for v in row] for row in rows]
    return plain(ours) == plain(theirs)


def values(files):
    """What the questions ask for, from one file of the archive."""
    code = f"""
import json, sys
sys.path.insert(0, {str(HERE)!r})
import questions
peer = questions.DuckDb({files!r})
one = lambda sql: peer.ask(sql)[0]
row = one("SELECT request_id, trace_id, principal, dst_service FROM mesh_events WHERE event_date = DATE '{DAY}' "
          "AND request_id IS NOT NULL AND trace_id IS NOT NULL AND principal IS NOT NULL AND dst_service IS NOT NULL "
          "ORDER BY request_id LIMIT 1")
print(json.dumps(dict(zip(("request_id", "trace_id", "principal", "service"), row))))
"""
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return {**json.loads(found.stdout), "day": DAY, "week_end": WEEK_END}


def lines_of(command):
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if ran.returncode != 0:
        fail(f"{command[0]} ended with {ran.returncode}")
    return [json.loads(line) for line in ran.stdout.splitlines()]


def geometric_mean(numbers):
    return math.exp(sum(map(math.log, numbers)) / len(numbers))


def report(ours, peers, versions):
    print(f"Meshledger beside {', '.join(versions)}; {THREADS} threads each\n")
    print("| question | ours, CPU s | DuckDB | chDB | ratio to the better | wall ratio | MB | requests | files |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    ratios, walls = [], []
    for mine in ours:
        theirs = {name: answers[mine["name"]] for name, answers in peers.items()}
        best = min(t["cpu_seconds"] for t in theirs.values())
        # A clock that ticks a hundred times a second can not tell less than this apart.
        ratio = max(mine["cpu_seconds"], 1e-3) / max(best, 1e-3)
        wall = mine["wall_seconds"] / min(t["wall_seconds"] for t in theirs.values())
        ratios.append(ratio)
        walls.append(wall)
        cells = [f"{t['cpu_seconds']:.3f}" for t in theirs.values()]
        print(f"| {mine['name']} | {mine['cpu_seconds']:.3f} | {' | '.join(cells)} | {ratio:.2f} | {wall:.2f} "
              f"| {mine['bytes'] / 1e6:.1f} | {mine['requests']} | {mine['files']} of {mine['files_total']} |")
    print(f"| **geometric mean** | | | | **{geometric_mean(ratios):.2f}** | **{geometric_mean(walls):.2f}** | | | |")
    for mine in ours:
        for name, answers in peers.items():
            if not same(mine["rows"], answers[mine["name"]]["rows"]):
                print(f"\n{mine['name']}: {name} answers otherwise\n  ours   {mine['rows'][:3]}\n"
                      f"  {name} {answers[mine['name']]['rows'][:3]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile-dir", default="target/dist", help="where meshledger and examples/questions are")
    parser.add_argument("--archive", default="target/bench-archive")
    parser.add_argument("--events", type=int, default=30_000_000)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer", choices=["duckdb", "chdb"], help=argparse.SUPPRESS)
    parser.add_argument("--questions", default=str(HERE / "questions.sql"))
    parser.add_argument("files", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        run_peer(arguments.peer, arguments.questions, arguments.files, arguments.rounds)
        return
    meshledger = shutil.which("meshledger", path=arguments.profile_dir) or fail(f"no meshledger in {arguments.profile_dir}")
    example = os.path.join(arguments.profile_dir, "examples", "questions")
    is_remote = arguments.archive.startswith("s3://")
    if not is_remote and not os.path.exists(arguments.archive):
        make_archive(meshledger, arguments.archive, arguments.events, arguments.seed)
    files = files_of(arguments.archive)
    found = values(files)
    text = pathlib.Path(arguments.questions).read_text()
    for name, value in found.items():
        text = text.replace("{%s}" % name, value.replace("'", "''"))
    filled = pathlib.Path(arguments.profile_dir) / "questions-filled.sql"
    filled.write_text(text)
    rounds = str(arguments.rounds)
    ours = lines_of([example, arguments.archive, str(filled), rounds, str(THREADS)])
    peers, versions = {}, []
    for peer in ("duckdb", "chdb"):
        head, *answers = lines_of([sys.executable, __file__, "--peer", peer, "--questions", str(filled),
                                   "--rounds", rounds, "--", *files])
        versions.append(f"{peer} {head['version']}")
        peers[peer] = {a["name"]: a for a in answers}
    report(ours, peers, versions)


if __name__ == "__main__":
    main()
