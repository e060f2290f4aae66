#!/usr/bin/env python3
"""Checks a proof (docs/format.md 21) with Python and `cryptography` alone; numbers are clauses.

    check_proof.py PROOF --policy FILE [--file FILE]

Prints one JSON object. Ends with 0 if the proof holds, 1 if not, 3 if called wrongly.
Written from the format page and C2SP's pages, with no line of Meshledger's own code.
"""
import base64, hashlib, json, re, struct, sys
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key


def sha(data):
    return hashlib.sha256(data).digest()


def b64(text):
    data = base64.b64decode(text, validate=True)
    assert base64.b64encode(data).decode() == text, "base64 in another form"
    return data


def number(text):
    assert re.fullmatch(r"0|[1-9][0-9]{0,19}", text) and int(text) < 1 << 64, "a number"
    return int(text)


# --- RFC 6962: every path is followed from the root's shape down, then hashed upwards.

def leaf_hash(data):
    return sha(b"\0" + data)


def node(left, right):
    return sha(b"\1" + left + right)


def split(size):  # largest power of two below
    return 1 << (size - 1).bit_length() - 1


def included(leaf, index, size, root, path):
    def climb(index, size, path):
        if size == 1:
            assert not path, "a path that is too long"
            return leaf
        assert path, "a path that is too short"
        half, sibling = split(size), path[-1]
        if index < half:
            return node(climb(index, half, path[:-1]), sibling)
        return node(sibling, climb(index - half, size - half, path[:-1]))
    assert index < size, "an index beyond the tree"
    assert climb(index, size, path) == root, "a path that leads to another root"


def grown(old, new, proof):
    (old_size, old_root), (new_size, new_root) = old, new
    assert old_size <= new_size, "a tree that shrinks"
    if old_size == 0 or old_size == new_size:
        assert not proof, "a proof where none is needed"
        assert old_size or old_root == sha(b""), "the root of no leaves"
        assert old_size < new_size or old_root == new_root, "two roots of one size"
        return
    def both(size, count, is_whole, path):  # roots of the old and of the new part
        if size == count:
            if is_whole:
                assert not path, "a proof that is too long"
                return old_root, old_root
            assert len(path) == 1, "a proof of another length"
            return path[0], path[0]
        assert path, "a proof that is too short"
        half, sibling = split(size), path[-1]
        if count <= half:
            one, other = both(half, count, is_whole, path[:-1])
            return one, node(other, sibling)
        one, other = both(size - half, count - half, False, path[:-1])
        return node(sibling, one), node(sibling, other)
    assert both(new_size, old_size, True, proof) == (old_root, new_root), "another history"


# --- Notes, keys, policies: C2SP signed-note, tlog-checkpoint, tlog-cosignature, tlog-policy.

class Key:
    def __init__(self, text):
        self.name, key_id, data = text.split("+", 2)
        data, self.id, self.text = b64(data), bytes.fromhex(key_id), text
        self.kind, self.key = data[0], data[1:]
        given = sha(self.name.encode() + b"\n" + data)[:4]
        assert self.id == (sha(self.key)[:4] if self.kind == 2 else given), "a key id"

    def check(self, text, signature):
        text = text.encode()
        if self.kind == 1:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, text)
        elif self.kind == 2:
            load_der_public_key(self.key).verify(signature, text, ec.ECDSA(hashes.SHA256()))
        else:
            assert self.kind == 4 and len(signature) == 72, "a signature that is known"
            (time,) = struct.unpack(">Q", signature[:8])
            signed = b"cosignature/v1\ntime %d\n" % time + text
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature[8:], signed)
            return time


class Note:
    def __init__(self, data):
        whole = data.decode()
        assert not re.search(r"[\x00-\x09\x0b-\x1f]", whole), "control characters"
        self.text, lines = whole.rsplit("\n\n", 1)
        self.text += "\n"
        assert lines.endswith("\n"), "a newline at the end"
        self.signatures = []
        for line in lines[:-1].split("\n"):
            dash, name, data = line.split(" ")
            assert dash == "\u2014" and name and "+" not in name, "a signature line"
            data = b64(data)
            assert len(data) > 4, "a signature"
            self.signatures.append((name, data[:4], data[4:]))
        lines = self.text.split("\n")
        assert len(lines) == 4 and lines[0], "three lines"  # 19.4
        self.origin, self.size, self.root = lines[0], number(lines[1]), b64(lines[2])
        assert len(self.root) == 32, "a root"

    def signed_by(self, key):  # False, or True, or a time
        found = False
        for name, key_id, signature in self.signatures:
            if (name, key_id) == (key.name, key.id):
                found = key.check(self.text, signature) or True
        return found


