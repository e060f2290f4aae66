#!/usr/bin/env bash
# hoop.dev: fetches the gateway's security audit log, one JSON object a line, oldest first.
#
#   HOOP_URL=https://hoop.example.com HOOP_TOKEN=… ./pull-audit.sh 2026-11-01T00:00:00Z 2026-11-02T00:00:00Z > day.jsonl
#   meshledger ingest --archive ./audit day.jsonl
#
# Stands on hoop's source (GET /api/audit/logs: `page`, `page_size` of at most 100, newest first). It
# was run against a stand-in on loopback, never against hoop. How the gateway wants its token was not
# verified; here it is a bearer token of an administrator.
#
# - Rows from the first time up to, but without, the second. Take whole, past days, each once: the
#   same file again adds nothing to an archive, another file with the same rows adds them again.
# - Rows that arrive while pages are read move the others; an id that came twice is written once.
set -euo pipefail

from=${1:?the first time, RFC 3339 in UTC}
to=${2:?the time to stop before, RFC 3339 in UTC}
: "${HOOP_URL:?}" "${HOOP_TOKEN:?}"

pages=$(mktemp)
trap 'rm -f "$pages"' EXIT

page=1
while :; do
    # The token goes in by a file descriptor, so that it is not in the list of processes.
    body=$(curl --silent --show-error --fail --header @<(printf 'Authorization: Bearer %s\n' "$HOOP_TOKEN") \
        "$HOOP_URL/api/audit/logs?page=$page&page_size=100")
    rows=$(jq '.data | length' <<<"$body")
    [ "$rows" -gt 0 ] || break
    jq -c '.data[]' <<<"$body" >>"$pages"
    oldest=$(jq -r '[.data[].created_at] | min' <<<"$body")
    # Times of one form compare as text, up to the second.
    [[ ${oldest:0:19} < ${from:0:19} ]] && break
    page=$((page + 1))
done

jq -cs --arg from "${from:0:19}" --arg to "${to:0:19}" \
    'unique_by(.id) | sort_by(.created_at)[] | select(.created_at[0:19] >= $from and .created_at[0:19] < $to)' "$pages"
