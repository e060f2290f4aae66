#!/usr/bin/env python3
"""Holds a proof against two programs for transparency logs that others wrote.

    foreign_proof.py PROOF LEDGER KEY-FILE

LEDGER is the folder `_ledger` of the archive, KEY-FILE the log's verifier key, outside of it.
`aics-tlog` must find the proof's entry in the proof's signed checkpoint, and another entry not;
`tlog-scales`, which reads the tiles, must make the same proof, byte for byte, but for `extra`.
"""
import base64, pathlib, subprocess, sys, tempfile


def run(module, *arguments):
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def main(proof, ledger, key):
    text = pathlib.Path(proof).read_text(encoding="utf-8")
    head, note = text.split("\n\n", 1)
    first, extra, index, *path = head.split("\n")
    index = int(index.removeprefix("index "))
    extra = base64.b64decode(extra.removeprefix("extra ")).decode()
    begin, end = extra.index("\n") + 1, min(
        extra.index(name) for name in ["segment-index ", "line-index "] if name in extra)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name, content in [("entry", extra[begin:end]), ("note", note), ("other", extra),
                              ("path", "".join(line + "\n" for line in path))]:
            (folder / name).write_text(content, encoding="utf-8")
        for leaf, expected in [("entry", 0), ("other", 1)]:
            code, out, err = run(
                "aics_tlog.cli", "verify-inclusion", "--leaf", folder / leaf, "--index", index,
                "--checkpoint", folder / "note", "--proof", folder / "path", "--vkey-file", key)
            assert code == expected, (leaf, code, out, err)
    code, out, err = run("tlog_scales.cli", "gen-proof", ledger, index)
    assert code == 0, err
    assert out == "\n".join([first, f"index {index}", *path]) + "\n\n" + note, out
    print("agreed")


if __name__ == "__main__":
    main(*sys.argv[1:])
