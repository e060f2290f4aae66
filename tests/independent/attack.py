#!/usr/bin/env python3
"""What an attacker does to a Delta log with other people's tools, and what engines then see.

    attack.py drop-add CHECKPOINT PATH OUT    CHECKPOINT without the add of PATH, written to OUT
    attack.py count ARCHIVE ID                prints {"engine": [rows with this request_id, rows]}
"""

import json
import sys


def drop_add(checkpoint, path, out):
    import pyarrow.parquet
    table = pyarrow.parquet.read_table(checkpoint)
    kept = [row for row, add in enumerate(table["add"].to_pylist())
            if add is None or add["path"] != path]
    assert len(kept) == table.num_rows - 1, f"{path} is not in {checkpoint} once"
    metadata = pyarrow.parquet.read_metadata(checkpoint).metadata
    own = {key: value for key, value in metadata.items() if key.startswith(b"meshledger")}
    kept_table = table.take(kept).replace_schema_metadata(own)
    pyarrow.parquet.write_table(kept_table, out, store_schema=False, write_statistics=False)


def count(archive, wanted):
    from read_archive import Deltalake, DuckDB
    readers = [kind(archive, None) for kind in (Deltalake, DuckDB)]
    everything = [("http_method", "=", "GET")]
    print(json.dumps({reader.name: [reader.count([("request_id", "=", wanted)]),
                                    reader.count(everything)] for reader in readers}))


if __name__ == "__main__":
    {"drop-add": drop_add, "count": count}[sys.argv[1]](*sys.argv[2:])
