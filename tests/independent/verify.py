#!/usr/bin/env python3
"""Checks an archive that has a ledger, by docs/format.md alone; numbers in comments are clauses.

    verify.py ARCHIVE [WORK] --policy FILE

Ends with 0 if all is well, 1 after tampering, 2 if something is unfinished, 3 if called wrongly.
Nothing but Python and `cryptography`, and no line of Meshledger's own code, so that it can judge.
Deliberately not in it: S3, what is inside Parquet files, witnesses, keys that are not Ed25519.
"""
import base64, contextlib, datetime, hashlib, json, os, re, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

HEX, N20 = "([0-9a-f]{64})", r"(\d{20})"
DATA, QUARANTINE = rf"data/event_date=(\d{{4}}-\d\d-\d\d)/{HEX}\.parquet", rf"quarantine/{HEX}\.parquet"
findings, known = [], set()  # known: keys that something speaks of; the others are strays


def find(code, key, what="", tampering=True):
    findings.append(f"{'TAMPERING' if tampering else 'incomplete'} {code} {key} {what}")


@contextlib.contextmanager
def judge(code, key, tampering=True):  # whatever fails inside is this finding
    try:
        yield
    except Exception as error:
        find(code, key, f"{type(error).__name__} {error}", tampering)


def sha(data):
    return hashlib.sha256(data).digest()


def read(place, key, limit_mib=1):  # 2.8, 16.2
    known.add(key)
    assert key in place and os.path.isfile(place[key]) and not os.path.islink(place[key]), "missing"
    assert os.path.getsize(place[key]) <= limit_mib << 20, "too long"
    with open(place[key], "rb") as file:
        return file.read()


def parse(data):  # 5.1: no member stands twice
    def members(pairs):
        assert len(dict(pairs)) == len(pairs), "a member stands twice"
        return dict(pairs)
    return json.loads(data, object_pairs_hook=members)


def matching(keys, pattern):
    return [found for found in (re.fullmatch(pattern, key) for key in sorted(keys)) if found]


class Tree:  # 19.1, RFC 6962: levels[k][i] is the hash of the i-th whole subtree of 2^k leaves
    def __init__(self, leaves):
        self.levels = [[sha(b"\0" + leaf) for leaf in leaves]]
        while len(last := self.levels[-1]) > 1:
            self.levels.append([sha(b"\1" + one + two) for one, two in zip(last[::2], last[1::2])])

    def root(self, size=None):
        root, at = b"", len(self.levels[0]) if size is None else size
        assert at <= len(self.levels[0]), "more than there are"
        for k in [k for k in range(at.bit_length()) if at >> k & 1]:
            at -= 1 << k
            left = self.levels[k][at >> k]
            root = sha(b"\1" + left + root) if root else left
        return root or sha(b"")


def entry(version, commit):  # 19.2
    lines, segments, vouched = commit.split(b"\n")[:-1], [], ""
    with contextlib.suppress(Exception):  # what is no commit is told elsewhere
        tags = [action["add"]["tags"] for action in map(parse, lines) if "add" in action]
        segments = [f"segment {tag['ma.segment']}\nrows {tag['ma.rows']}\n"
                    f"row-root {tag['ma.row_root']}\n".encode() for tag in tags]
    with contextlib.suppress(Exception):
        named = parse(lines[0])["commitInfo"]["meshledger"]["delta_checkpoint"]
        vouched = f"delta-checkpoint {named['version']} {named['sha256']}\n"
    return (f"mesh-archive-commit/v1\nversion {version}\n"
            f"commit-sha256 {sha(commit).hex()}\ncommit-bytes {len(commit)}\n"
            f"lines {len(lines)}\nlines-root {Tree(lines).root().hex()}\n"
            f"segments {len(segments)}\nsegments-root {Tree(segments).root().hex()}\n{vouched}").encode()


def unbase64(text):  # 19.4
    assert base64.b64encode(data := base64.b64decode(text)).decode() == text, "not canonical base64"
    return data


def verifier_key(text):  # signed-note: name, key id, and type 1 with an Ed25519 key
    name, key_id, key = text.split("+", 2)
    key = unbase64(key)
    assert key[0] == 1 and sha(name.encode() + b"\n" + key).hex()[:8] == key_id, text
    return (name, key_id), Ed25519PublicKey.from_public_bytes(key[1:])


def policy(path):  # 19.7
    keys = {}
    for line in open(path, encoding="utf-8").read().splitlines():
        words = line.split()
        if words[:1] == ["log"]:
            keys.update([verifier_key(words[1])])
        else:
            assert not words or words[0][0] == "#" or words == ["quorum", "none"], line
    return keys


