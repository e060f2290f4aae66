#!/usr/bin/env python3
"""Checks the signature of a note with the public key as its holder gives it.

check_note.py NOTE_FILE PUBLIC_KEY_DER_BASE64

Written from C2SP's page on signed notes; the cryptography is the package `cryptography`'s. Exits 0
if one signature of that key is there and right.
"""

import base64
import hashlib
import sys
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519


def main() -> None:
    text, _, lines = Path(sys.argv[1]).read_text().rpartition("\n\n")
    text += "\n"
    der = base64.b64decode(sys.argv[2], validate=True)
    key = serialization.load_der_public_key(der)
    origin = text.split("\n")[0].encode()
    if isinstance(key, ed25519.Ed25519PublicKey):
        raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        key_id = hashlib.sha256(origin + b"\n\x01" + raw).digest()[:4]
    else:
        key_id = hashlib.sha256(der).digest()[:4]
    found = 0
    for line in lines.splitlines():
        dash, name, blob = line.split(" ")
        assert dash == "\u2014", line
        blob = base64.b64decode(blob, validate=True)
        if name.encode() != origin or blob[:4] != key_id:
            continue
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(blob[4:], text.encode())
        else:
            key.verify(blob[4:], text.encode(), ec.ECDSA(hashes.SHA256()))
        found += 1
    sys.exit(0 if found == 1 else f"expected one signature of {key_id.hex()}, found {found}")


main()
