#!/usr/bin/env python3
"""Recomputes the row root of every file of an archive, from docs/format.md 20 alone.

    row_roots.py ARCHIVE

ARCHIVE is a folder. pyarrow reads each file that a commit adds; its row root must be what the
commit's tag and the manifest say. Prints how many; exit code 1 if one differs.
"""

import hashlib
import json
import pathlib
import struct
import sys

import pyarrow.parquet

# format 20.4, written here a second time.
SHARED = {4, *range(6, 24), 25, 26, 30, 32, 36, 37, *range(40, 54), *range(55, 60), *range(62, 66),
          *range(72, 83), *range(84, 87), *range(92, 97), 103, 104, 108, *range(110, 113), 114}
PLACE = {1, 2}


def sha256(data):
    return hashlib.sha256(data).digest()


def chacha20_block(key, counter):
    """RFC 8439, 2.3, with a nonce of zeros."""
    start = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *struct.unpack("<8I", key),
             counter, 0, 0, 0]
    x = list(start)

    def quarter(a, b, c, d):
        for p, q, r, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[p] = (x[p] + x[q]) & 0xFFFFFFFF
            mixed = x[r] ^ x[p]
            x[r] = (mixed << turn | mixed >> (32 - turn)) & 0xFFFFFFFF

    for _ in range(10):
        quarter(0, 4, 8, 12), quarter(1, 5, 9, 13), quarter(2, 6, 10, 14), quarter(3, 7, 11, 15)
        quarter(0, 5, 10, 15), quarter(1, 6, 11, 12), quarter(2, 7, 8, 13), quarter(3, 4, 9, 14)
    return struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(x, start)))


def salts(key, rows):
    stream = b"".join(chacha20_block(key, block) for block in range((rows + 3) // 4))
    return [stream[16 * row:16 * row + 16] for row in range(rows)]


def leb128(number):
    data = b""
    while number > 0x7F:
        data += bytes([number & 0x7F | 0x80])
        number >>= 7
    return data + bytes([number])


def text(value):
    data = value.encode()
    return leb128(len(data)) + data


def encoder(kind):
    if pyarrow.types.is_list(kind):
        return lambda items: leb128(len(items)) + b"".join(text(item) for item in items)
    if pyarrow.types.is_boolean(kind):
        return lambda value: b"\1" if value else b"\0"
    if pyarrow.types.is_string(kind):
        return text
    return lambda value: struct.pack(">q", value)


def root(leaves):
    """RFC 6962, 2.1, as it is written there."""
    if len(leaves) == 1:
        return leaves[0]
    middle = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1" + root(leaves[:middle]) + root(leaves[middle:]))


def row_root(path):
    file = pyarrow.parquet.ParquetFile(path)
    pairs = file.metadata.metadata
    key = bytes.fromhex(pairs[b"meshledger.row_key"].decode())
    assert len(key) == 32
    table = file.read()
    groups = {True: [], False: []}
    for field in sorted(table.schema, key=lambda field: int(field.metadata[b"PARQUET:field_id"])):
        number = int(field.metadata[b"PARQUET:field_id"])
        column = table[field.name]
        if pyarrow.types.is_timestamp(field.type):
            assert field.type.unit == "us", field
            column = column.cast("int64")
        if number not in PLACE:
            values = column.to_pylist()
            groups[number in SHARED].append((leb128(number), encoder(field.type), values))
    numbers = table["segment_row"].to_pylist()
    assert numbers == list(range(len(numbers))), "segment_row is not 0, 1, 2, …"

    def fields(columns, row):
        return b"".join(number + encode(values[row])
                        for number, encode, values in columns if values[row] is not None)

    leaves = [sha256(b"\0" + salt + sha256(fields(groups[True], row)) + fields(groups[False], row))
              for row, salt in enumerate(salts(key, len(numbers)))]
    return root(leaves).hex()


def main():
    archive = pathlib.Path(sys.argv[1])
    manifests = [json.loads(path.read_bytes()) for path in (archive / "manifests").iterdir()]
    stated = {file["path"]: file["row_root"] for manifest in manifests for file in manifest["files"]}
    files, rows, wrong = 0, 0, 0
    for commit in sorted((archive / "_delta_log").glob("*.json")):
        for line in commit.read_text(encoding="utf-8").splitlines():
            add = json.loads(line).get("add")
            if add is None:
                continue
            found = row_root(archive / add["path"])
            tags = add["tags"]
            # A file that a sealer wrote is in no manifest.
            said = (tags["ma.row_enc"], tags["ma.row_root"], stated.get(add["path"], found))
            if said != ("row/v1", found, found):
                print(f"{add['path']}: {found}, and the archive says {said}")
                wrong += 1
            files, rows = files + 1, rows + int(tags["ma.rows"])
    print(f"{rows} rows in {files} files, {wrong} row roots differ")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