def note(data, keys, key, code="SIG"):  # signed-note: text, who signed, and whose signature is right
    text, gap, lines = data.decode().rpartition("\n\n")
    assert gap and lines[-1:] == "\n" and not re.search(rb"[\0-\x09\x0b-\x1f]", data), "no note"
    signers, good = [], []
    for line in lines[:-1].split("\n"):
        name, signature = re.fullmatch("\u2014 ([^ +]+) ([^ ]+)", line).groups()
        signers.append((name, unbase64(signature)[:4].hex()))
        if public := keys.get(signers[-1]):
            with judge(code, key):
                public.verify(unbase64(signature)[4:], (text + "\n").encode())
                good.append(signers[-1])
    return text, signers, good


def checkpoint(data, keys, key):  # 19.4, 19.7
    text, signers, good = note(data, keys, key)
    origin, size, root = text.split("\n")
    assert re.fullmatch("0|[1-9][0-9]{0,18}", size) and len(unbase64(root)) == 32, "no checkpoint"
    return origin, int(size), unbase64(root), signers, good


def rotations(here, origin, tree):  # 19.10
    for found in matching(here, rf"_ledger/statements/{HEX}"):
        with judge("ROTATION", found[0]):
            data = read(here, found[0])
            lines = data.decode().split("\n\n")[0].split("\n")
            old, new = (verifier_key(line.split(" ", 1)[1]) for line in lines[2:4])
            text, signers, good = note(data, dict([old, new]), found[0], "ROTATION")
            size, root = int(lines[4].split(" ")[1]), lines[5].split(" ")[1]
            assert text.split("\n") == [
                "mesh-archive-key-rotation/v1", f"origin {origin}", "old-key" + lines[2][7:],
                "new-key" + lines[3][7:], f"size {size}", f"root {root}"], "no statement"
            assert old[0] != new[0] and old[0][0] == new[0][0] == origin, "keys of another name"
            assert sorted(signers) == sorted(good) == sorted([old[0], new[0]]), "not both signed"
            assert sha(data).hex() == found[1] and tree.root(size).hex() == root, "another root"
            yield old, new, size


def check_turns(changes, spans):  # 19.11
    counts = [(old[0], new[0], size) for old, new, size in changes if new[0] in spans]
    for who, (first, last, key) in spans.items():
        turn = ([size for _, new, size in counts if new == who], [s for old, _, s in counts if old == who])
        if first < min(turn[0], default=0) or last > max(turn[1], default=last):
            find("ROTATION", key, f"{who} signed {first} to {last}, not in its turn")
        if len({new for old, new, _ in counts if old == who}) > 1:
            find("ROTATION", key, f"{who} has two successors")
        if len(spans) > 1 and not any(who in one[:2] for one in counts):
            find("ROTATION", key, f"{who} signed, and no statement says that it may")
    for old, new, size in changes:
        if new[0] not in spans and not any(o == old[0] and s >= size for o, _, s in counts):
            find("ROTATION", "_ledger/statements", f"{new[0]} has signed nothing", False)