class Policy:
    def __init__(self, text):
        self.logs, self.witnesses, self.groups, self.quorum = [], {}, {}, None
        for line in text.split("\n"):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if words[0] == "log":
                self.logs.append(Key(words[1]))
            elif words[0] == "witness":
                self.witnesses[words[1]] = Key(words[2])
            elif words[0] == "group":
                count = {"any": 1, "all": len(words[3:])}.get(words[2])
                self.groups[words[1]] = (count or number(words[2]), words[3:])
            else:
                assert words[0] == "quorum", "a policy"
                self.quorum = words[1]
        assert self.quorum, "a quorum"

    def log_of(self, note):
        signers = [key for key in self.logs if note.signed_by(key) and key.name == note.origin]
        assert signers, "a signature of a log that the policy knows"
        return signers[-1].text

    def accept(self, note):
        log = self.log_of(note)
        times = {name: note.signed_by(key) for name, key in self.witnesses.items()}
        def has(name):
            if name in times:
                return times[name] is not False
            count, members = self.groups[name]
            return sum(map(has, members)) >= count
        assert self.quorum == "none" or has(self.quorum), "the quorum's cosignatures"
        return log


# --- The lines of 21.2 to 21.4.

class Lines:
    def __init__(self, text):
        assert text.endswith("\n"), "a newline at the end"
        self.lines = text[:-1].split("\n")

    def next(self, pattern):
        line = self.lines.pop(0) if self.lines else ""
        match = re.fullmatch(pattern, line)
        assert match, f"{pattern} expected"
        return match.group(1) if match.groups() else line

    def number(self, name):
        return number(self.next(f"{name} ([0-9]+)"))

    def path(self, name):
        path = []
        while self.lines and self.lines[0].startswith(name + " "):
            path.append(b64(self.next(f"{name} (.+)")))
        assert len(path) <= 64 and all(len(hash) == 32 for hash in path), "a path"
        return path

    def end(self):
        assert not self.lines, "the end"


DIGEST = "([0-9a-f]{64})"


def entry(lines, index):  # 19.2
    before = list(lines.lines)
    lines.next("mesh-archive-commit/v1")
    assert lines.number("version") == index, "the entry of this index"
    lines.next(f"commit-sha256 {DIGEST}")
    lines.number("commit-bytes")
    found = {"version": index}
    for name in ["line", "segment"]:
        found[name + "s"] = lines.number(name + "s")
        found[name + "s-root"] = bytes.fromhex(lines.next(f"{name}s-root {DIGEST}"))
    while lines.lines and lines.lines[0].startswith("delta-checkpoint "):
        lines.next(rf"delta-checkpoint [0-9]+ {DIGEST}")
    text = before[: len(before) - len(lines.lines)]
    return found, "".join(line + "\n" for line in text).encode()


SHARED = set()  # 20.4
for part in ("4, 6 to 23, 25, 26, 30, 32, 36, 37, 40 to 53, 55 to 59, 62 to 65, 72 to 82, 84 to 86, "
             "92 to 96, 103, 104, 108, 110 to 112, 114").split(", "):
    first, _, last = part.partition(" to ")
    SHARED.update(range(int(first), int(last or first) + 1))
# Appendix A: all that is not text.
TYPES = dict.fromkeys([3, 5, 6, 86], "time") | dict.fromkeys([30, 75], "list")
TYPES |= dict.fromkeys([79, 80, 104], "bool") | dict.fromkeys([68, 69, 70, 71], "i64")
TYPES |= dict.fromkeys([11, 12, 13, 22, 39, 45, 63, 64, 112], "i32")
COLUMNS = 114


def fields(data, is_shared):  # 20.2 to 20.4
    at, last, found = 0, 0, {}
    def take(count):
        nonlocal at
        assert at + count <= len(data), "fields that are cut off"
        at += count
        return data[at - count:at]
    def leb128():
        value, shift = 0, 0
        while True:
            (byte,) = take(1)
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                assert value < 1 << 64 and (byte or shift == 7), "a number in another form"
                return value
            assert shift < 70, "a number that is too long"
    while at < len(data):
        field = leb128()
        assert last < field and 2 < field <= COLUMNS and (field in SHARED) == is_shared, "a field id"
        last, kind = field, TYPES.get(field, "text")
        if kind == "text":
            value = take(leb128()).decode()
        elif kind == "list":
            value = [take(leb128()).decode() for _ in range(leb128())]
        elif kind == "bool":
            value = {0: False, 1: True}[take(1)[0]]
        else:
            (value,) = struct.unpack(">q", take(8))
            assert kind != "i32" or -1 << 31 <= value < 1 << 31, "32 bits"
        found[field] = value
    return found


