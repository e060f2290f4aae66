-- view: query_trail
-- question: Who asked this archive what, when, and what came of it?
-- row: one query that was asked of this archive: who, what, what was read, what came of it
-- cost: 13 columns of the trail's own events; dates, times and who go through to the files
-- column: asked_at  -- when the question came
-- column: who  -- who asked; NULL where nobody was authenticated
-- column: sql  -- the text, which may be cut or redacted; NULL where the request was none
-- column: sql_sha256  -- SHA-256 of the text that was sent, whole and unredacted, in hex
-- column: question  -- name of the stored question, if one was asked for
-- column: mode  -- fresh, sealed or strict
-- column: dry_run  -- whether it was asked what the query would cost, and not for its rows
-- column: version  -- version of the archive that answered
-- column: files  -- files read
-- column: bytes  -- bytes read
-- column: rows_returned  -- rows of the answer
-- column: result_digest  -- digest of the answer's rows (docs/receipts.md), where one was made
-- column: outcome  -- ok, or the code of the error
-- column: error_code  -- the code of the error; NULL where the outcome is ok
-- column: elapsed_us  -- microseconds from question to answer
-- column: query_id  -- id of the query, as its receipt and the logs have it
--
-- docs/format.md, "Query trail", has the record that it is read from. Whoever may send records to
-- the archive may send one that looks like an entry: `transport` and `transport_ref` say which way
-- it came.
SELECT
    event_time AS asked_at,
    event_date,
    principal AS who,
    statement AS sql,
    NULLIF(split_part(split_part(attributes, '"sql_sha256":"', 2), '"', 1), '') AS sql_sha256,
    NULLIF(split_part(split_part(attributes, '"question":"', 2), '"', 1), '') AS question,
    NULLIF(split_part(split_part(attributes, '"mode":"', 2), '"', 1), '') AS mode,
    strpos(attributes, '"dry_run":true') > 0 AS dry_run,
    TRY_CAST(split_part(split_part(split_part(attributes, '"version":', 2), ',', 1), '}', 1) AS BIGINT) AS version,
    TRY_CAST(split_part(split_part(split_part(attributes, '"files":', 2), ',', 1), '}', 1) AS BIGINT) AS files,
    TRY_CAST(split_part(split_part(split_part(attributes, '"bytes":', 2), ',', 1), '}', 1) AS BIGINT) AS bytes,
    TRY_CAST(split_part(split_part(split_part(attributes, '"rows":', 2), ',', 1), '}', 1) AS BIGINT) AS rows_returned,
    NULLIF(split_part(split_part(attributes, '"result_digest":"', 2), '"', 1), '') AS result_digest,
    decision_reason AS outcome,
    NULLIF(decision_reason, 'ok') AS error_code,
    duration_us AS elapsed_us,
    request_id AS query_id,
    transport,
    transport_ref,
    segment,
    segment_row
FROM mesh_events
WHERE source_format = 'meshledger_query'
