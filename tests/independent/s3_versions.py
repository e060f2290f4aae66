#!/usr/bin/env python3
"""Does to a bucket what its owner, or an attacker, does by plain S3: signed requests, nothing else.

    s3_versions.py enable BUCKET            the bucket keeps versions from now on
    s3_versions.py put BUCKET/KEY FILE      another version on top
    s3_versions.py get BUCKET/KEY           prints the newest version
    s3_versions.py delete BUCKET/KEY        a delete marker on top
    s3_versions.py uploads BUCKET           prints the keys of uploads that were begun and not ended

Access from the AWS_* environment variables. The signature is AWS's version 4, by its documentation.
"""

import datetime
import hashlib
import hmac
import os
import re
import sys
import urllib.parse
import urllib.request

VERSIONING = (b'<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
              b"<Status>Enabled</Status></VersioningConfiguration>")


def request(method, path, query="", body=b""):
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    host, region = urllib.parse.urlparse(endpoint).netloc, os.environ["AWS_REGION"]
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body).hexdigest()
    headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": now}
    quoted = urllib.parse.quote(f"/{path}")
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical_query = f"{query}=" if query else ""
    canonical = "\n".join([method, quoted, canonical_query, lines, names, digest])
    scope = f"{now[:8]}/{region}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", now, scope,
                      hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"]).encode()
    for part in (now[:8], region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    signature = hmac.new(key, text.encode(), "sha256").hexdigest()
    headers["authorization"] = (f"AWS4-HMAC-SHA256 Credential={os.environ['AWS_ACCESS_KEY_ID']}/"
                                f"{scope}, SignedHeaders={names}, Signature={signature}")
    url = endpoint + quoted + (f"?{query}" if query else "")
    asked = urllib.request.Request(url, data=body or None, method=method, headers=headers)
    with urllib.request.urlopen(asked) as answer:
        return answer.read()


if __name__ == "__main__":
    what, place, *file = sys.argv[1:]
    if what == "enable":
        request("PUT", place)
        request("PUT", place, "versioning", VERSIONING)
    elif what == "put":
        request("PUT", place, body=open(file[0], "rb").read())
    elif what == "get":
        sys.stdout.buffer.write(request("GET", place))
    elif what == "uploads":
        for key in re.findall(r"<Key>([^<]*)</Key>", request("GET", place, "uploads").decode()):
            print(key)
    else:
        request("DELETE", place)