def tile_key(level, index, width):  # 19.3
    groups = re.findall("...", str(index).zfill(-(-len(str(index)) // 3) * 3))
    path = "/".join(["x" + group for group in groups[:-1]] + groups[-1:])
    return f"_ledger/tile/{level}/{path}" + (f".p/{width}" if width < 256 else "")


def check_ledger(here, work, entries, table_id, keys):  # 14.4, 19
    tree, published, head = Tree(entries), 0, "_ledger/checkpoint"
    with judge("NOTE", head):
        origin = checkpoint(read(here, head), {}, head)[0]
        changes = list(rotations(here, origin, tree))
        tied = {who: key for who, key in keys.items() if who[0] == origin}  # 19.12
        while more := [pair for pair in changes if (pair[0][0] in tied) != (pair[1][0] in tied)]:
            tied.update(more[0][:2])
        origin, published, root, signers, good = checkpoint(read(here, head), tied | keys, head)
        if not any(who in keys and who[0] == origin for who in good):
            find("SIG", head, "no log of the policy signed it")
        if not origin.endswith(f"/{table_id}"):
            find("ORIGIN", head, table_id)
        if published < len(entries):
            find("UNSEALED", head, published, False)
        with judge("GAP" if published > len(entries) else "LEAF", head):
            assert tree.root(published) == root, "the commits have another root"
        spans = {who: (published, published, head) for who in signers if who in tied}
        for found in matching(here, rf"_ledger/checkpoints/{N20}/([0-9a-f]{{8}})"):
            with judge("NOTE", found[0]):
                name, size, root, signers, _ = checkpoint(read(here, found[0]), tied, found[0])
                assert len(signers) == 1 and signers[0][1] == found[2], "not one signature of its key"
                with judge("FORK", found[0]):
                    assert (name, size, tree.root(size)) == (origin, int(found[1]), root), "another"
                    if signers[0][0] != origin:  # 19.13: of a witness, which is not judged here
                        find("SIG", found[0], "a witness that is not known", False)
                        continue
                    if signers[0] not in tied:
                        find("SIG", found[0], "of an unknown key")
                    first, last, key = spans.get(signers[0], (size, size, found[0]))
                    spans[signers[0]] = min(first, size), max(last, size), key
        check_turns(changes, spans)
        if "lock/begun" in work:  # 19.9
            with judge("ROTATION", "lock/begun"):
                text = read(work, "lock/begun").decode()
                assert text[-1:] == "\n" and verifier_key(text[:-1])[0][0] == origin, "another key"
    for found in matching(work, f"lock/{N20}"):
        with judge("FORK", found[0]):
            assert read(work, found[0]) == tree.root(int(found[1])).hex().encode() + b"\n"
    for level, hashes in [("entries", entries), *enumerate(tree.levels[::8])]:
        now = published >> 8 * (level if level != "entries" else 0)
        for end in range(1, len(hashes) + 1):
            first = (end - 1) // 256 * 256
            key, content = tile_key(level, first // 256, end - first), hashes[first:end]
            if level == "entries":
                content = [len(one).to_bytes(2, "big") + one for one in content]
            if key in here or end == now or end % 256 == 0 and end < now:
                with judge("TILE", key):
                    assert read(here, key, 16) == b"".join(content), "other bytes"


def described(file, timestamp, times):  # 8.7, 10.8, 10.9; `times` are the columns that hold times
    def clock(micros, up):
        millis = -(-micros // 1000) if up else micros // 1000
        time = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=millis)
        return time.isoformat(timespec="milliseconds") + "Z"

    def bounds(name, up):
        found = {column: stats[name] for column, stats in file["stats"].items() if name in stats}
        return {c: clock(value, up) if c in times else value for c, value in found.items()}
    nulls = {column: stats["nulls"] for column, stats in file["stats"].items()}
    return {"path": file["path"], "partitionValues": {"event_date": file["event_date"]},
            "size": file["bytes"], "modificationTime": timestamp, "dataChange": True,
            "stats": json.dumps({"numRecords": file["rows"], "minValues": bounds("min", False),
                                 "maxValues": bounds("max", True), "nullCount": nulls}, sort_keys=True),
            "tags": {"ma.row_enc": "row/v1"} | {f"ma.{name}": str(file[name]) for name in (
                "sha256 rows segment event_time_micros_min event_time_micros_max row_root".split())}
            | ({"ma.s3_version": file["version"]} if "version" in file else {})}


def manifest(data, delivery):  # 5.9
    m = parse(data)
    ids = [bytes.fromhex(unit["id"]) for unit in m["units"]]
    assert m["format"] == 1 and m["delivery"] == delivery == sha(b"".join(ids)).hex(), "delivery"
    assert 0 < len(ids) == len(set(ids)), "units"
    for file in m["files"]:
        parts = [part for unit in m["units"] for part in unit["rows"]]
        rows = [part["count"] for part in parts if part["segment"] == file["segment"]]
        assert sum(rows) == file["rows"] and min(rows) > 0, "rows"
        derived = sha(bytes.fromhex(delivery) + file["event_date"].encode())[:16].hex()  # 3.4
        assert file["segment"] == derived, "segment"
        named = re.fullmatch(DATA, file["path"])
        assert named.groups() == (file["event_date"], file["sha256"]), "path"
    assert all(re.fullmatch(QUARANTINE, one["path"])[1] == one["sha256"] for one in m["quarantine"])
    assert sum(u["rejects"] for u in m["units"]) == sum(one["rows"] for one in m["quarantine"])
    return m


class Log:
    def __init__(self, here):
        self.here, self.entries, self.table_id, self.times, self.previous = here, [], None, (), None
        self.held, self.counted, self.files = [], set(), {}  # files: key, then length and digest
        self.vouched, self.digests = {}, []  # Delta checkpoints: version, then length and digest
        versions = [int(found[1]) for found in matching(here, rf"_delta_log/{N20}\.json")]
        if not versions:
            find("NOT_AN_ARCHIVE", "_delta_log/")
        for version in range(versions[-1] + 1 if versions else 0):
            key = f"_delta_log/{version:020}.json"
            if key not in here:
                find("GAP", key)
                break
            self.held.append(set())
            with judge("COMMIT_FORMAT", key):
                commit = read(here, key, 256)
                self.entries.append(entry(version, commit))
                previous, self.previous = self.previous, sha(commit).hex()
                self.digests.append(self.previous)
                self.commit(version, key, commit.decode().split("\n"), previous)

    def commit(self, version, key, lines, previous):  # 10
        actions = [parse(line) for line in lines[:-1]]
        kinds = [kind for action in actions for kind in action]
        after = ["add"] * (len(actions) - 1) if version else ["protocol", "metaData"]
        assert lines[-1] == "" and len(kinds) == len(actions) and kinds == ["commitInfo"] + after
        info = actions[0]["commitInfo"]
        note = info["meshledger"]
        assert (note["format"], note["version"]) == (1, version), "another version"
        if note.get("previous_sha256") != previous:  # 10.13
            find("CHAIN", f"_delta_log/{version - 1:020}.json", "the next version names other bytes")
        if named := note.get("delta_checkpoint"):
            assert 0 < named["version"] < version, "a Delta checkpoint of no earlier version"
            self.vouched[named["version"]] = (named["bytes"], named["sha256"])
        if not version:
            self.table_id = actions[2]["metaData"]["id"]
            fields = parse(actions[2]["metaData"]["schemaString"])["fields"]
            self.times = {field["name"] for field in fields if field["type"] == "timestamp"}
        adds = {add["add"]["tags"]["ma.segment"]: add["add"] for add in actions[1:] if version}
        assert all(re.fullmatch(DATA, add["path"]) for add in adds.values()), "a path of no file"
        left_out = set()
        for named in note["manifests"]:
            at = f"manifests/{named['delivery']}.json"
            with judge("MANIFEST_FORMAT" if at in self.here else "MANIFEST_MISSING", at):
                with judge("MANIFEST_HASH", at):
                    data = read(self.here, at, 64)
                    assert (sha(data).hex(), len(data)) == (named["sha256"], named["bytes"])
                left_out |= self.sealed(named, manifest(data, named["delivery"]), adds, info["timestamp"])
        with judge("MANIFEST_FORMAT", key):
            assert not adds, "adds that no manifest claims"
        with judge("UNIT_LOST", key):
            assert left_out <= self.counted, "units were left out that nothing counts"

    def sealed(self, named, m, adds, timestamp):  # 6, 10.10
        units = {unit["id"]: unit for unit in m["units"]}
        keep = [[*units][index] for index in named.get("units_kept", range(len(units)))]
        with judge("UNIT_TWICE", named["delivery"]):
            assert not self.counted & set(keep), "units count twice"
        self.held[-1] |= set(units)
        self.counted |= set(keep)
        for file in m["files"]:
            parts = [part for unit in keep for part in units[unit]["rows"]]
            rows = sum(part["count"] for part in parts if part["segment"] == file["segment"])
            if rows == file["rows"]:
                add, wanted = adds.pop(file["segment"]), described(file, timestamp, self.times)
                found = add | {"stats": json.dumps(parse(add["stats"]), sort_keys=True)}
                with judge("STATS", add["path"]):
                    assert found == wanted, found
            elif rows:  # rewritten: 3.5, 6.6
                add = adds.pop(sha(bytes.fromhex(file["segment"] + "".join(keep)))[:16].hex())
                path = f"data/event_date={file['event_date']}/{add['tags']['ma.sha256']}.parquet"
                assert (add["path"], add["tags"]["ma.rows"]) == (path, str(rows)), add
            if rows:
                self.files[add["path"]] = (add["size"], add["tags"]["ma.sha256"])
        taken = named.get("quarantine", [])
        assert sum(one["rows"] for one in taken) == sum(units[unit]["rejects"] for unit in keep)
        self.files |= {one["path"]: (one["bytes"], one["sha256"]) for one in taken}
        self.named(m, False)
        return set(units) - set(keep)

    def named(self, m, must):  # 14.5
        for file in m["files"] + m["quarantine"]:
            if must or file["path"] in self.here:
                self.files.setdefault(file["path"], (file["bytes"], file["sha256"]))

    def check_waiting(self, work):  # 14.4, 14.5
        held = set().union(*self.held)
        for found in matching(work, "inbox/(.*)"):
            find("UNSEALED", found[0], "waits for a seal", False)
            with judge("MANIFEST_FORMAT", found[0], False):
                m = manifest(read(work, found[0], 64), found[1][:-5])
                self.named(m, not {unit["id"] for unit in m["units"]} <= held)
        for found in matching(self.here.keys() - known, rf"manifests/{HEX}\.json"):
            with judge("STRAY", found[0]):
                m = manifest(read(self.here, found[0], 64), found[1])
                waits = matching(work, f"(inbox/{found[1]}|refused/{found[1]}-).*")
                lost = not waits and not {unit["id"] for unit in m["units"]} <= held
                find("GAP" if lost else "ORPHAN", found[0], "no commit names it", lost)

    def check_delta_checkpoints(self):  # 22; their rows are not looked at
        name = "_delta_log/{:020}.checkpoint.parquet".format
        there = {int(found[1]) for found in matching(self.here, rf"_delta_log/{N20}\.checkpoint\.parquet")}
        for version in sorted(there | set(self.vouched)):
            with judge("DELTA_CHECKPOINT", name(version)):
                data = read(self.here, name(version), 1024)
                about = f'{{"format":1,"version":{version},"commit_sha256":"{self.digests[version]}"}}'
                assert about.encode() in data and data[:4] == data[-4:] == b"PAR1", "of another commit"
                if version in self.vouched:
                    assert (len(data), sha(data).hex()) == self.vouched[version], "other bytes"
        if (hint := "_delta_log/_last_checkpoint") in self.here:  # 22.7
            with judge("DELTA_CHECKPOINT", hint):
                said = parse(read(self.here, hint))
                assert set(said) == {"version", "size", "sizeInBytes", "numOfAddFiles"}, "other members"
                assert said["version"] in there, "one that is not there"

    def check_files(self):  # 11, 14.6
        for key, (size, digest) in self.files.items():
            with judge("FILE_MISSING", key):
                data = read(self.here, key, 1024)
                if (len(data), sha(data).hex()) != (size, digest):
                    find("FILE_SIZE" if len(data) != size else "FILE_HASH", key)
        due = {(v + 1 - span, v) for span in (16, 256, 4096, 65536)
               for v in range(span - 1, len(self.held), span)}
        for found in matching(self.here, rf"index/held/{N20}-{N20}-{HEX}\.bin"):
            with judge("HELD_INDEX", found[0]):
                data, span = read(self.here, found[0], 1024), (int(found[1]), int(found[2]))
                due.remove(span)
                ids = sorted(set().union(*self.held[span[0]:span[1] + 1]))
                assert (data.hex(), sha(data).hex()) == ("".join(ids), found[3]), "other units"
        for span in due:
            find("HELD_INDEX", f"index/held/{span}", "is not there", False)

    def check_strays(self, work):  # 1.7
        places = "(_delta_log|data|quarantine|manifests|index|_ledger)/.*"
        for found in matching(self.here.keys() - known, places) + matching(work.keys() - known, "lock/.*"):
            file = re.fullmatch(DATA, found[0]) or re.fullmatch(QUARANTINE, found[0])
            orphan = file and sha(read(self.here, found[0], 1024)).hex() == file.groups()[-1]
            find("ORPHAN" if orphan else "STRAY", found[0], "nothing names it", not orphan)


def objects(root):  # 1.2: files by key
    paths = [os.path.join(folder, name) for folder, _, names in os.walk(root) for name in names]
    return {os.path.relpath(path, root): path for path in paths}


def main(archive, work, trusted):
    inside = os.path.realpath(trusted).startswith(os.path.realpath(archive) + os.sep)
    with judge("POLICY", trusted):
        assert not inside, "it lies in the archive that it shall judge"
        keys = policy(trusted)
    if findings:
        return 3
    log, work = Log(objects(archive)), objects(work)
    log.check_waiting(work)
    log.check_files()
    log.check_delta_checkpoints()
    check_ledger(log.here, work, log.entries, log.table_id, keys)
    log.check_strays(work)
    return 1 if any(one[0] == "T" for one in findings) else 2 if findings else 0


if __name__ == "__main__":
    *places, option, last = sys.argv[1:] if len(sys.argv) in (4, 5) else [None, None, None]
    if option != "--policy":
        print(__doc__, file=sys.stderr)
        raise SystemExit(3)
    code = main(places[0], places[-1] if len(places) > 1 else places[0].rstrip("/") + ".work", last)
    print("\n".join(sorted(findings)) or "all is well")
    raise SystemExit(code)
