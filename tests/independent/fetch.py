"""Fetches a URL without credentials, and says what came: status, length, SHA-256, last line.

usage: fetch.py URL SECONDS_TO_WAIT
"""

import hashlib
import json
import sys
import time
import urllib.error
import urllib.request


def main(url, seconds):
    time.sleep(float(seconds))
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            status, body = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, body = error.code, b""
    told = {"status": status, "bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    lines = body.splitlines()
    if lines:
        try:
            told["last_line"] = json.loads(lines[-1])
        except ValueError:
            pass
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
