-- question: Which records were not understood, why, and where did they come from?
-- name: quarantine_summary
-- param: since timestamp = NULL  -- received from this moment on, inclusive; NULL is the beginning
-- param: until timestamp = NULL  -- received before this moment; NULL is the end
-- param: limit_rows integer = 50  -- most rows returned
-- cost: every quarantine file of the snapshot, 7 columns, never the records themselves; not partitioned, since a reject has no event time
--
-- since and until mean ingest_time: a record that was not understood has no trusted time of its own.
-- bytes are the records as kept, after redaction.
SELECT
    reason,
    COALESCE(format_guess, '(no guess)') AS format_guess,
    COUNT(*) AS records,
    SUM(length_bytes) AS bytes,
    COUNT(DISTINCT delivery) AS deliveries,
    COUNT(DISTINCT transport_ref) AS origins,
    MIN(transport_ref) AS one_origin,
    MIN(detail) AS one_detail,
    MIN(ingest_time) AS first_received,
    MAX(ingest_time) AS last_received
FROM mesh_quarantine
WHERE ($since IS NULL OR ingest_time >= $since)
    AND ($until IS NULL OR ingest_time < $until)
GROUP BY 1, 2
ORDER BY records DESC, reason, format_guess
LIMIT $limit_rows