def event(lines, index):  # 21.3, 21.6
    found, text = entry(lines, index)
    at, path = lines.number("segment-index"), lines.path("segment-path")
    leaf = lines.lines[:3]
    segment, rows = lines.next("segment ([0-9a-f]{32})"), lines.number("rows")
    row_root = bytes.fromhex(lines.next(f"row-root {DIGEST}"))
    row, row_path = lines.number("row"), lines.path("row-path")
    salt = bytes.fromhex(lines.next("salt ([0-9a-f]{32})"))
    shared, own = b64(lines.next("shared (.*)")), b64(lines.next("own (.*)"))
    lines.end()
    included(leaf_hash(salt + sha(shared) + own), row, rows, row_root, row_path)
    leaf = leaf_hash("".join(line + "\n" for line in leaf).encode())
    included(leaf, at, found["segments"], found["segments-root"], path)
    columns = fields(shared, True) | fields(own, False)
    about = {"kind": "event", "segment": segment, "segment_row": row, "segment_rows": rows}
    return about | {"version": index, "fields": columns}, text


def file(lines, index, copy):  # 21.4, 21.6
    found, text = entry(lines, index)
    at, path = lines.number("line-index"), lines.path("line-path")
    line = lines.next("line (.+)")
    lines.end()
    included(leaf_hash(line.encode()), at, found["lines"], found["lines-root"], path)
    (action, add), = json.loads(line).items()
    assert action == "add", "an add"
    about = {"kind": "file", "path": add["path"], "sha256": add["tags"]["ma.sha256"]}
    about |= {"version": index, "bytes": add["size"], "rows": int(add["tags"]["ma.rows"])}
    if copy is not None:
        data = open(copy, "rb").read()
        assert (sha(data).hex(), len(data)) == (about["sha256"], about["bytes"]), "another file"
    return about, text


def check(data, policy, copy):
    text = data.decode()
    if text.startswith("mesh-archive-consistency-proof/v1\n"):  # 21.5
        proof, new = text.split("\n\n", 1)
        lines = Lines(proof + "\n")
        lines.next("mesh-archive-consistency-proof/v1")
        old, proof, new = Note(b64(lines.next("old (.+)"))), lines.path("hash"), Note(new.encode())
        lines.end()
        assert old.origin == new.origin, "one log"
        grown((old.size, old.root), (new.size, new.root), proof)
        policy.log_of(old)
        about = {"kind": "consistency", "old": {"size": old.size}}
    else:  # 21.1, C2SP tlog-proof
        proof, note = text.split("\n\n", 1)
        lines, new = Lines(proof + "\n"), Note(note.encode())
        lines.next("c2sp.org/tlog-proof@v1")
        extra = Lines(b64(lines.next("extra (.+)")).decode())
        index, path = lines.number("index"), [b64(line) for line in lines.lines]
        assert len(path) <= 64 and all(len(hash) == 32 for hash in path), "a path"
        kind = extra.next("mesh-archive-(event|file)-proof/v1")
        about, leaf = event(extra, index) if kind == "event" else file(extra, index, copy)
        included(leaf_hash(leaf), index, new.size, new.root, path)
    about["signed_by"] = policy.accept(new)
    return about | {"valid": True, "checkpoint": {"origin": new.origin, "size": new.size}}


def main(arguments):
    options = dict(zip(arguments[1::2], arguments[2::2]))
    if len(arguments) % 2 == 0 or not options.keys() <= {"--policy", "--file"} or \
            "--policy" not in options:
        print(__doc__, file=sys.stderr)
        return 3
    policy = Policy(open(options["--policy"], encoding="utf-8").read())
    data = open(arguments[0], "rb").read()
    try:
        verdict = check(data, policy, options.get("--file"))
    except Exception as error:  # whatever a hostile file can make fail
        verdict = {"valid": False, "problem": f"{type(error).__name__} {error}"}
    print(json.dumps(verdict))
    return 0 if verdict["valid"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
