#!/usr/bin/env python3
"""Has two verifiers of transparency logs that others wrote judge an archive's ledger.

foreign_logs.py LEDGER_FOLDER VERIFIER_KEY [EARLIER_CHECKPOINT]

Prints one JSON object: what each of them says, "ok" or why it refuses. Nothing of Meshledger is
used, and of the ledger only what C2SP's pages say of it.
"""

import contextlib
import io
import json
import sys
import tempfile
from pathlib import Path

from aics_tlog.cli import main as aics
from tlog_scales import backend, signing, tiles
from tlog_scales.reader import TilesReader
from tlog_scales.tlog import Checkpoint


def by_aics(ledger: Path, key: str, earlier: Path | None) -> None:
    """Signature, every inclusion, and consistency, by its command line."""
    with tempfile.TemporaryDirectory() as scratch:
        # It refuses a key that lies in the folder it judges, and so should everybody.
        key_file = Path(scratch) / "log.vkey"
        key_file.write_text(key + "\n")
        known = ["--vkey-file", str(key_file), "--tiles", str(ledger)]
        size = int((ledger / "checkpoint").read_text().split("\n")[1])
        runs = [["verify-checkpoint", *known]]
        runs += [["verify-inclusion", "--index", str(i), *known] for i in range(size)]
        if earlier is not None:
            runs.append(["verify-consistency", "--old-checkpoint", str(earlier), *known])
        for run in runs:
            said = io.StringIO()
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                try:
                    code = aics(run)
                except SystemExit as e:
                    code = e.code
            if code not in (0, None):
                raise RuntimeError(f"{run[0]}: exit {code}: {said.getvalue().strip()}")


def by_scales(ledger: Path, key: str, earlier: Path | None) -> None:
    """The same, by its library."""
    reader = TilesReader(backend.LocalBackend(ledger))
    vkey = signing.Vkey.from_string(key)
    head = reader.get_checkpoint()
    head.verify(vkey)
    for index in range(head.size):
        leaf = tiles.leaf_hash(reader.get_entry(index))
        reader.get_inclusion_proof(index, head.size).check(leaf, head.root_hash)
    if earlier is not None:
        old = Checkpoint.from_text(earlier.read_text())
        old.verify(vkey)
        proof = reader.get_consistency_proof(old.size, head.size)
        proof.check(old.root_hash, head.root_hash)


def verdict(judge, *what) -> str:
    try:
        judge(*what)
    except Exception as e:  # whatever it is, it is a refusal
        return f"{type(e).__name__}: {e}"
    return "ok"


def main() -> None:
    ledger, key = Path(sys.argv[1]), sys.argv[2]
    earlier = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    what = (ledger, key, earlier)
    print(json.dumps({"aics": verdict(by_aics, *what), "scales": verdict(by_scales, *what)}))


main()
