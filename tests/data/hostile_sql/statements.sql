# Hostile statements, for tests/it/hostile_sql.rs: what a query may not do, may not cost, or may
# not be mistaken for. Each has a name and the stable codes that it may end in; OK is an answer.
#
# @{N:text} is text N times, @{U+hex} a character, @{hex:00} a byte, @{url} a server that must not
# be asked, @{folder} the folder that the archive is in.

-- name: drop_table
-- expect: REFUSED
DROP TABLE mesh_events

-- name: drop_view
-- expect: REFUSED
DROP VIEW mesh_policy_changes

-- name: drop_schema_cascade
-- expect: REFUSED
DROP SCHEMA public CASCADE

-- name: drop_function
-- expect: REFUSED
DROP FUNCTION now

-- name: create_table_as
-- expect: REFUSED
CREATE TABLE t AS SELECT * FROM mesh_events

-- name: create_temporary_table
-- expect: REFUSED
CREATE TEMPORARY TABLE t AS SELECT 1

-- name: create_or_replace_table
-- expect: REFUSED
CREATE OR REPLACE TABLE mesh_events AS SELECT 1

-- name: create_view
-- expect: REFUSED
CREATE OR REPLACE VIEW mesh_events AS SELECT 1

-- name: create_schema
-- expect: REFUSED
CREATE SCHEMA s

-- name: create_database
-- expect: REFUSED
CREATE DATABASE d

-- name: create_index
-- expect: REFUSED
CREATE INDEX i ON mesh_events (decision)

-- name: create_function
-- expect: REFUSED
CREATE FUNCTION f(INT) RETURNS INT RETURN $1

-- name: create_external_table
-- expect: REFUSED
CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'

-- name: create_external_table_url
-- expect: REFUSED
CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '@{url}/x.parquet'

-- name: create_unbounded_external_table
-- expect: REFUSED
CREATE UNBOUNDED EXTERNAL TABLE t STORED AS CSV LOCATION '/dev/zero'

-- name: alter_table
-- expect: REFUSED
ALTER TABLE mesh_events ADD COLUMN a INT

-- name: rename_table
-- expect: REFUSED
ALTER TABLE mesh_events RENAME TO x

-- name: truncate
-- expect: REFUSED
TRUNCATE TABLE mesh_events

-- name: insert
-- expect: REFUSED
INSERT INTO mesh_events (segment) VALUES ('x')

-- name: insert_select
-- expect: REFUSED
INSERT INTO mesh_events SELECT * FROM mesh_events

-- name: insert_overwrite
-- expect: REFUSED
INSERT OVERWRITE mesh_events SELECT * FROM mesh_events

-- name: update
-- expect: REFUSED
UPDATE mesh_events SET decision = 'allow'

-- name: delete
-- expect: REFUSED
DELETE FROM mesh_events

-- name: merge
-- expect: REFUSED
MERGE INTO mesh_events USING mesh_events x ON true WHEN MATCHED THEN DELETE

-- name: insert_in_with
-- expect: REFUSED|PLAN|SYNTAX
WITH x AS (INSERT INTO mesh_events (segment) VALUES ('x') RETURNING 1) SELECT * FROM x

-- name: delete_in_with
-- expect: REFUSED|PLAN|SYNTAX
WITH x AS (DELETE FROM mesh_events RETURNING 1) SELECT * FROM x

-- name: insert_as_body_of_with
-- expect: REFUSED
WITH x AS (SELECT 1) INSERT INTO mesh_events (segment) SELECT 'x'

-- name: select_into
-- expect: REFUSED|PLAN|SYNTAX
SELECT * INTO t FROM mesh_events

-- name: explain_insert
-- expect: REFUSED
EXPLAIN INSERT INTO mesh_events (segment) VALUES ('x')

-- name: explain_analyze_insert
-- expect: REFUSED
EXPLAIN ANALYZE INSERT INTO mesh_events (segment) VALUES ('x')

-- name: explain_analyze_delete
-- expect: REFUSED
EXPLAIN ANALYZE VERBOSE DELETE FROM mesh_events

-- name: explain_copy
-- expect: REFUSED
EXPLAIN COPY mesh_events TO '@{folder}/stolen.parquet'

-- name: two_statements
-- expect: REFUSED
SELECT 1; DROP TABLE mesh_events

-- name: comment_hides_a_second_statement
-- expect: REFUSED
SELECT 1 /* ; */ ; /* SELECT 2 */ DELETE FROM mesh_events -- 

-- name: copy_to_file
-- expect: REFUSED
COPY mesh_events TO '@{folder}/stolen.parquet'

-- name: copy_query_to_file
-- expect: REFUSED
COPY (SELECT * FROM mesh_events) TO '@{folder}/stolen.csv' STORED AS CSV

-- name: copy_to_url
-- expect: REFUSED
COPY (SELECT 1) TO '@{url}/x' STORED AS PARQUET

-- name: copy_from
-- expect: REFUSED|SYNTAX
COPY mesh_events FROM '/etc/passwd'

-- name: unload
-- expect: REFUSED
UNLOAD (SELECT 1) TO 's3://bucket/x' WITH (format = 'PARQUET')

-- name: select_from_file
-- expect: PLAN|REFUSED
SELECT * FROM '/etc/passwd'

-- name: select_from_quoted_file
-- expect: PLAN|REFUSED
SELECT * FROM "/etc/passwd"

-- name: select_from_url
-- expect: PLAN|REFUSED
SELECT * FROM '@{url}/x.parquet'

-- name: select_from_parquet_file
-- expect: PLAN|REFUSED
SELECT * FROM '@{folder}/archive/data/x.parquet'

-- name: select_from_file_url
-- expect: PLAN|REFUSED
SELECT * FROM 'file:///etc/passwd'

-- name: read_parquet
-- expect: PLAN|REFUSED
SELECT * FROM read_parquet('/etc/passwd')

-- name: read_csv
-- expect: PLAN|REFUSED
SELECT * FROM read_csv('/etc/passwd')

-- name: read_csv_url
-- expect: PLAN|REFUSED
SELECT * FROM read_csv('@{url}/x.csv')

-- name: read_text
-- expect: PLAN|REFUSED
SELECT read_text('/etc/passwd')

-- name: pg_read_file
-- expect: PLAN|REFUSED
SELECT pg_read_file('/etc/passwd')

-- name: load_file
-- expect: PLAN|REFUSED
SELECT load_file('/etc/passwd')

-- name: parquet_metadata
-- expect: PLAN|REFUSED
SELECT * FROM parquet_metadata('@{folder}/archive')

-- name: metadata_cache
-- expect: PLAN|REFUSED
SELECT * FROM metadata_cache()

-- name: http_get
-- expect: PLAN|REFUSED
SELECT http_get('@{url}/')

-- name: glob
-- expect: PLAN|REFUSED
SELECT * FROM glob('/etc/*')

-- name: dblink
-- expect: PLAN|REFUSED
SELECT * FROM dblink('host=127.0.0.1', 'SELECT 1') AS t(a int)

-- name: getenv
-- expect: PLAN|REFUSED
SELECT getenv('AWS_SECRET_ACCESS_KEY')

-- name: system
-- expect: PLAN|REFUSED|SYNTAX
SELECT system('id')

-- name: set_variable
-- expect: REFUSED
SET datafusion.execution.target_partitions = 1000000

-- name: set_memory_limit
-- expect: REFUSED
SET datafusion.runtime.memory_limit = '1000G'

-- name: set_time_zone
-- expect: REFUSED
SET TIME ZONE 'Europe/Berlin'

-- name: reset_variable
-- expect: REFUSED
RESET datafusion.execution.batch_size

-- name: show_all
-- expect: REFUSED
SHOW ALL

-- name: show_variable
-- expect: REFUSED
SHOW datafusion.execution.batch_size

-- name: show_create_table
-- expect: REFUSED
SHOW CREATE TABLE mesh_events

-- name: show_functions
-- expect: OK
SHOW FUNCTIONS

-- name: prepare
-- expect: REFUSED
PREPARE p AS SELECT 1

-- name: execute
-- expect: REFUSED
EXECUTE p

-- name: deallocate
-- expect: REFUSED
DEALLOCATE p

-- name: begin
-- expect: REFUSED
BEGIN

-- name: commit
-- expect: REFUSED
COMMIT

-- name: grant
-- expect: REFUSED
GRANT SELECT ON mesh_events TO public

-- name: use_schema
-- expect: REFUSED
USE information_schema

-- name: kill
-- expect: REFUSED
KILL 1

-- name: call
-- expect: REFUSED
CALL f()

-- name: analyze_table
-- expect: REFUSED
ANALYZE TABLE mesh_events

-- name: vacuum
-- expect: REFUSED
VACUUM

-- name: load_extension
-- expect: REFUSED|SYNTAX
LOAD '/tmp/x.so'

-- name: attach
-- expect: REFUSED|SYNTAX
ATTACH '/etc/passwd' AS x

-- name: install
-- expect: REFUSED|SYNTAX
INSTALL httpfs

-- name: pragma
-- expect: REFUSED
PRAGMA database_list

-- name: do_block
-- expect: REFUSED|SYNTAX
DO $$ BEGIN END $$

-- name: information_schema_settings_with_second
-- expect: REFUSED
SELECT * FROM information_schema.df_settings; SET x = 1

-- name: information_schema_write
-- expect: REFUSED
INSERT INTO information_schema.tables VALUES (1)

-- name: information_schema_nosuch
-- expect: PLAN
SELECT * FROM information_schema.passwords

-- name: system_catalog
-- expect: PLAN
SELECT * FROM pg_catalog.pg_shadow

-- name: other_catalog
-- expect: PLAN
SELECT * FROM datafusion.public.mesh_events

-- name: nul_byte
-- expect: SYNTAX|PLAN
SELECT 1@{hex:00}; DROP TABLE mesh_events

-- name: nul_in_name
-- expect: SYNTAX|PLAN
SELECT * FROM mesh_events@{hex:00}

-- name: nul_in_a_text
-- expect: OK
SELECT 'a@{hex:00}b' AS x

-- name: escape_in_a_name
-- expect: PLAN
SELECT "@{U+1b}[2J@{U+7}" FROM mesh_events

-- name: cyrillic_table
-- expect: PLAN|SYNTAX
SELECT * FROM mesh_@{U+435}vents

-- name: fullwidth_table
-- expect: PLAN|SYNTAX
SELECT * FROM @{U+ff4d}esh_events

-- name: ligature_table
-- expect: PLAN|SYNTAX
SELECT * FROM "mesh_events@{U+200b}"

-- name: right_to_left_mark
-- expect: PLAN|SYNTAX
SELECT * FROM mesh_events@{U+202e}

-- name: right_to_left_in_a_text
-- expect: OK
SELECT '@{U+202e}gnp.exe' AS x

-- name: byte_order_mark
-- expect: SYNTAX|OK|PLAN
@{U+feff}SELECT 1

-- name: no_break_spaces
-- expect: SYNTAX|OK|PLAN
SELECT@{U+a0}1

-- name: line_separator_ends_no_comment
-- expect: OK|SYNTAX
SELECT 1 --@{U+2028} ; DROP TABLE mesh_events

-- name: fullwidth_semicolon
-- expect: SYNTAX|PLAN|OK
SELECT 1 @{U+ff1b} DROP TABLE mesh_events

-- name: quote_from_elsewhere
-- expect: SYNTAX|PLAN
SELECT @{U+2018}x@{U+2019} FROM mesh_events

-- name: open_quote
-- expect: SYNTAX
SELECT 'x FROM mesh_events

-- name: open_comment
-- expect: SYNTAX
SELECT 1 /* never closed

-- name: nested_comments
-- expect: OK|SYNTAX
SELECT 1 @{2000:/*}x@{2000:*/}

-- name: only_comments
-- expect: SYNTAX
-- nothing
/* at all */

-- name: nothing
-- expect: SYNTAX
;

-- name: not_sql
-- expect: SYNTAX
\! rm -rf /

-- name: highest_character
-- expect: OK
SELECT '@{U+10ffff}' AS x

-- name: long_name
-- expect: LIMIT_SQL
SELECT @{100000:x} FROM mesh_events

-- name: dollar_quote
-- expect: OK|SYNTAX|PLAN
SELECT $$x$$ AS x

-- name: dollar_parameter
-- expect: PARAMETER
SELECT $secret

-- name: unicode_escape
-- expect: OK|SYNTAX|PLAN
SELECT U&'\0000' AS x

-- name: deep_parentheses
-- expect: LIMIT_SQL|SYNTAX
SELECT @{100000:(}1@{100000:)}

-- name: moderately_deep_parentheses
-- expect: LIMIT_SQL|SYNTAX
SELECT @{60:(}1@{60:)}

-- name: deep_functions
-- expect: LIMIT_SQL|SYNTAX
SELECT @{5000:abs(}1@{5000:)}

-- name: deep_case
-- expect: LIMIT_SQL
SELECT @{5000:CASE WHEN true THEN }1@{5000: END}

-- name: deep_subqueries
-- expect: LIMIT_SQL|SYNTAX
@{2000:SELECT * FROM (}SELECT 1@{2000:)}

-- name: deep_not
-- expect: LIMIT_SQL
SELECT @{50000:NOT }true

-- name: deep_minus
-- expect: LIMIT_SQL
SELECT @{30000:- }1

-- name: long_or
-- expect: LIMIT_SQL
SELECT 1 FROM mesh_events WHERE @{10000:http_status = 1 OR }false

-- name: long_and
-- expect: LIMIT_SQL
SELECT 1 FROM mesh_events WHERE @{8000:http_status <> 1 AND }true

-- name: long_sum
-- expect: LIMIT_SQL
SELECT @{60000:1+}1

-- name: long_concatenation
-- expect: LIMIT_SQL
SELECT @{20000:'a'||}'b'

-- name: long_casts
-- expect: LIMIT_SQL
SELECT 1@{20000:::bigint}

-- name: long_index
-- expect: LIMIT_SQL
SELECT x@{30000:[1]}

-- name: long_union
-- expect: LIMIT_SQL
SELECT 1 @{5000:UNION ALL SELECT 1 }

-- name: long_join
-- expect: LIMIT_SQL
SELECT 1 FROM mesh_events@{5000:, mesh_events}

-- name: long_with
-- expect: LIMIT_SQL
WITH a AS (SELECT 1)@{2000:, b AS (SELECT 1)} SELECT 1

-- name: long_text
-- expect: LIMIT_SQL
SELECT '@{300000:x}'

-- name: long_comment
-- expect: LIMIT_SQL
SELECT 1 -- @{300000:x}

-- name: in_list_of_ids
-- expect: OK
SELECT count(*) AS n FROM mesh_events WHERE request_id IN (@{20000:'no',}'x')

-- name: in_list_of_numbers
-- expect: OK
SELECT count(*) AS n FROM mesh_events WHERE http_status IN (@{60000:1,}2)

-- name: in_list_of_expressions
-- expect: LIMIT_SQL|OK
SELECT count(*) FROM mesh_events WHERE request_id IN (@{8000:lower('A'),}'x')

-- name: many_columns
-- expect: PLAN
SELECT @{20000:1,}2

-- name: many_texts_in_each_row
-- expect: OK|LIMIT_ROWS|LIMIT_RESULT|LIMIT_TIME|LIMIT_MEMORY|PLAN
SELECT count(*) AS n FROM (SELECT @{1500:'@{100:t}',}1 FROM range(1, 100000)) AS t

-- name: long_text_in_each_row
-- expect: OK|LIMIT_MEMORY
SELECT max(octet_length(x)) AS n FROM (SELECT '@{200000:t}' AS x FROM range(1, 100000))

-- name: exponential_with
-- expect: LIMIT_SQL
WITH a0 AS (SELECT 1 AS x), a1 AS (SELECT l.x FROM a0 l, a0 r), a2 AS (SELECT l.x FROM a1 l, a1 r), a3 AS (SELECT l.x FROM a2 l, a2 r), a4 AS (SELECT l.x FROM a3 l, a3 r), a5 AS (SELECT l.x FROM a4 l, a4 r), a6 AS (SELECT l.x FROM a5 l, a5 r), a7 AS (SELECT l.x FROM a6 l, a6 r), a8 AS (SELECT l.x FROM a7 l, a7 r), a9 AS (SELECT l.x FROM a8 l, a8 r), a10 AS (SELECT l.x FROM a9 l, a9 r), a11 AS (SELECT l.x FROM a10 l, a10 r), a12 AS (SELECT l.x FROM a11 l, a11 r), a13 AS (SELECT l.x FROM a12 l, a12 r), a14 AS (SELECT l.x FROM a13 l, a13 r), a15 AS (SELECT l.x FROM a14 l, a14 r), a16 AS (SELECT l.x FROM a15 l, a15 r), a17 AS (SELECT l.x FROM a16 l, a16 r), a18 AS (SELECT l.x FROM a17 l, a17 r), a19 AS (SELECT l.x FROM a18 l, a18 r), a20 AS (SELECT l.x FROM a19 l, a19 r) SELECT count(*) AS n FROM a20

-- name: exponential_text
-- expect: LIMIT_MEMORY
WITH a0 AS (SELECT 'aaaaaaaa' AS x), a1 AS (SELECT x || x AS x FROM a0), a2 AS (SELECT x || x AS x FROM a1), a3 AS (SELECT x || x AS x FROM a2), a4 AS (SELECT x || x AS x FROM a3), a5 AS (SELECT x || x AS x FROM a4), a6 AS (SELECT x || x AS x FROM a5), a7 AS (SELECT x || x AS x FROM a6), a8 AS (SELECT x || x AS x FROM a7), a9 AS (SELECT x || x AS x FROM a8), a10 AS (SELECT x || x AS x FROM a9), a11 AS (SELECT x || x AS x FROM a10), a12 AS (SELECT x || x AS x FROM a11), a13 AS (SELECT x || x AS x FROM a12), a14 AS (SELECT x || x AS x FROM a13), a15 AS (SELECT x || x AS x FROM a14), a16 AS (SELECT x || x AS x FROM a15), a17 AS (SELECT x || x AS x FROM a16), a18 AS (SELECT x || x AS x FROM a17), a19 AS (SELECT x || x AS x FROM a18), a20 AS (SELECT x || x AS x FROM a19), a21 AS (SELECT x || x AS x FROM a20), a22 AS (SELECT x || x AS x FROM a21), a23 AS (SELECT x || x AS x FROM a22), a24 AS (SELECT x || x AS x FROM a23), a25 AS (SELECT x || x AS x FROM a24), a26 AS (SELECT x || x AS x FROM a25), a27 AS (SELECT x || x AS x FROM a26), a28 AS (SELECT x || x AS x FROM a27), a29 AS (SELECT x || x AS x FROM a28), a30 AS (SELECT x || x AS x FROM a29), a31 AS (SELECT x || x AS x FROM a30), a32 AS (SELECT x || x AS x FROM a31), a33 AS (SELECT x || x AS x FROM a32), a34 AS (SELECT x || x AS x FROM a33), a35 AS (SELECT x || x AS x FROM a34), a36 AS (SELECT x || x AS x FROM a35), a37 AS (SELECT x || x AS x FROM a36), a38 AS (SELECT x || x AS x FROM a37), a39 AS (SELECT x || x AS x FROM a38), a40 AS (SELECT x || x AS x FROM a39) SELECT octet_length(x) AS n FROM a40

-- name: exponential_text_of_rows
-- expect: LIMIT_MEMORY
WITH a0 AS (SELECT request_id AS x FROM mesh_events), a1 AS (SELECT concat(x, x) AS x FROM a0), a2 AS (SELECT concat(x, x) AS x FROM a1), a3 AS (SELECT concat(x, x) AS x FROM a2), a4 AS (SELECT concat(x, x) AS x FROM a3), a5 AS (SELECT concat(x, x) AS x FROM a4), a6 AS (SELECT concat(x, x) AS x FROM a5), a7 AS (SELECT concat(x, x) AS x FROM a6), a8 AS (SELECT concat(x, x) AS x FROM a7), a9 AS (SELECT concat(x, x) AS x FROM a8), a10 AS (SELECT concat(x, x) AS x FROM a9), a11 AS (SELECT concat(x, x) AS x FROM a10), a12 AS (SELECT concat(x, x) AS x FROM a11), a13 AS (SELECT concat(x, x) AS x FROM a12), a14 AS (SELECT concat(x, x) AS x FROM a13), a15 AS (SELECT concat(x, x) AS x FROM a14), a16 AS (SELECT concat(x, x) AS x FROM a15), a17 AS (SELECT concat(x, x) AS x FROM a16), a18 AS (SELECT concat(x, x) AS x FROM a17), a19 AS (SELECT concat(x, x) AS x FROM a18), a20 AS (SELECT concat(x, x) AS x FROM a19), a21 AS (SELECT concat(x, x) AS x FROM a20), a22 AS (SELECT concat(x, x) AS x FROM a21), a23 AS (SELECT concat(x, x) AS x FROM a22), a24 AS (SELECT concat(x, x) AS x FROM a23), a25 AS (SELECT concat(x, x) AS x FROM a24), a26 AS (SELECT concat(x, x) AS x FROM a25), a27 AS (SELECT concat(x, x) AS x FROM a26), a28 AS (SELECT concat(x, x) AS x FROM a27), a29 AS (SELECT concat(x, x) AS x FROM a28), a30 AS (SELECT concat(x, x) AS x FROM a29) SELECT max(octet_length(x)) AS n FROM a30

-- name: exponential_struct
-- expect: LIMIT_SQL
WITH a0 AS (SELECT principal AS x FROM mesh_events), a1 AS (SELECT struct(x, x) AS x FROM a0), a2 AS (SELECT struct(x, x) AS x FROM a1), a3 AS (SELECT struct(x, x) AS x FROM a2), a4 AS (SELECT struct(x, x) AS x FROM a3), a5 AS (SELECT struct(x, x) AS x FROM a4), a6 AS (SELECT struct(x, x) AS x FROM a5), a7 AS (SELECT struct(x, x) AS x FROM a6), a8 AS (SELECT struct(x, x) AS x FROM a7), a9 AS (SELECT struct(x, x) AS x FROM a8), a10 AS (SELECT struct(x, x) AS x FROM a9), a11 AS (SELECT struct(x, x) AS x FROM a10), a12 AS (SELECT struct(x, x) AS x FROM a11), a13 AS (SELECT struct(x, x) AS x FROM a12), a14 AS (SELECT struct(x, x) AS x FROM a13), a15 AS (SELECT struct(x, x) AS x FROM a14), a16 AS (SELECT struct(x, x) AS x FROM a15), a17 AS (SELECT struct(x, x) AS x FROM a16), a18 AS (SELECT struct(x, x) AS x FROM a17), a19 AS (SELECT struct(x, x) AS x FROM a18), a20 AS (SELECT struct(x, x) AS x FROM a19), a21 AS (SELECT struct(x, x) AS x FROM a20), a22 AS (SELECT struct(x, x) AS x FROM a21), a23 AS (SELECT struct(x, x) AS x FROM a22), a24 AS (SELECT struct(x, x) AS x FROM a23), a25 AS (SELECT struct(x, x) AS x FROM a24), a26 AS (SELECT struct(x, x) AS x FROM a25), a27 AS (SELECT struct(x, x) AS x FROM a26), a28 AS (SELECT struct(x, x) AS x FROM a27), a29 AS (SELECT struct(x, x) AS x FROM a28), a30 AS (SELECT struct(x, x) AS x FROM a29) SELECT count(x) AS n FROM (SELECT DISTINCT x FROM a30)

-- name: exponential_list
-- expect: LIMIT_MEMORY
WITH a0 AS (SELECT make_array(segment_row) AS x FROM mesh_events), a1 AS (SELECT array_concat(x, x) AS x FROM a0), a2 AS (SELECT array_concat(x, x) AS x FROM a1), a3 AS (SELECT array_concat(x, x) AS x FROM a2), a4 AS (SELECT array_concat(x, x) AS x FROM a3), a5 AS (SELECT array_concat(x, x) AS x FROM a4), a6 AS (SELECT array_concat(x, x) AS x FROM a5), a7 AS (SELECT array_concat(x, x) AS x FROM a6), a8 AS (SELECT array_concat(x, x) AS x FROM a7), a9 AS (SELECT array_concat(x, x) AS x FROM a8), a10 AS (SELECT array_concat(x, x) AS x FROM a9), a11 AS (SELECT array_concat(x, x) AS x FROM a10), a12 AS (SELECT array_concat(x, x) AS x FROM a11), a13 AS (SELECT array_concat(x, x) AS x FROM a12), a14 AS (SELECT array_concat(x, x) AS x FROM a13), a15 AS (SELECT array_concat(x, x) AS x FROM a14), a16 AS (SELECT array_concat(x, x) AS x FROM a15), a17 AS (SELECT array_concat(x, x) AS x FROM a16), a18 AS (SELECT array_concat(x, x) AS x FROM a17), a19 AS (SELECT array_concat(x, x) AS x FROM a18), a20 AS (SELECT array_concat(x, x) AS x FROM a19), a21 AS (SELECT array_concat(x, x) AS x FROM a20), a22 AS (SELECT array_concat(x, x) AS x FROM a21), a23 AS (SELECT array_concat(x, x) AS x FROM a22), a24 AS (SELECT array_concat(x, x) AS x FROM a23), a25 AS (SELECT array_concat(x, x) AS x FROM a24), a26 AS (SELECT array_concat(x, x) AS x FROM a25), a27 AS (SELECT array_concat(x, x) AS x FROM a26), a28 AS (SELECT array_concat(x, x) AS x FROM a27), a29 AS (SELECT array_concat(x, x) AS x FROM a28), a30 AS (SELECT array_concat(x, x) AS x FROM a29) SELECT max(cardinality(x)) AS n FROM a30

-- name: repeat
-- expect: LIMIT_MEMORY
SELECT repeat('a', 1000000000)

-- name: repeat_far_beyond
-- expect: LIMIT_MEMORY
SELECT repeat('a', 9223372036854775807)

-- name: repeat_of_rows
-- expect: LIMIT_MEMORY
SELECT max(octet_length(repeat(request_id, 10000000))) FROM mesh_events

-- name: repeat_of_volatile
-- expect: LIMIT_MEMORY
SELECT octet_length(repeat(CAST(random() AS VARCHAR), 100000000))

-- name: repeat_of_repeat
-- expect: LIMIT_MEMORY
SELECT octet_length(repeat(repeat(repeat('a', 10000), 10000), 10000))

-- name: repeat_in_each_row
-- expect: LIMIT_MEMORY
SELECT sum(octet_length(repeat('a', CAST(value AS BIGINT)))) AS n FROM range(1000000, 1100000)

-- name: lpad
-- expect: LIMIT_MEMORY
SELECT lpad('a', 2147483647)

-- name: lpad_of_rows
-- expect: LIMIT_MEMORY
SELECT max(octet_length(lpad(request_id, 100000000, 'x'))) FROM mesh_events

-- name: rpad
-- expect: LIMIT_MEMORY
SELECT rpad('a', 2000000000, '@{U+1f512}')

-- name: replace
-- expect: LIMIT_MEMORY
SELECT octet_length(replace(repeat('a', 100000), 'a', repeat('b', 100000)))

-- name: replace_of_nothing
-- expect: LIMIT_MEMORY
SELECT octet_length(replace(repeat('a', 100000), '', repeat('b', 100000)))

-- name: regexp_replace
-- expect: LIMIT_MEMORY
SELECT octet_length(regexp_replace(repeat('a', 100000), 'a', repeat('b', 100000), 'g'))

-- name: regexp_replace_references
-- expect: LIMIT_MEMORY
SELECT octet_length(regexp_replace(repeat('a', 500000), '(.*)', repeat('\1', 100000)))

-- name: concat_of_long
-- expect: LIMIT_MEMORY
SELECT octet_length(concat(@{200:repeat('a', 1000000),}'b'))

-- name: array_repeat
-- expect: LIMIT_MEMORY
SELECT array_repeat(1, 1000000000)

-- name: array_repeat_of_rows
-- expect: LIMIT_MEMORY
SELECT max(cardinality(array_repeat(request_id, 10000000))) FROM mesh_events

-- name: array_repeat_nested
-- expect: LIMIT_MEMORY
SELECT array_repeat(array_repeat(array_repeat(1, 10000), 10000), 10000)

-- name: array_resize
-- expect: LIMIT_MEMORY
SELECT array_resize(make_array(1), 1000000000, 1)

-- name: range_of_a_value
-- expect: LIMIT_MEMORY
SELECT cardinality(range(1, 1000000000000))

-- name: range_of_rows
-- expect: LIMIT_MEMORY
SELECT max(cardinality(range(1, 1000000000 + segment_row))) FROM mesh_events

-- name: range_of_times
-- expect: LIMIT_MEMORY
SELECT cardinality(generate_series(TIMESTAMP '1970-01-01', TIMESTAMP '2026-01-01', INTERVAL '1 microsecond'))

-- name: unnest_of_a_long_list
-- expect: LIMIT_MEMORY
SELECT count(*) FROM (SELECT unnest(range(1, 10000000000)))

-- name: string_to_array
-- expect: OK|LIMIT_MEMORY
SELECT cardinality(string_to_array(repeat('a,', 500000), ',')) AS n FROM (SELECT unnest(range(1, 100)))

-- name: array_to_string
-- expect: LIMIT_MEMORY
SELECT octet_length(array_to_string(range(1, 100000), repeat('x', 100000)))

-- name: to_char
-- expect: LIMIT_MEMORY
SELECT octet_length(to_char(event_time, '@{60000:%c}')) FROM mesh_events

-- name: fixed_size_binary
-- expect: PLAN
SELECT arrow_cast('a', 'FixedSizeBinary(2147483647)')

-- name: fixed_size_list
-- expect: PLAN
SELECT arrow_cast(make_array(1), 'FixedSizeList(2147483647, Int64)')

-- name: fixed_size_by_try
-- expect: PLAN
SELECT arrow_try_cast('a', 'FixedSizeBinary(2147483647)')

-- name: character_of_a_length
-- expect: OK|PLAN|EXECUTION
SELECT CAST('a' AS CHAR(2000000000)) AS x

-- name: sort_of_everything
-- expect: LIMIT_MEMORY
SELECT a.value, b.value FROM range(1, 3000) a, range(1, 3000) b ORDER BY a.value * 7 % 13, b.value

-- name: group_by_everything
-- expect: LIMIT_MEMORY|LIMIT_TIME
SELECT a.value, b.value, count(*) FROM range(1, 30000) a, range(1, 30000) b GROUP BY 1, 2

-- name: distinct_of_everything
-- expect: LIMIT_MEMORY|LIMIT_TIME
SELECT count(DISTINCT concat(a.value, '-', b.value)) FROM range(1, 30000) a, range(1, 30000) b

-- name: array_agg_of_everything
-- expect: LIMIT_MEMORY|LIMIT_TIME
SELECT cardinality(array_agg(value)) FROM range(1, 1000000000)

-- name: string_agg_of_everything
-- expect: LIMIT_MEMORY|LIMIT_TIME
SELECT octet_length(string_agg(CAST(value AS VARCHAR), ',')) FROM range(1, 1000000000)

-- name: array_agg_distinct_of_everything
-- expect: LIMIT_MEMORY|LIMIT_TIME
SELECT cardinality(array_agg(DISTINCT value)) FROM range(1, 1000000000)

-- name: array_agg_of_array_agg
-- expect: LIMIT_MEMORY|LIMIT_TIME
SELECT array_agg(x) FROM (SELECT array_agg(a.value) AS x FROM range(1, 100000) a, range(1, 10000) b GROUP BY b.value) AS t

-- name: long_value_of_each_row_joined
-- expect: LIMIT_MEMORY
SELECT sum(octet_length(l.x) + r.value) FROM (SELECT string_agg(CAST(value AS VARCHAR), ',') AS x FROM range(1, 1000000)) AS l, range(1, 1000000) AS r

-- name: long_list_of_each_row_joined
-- expect: LIMIT_MEMORY
SELECT sum(cardinality(l.x) + r.value) FROM (SELECT array_agg(value) AS x FROM range(1, 1000000)) AS l, range(1, 1000000) AS r

-- name: long_value_beside_unnest
-- expect: LIMIT_MEMORY
SELECT count(x), count(y) FROM (SELECT string_agg(CAST(value AS VARCHAR), ',') AS x, unnest(range(1, 500000)) AS y FROM range(1, 1000000)) AS t

-- name: median_of_everything
-- expect: LIMIT_MEMORY|LIMIT_TIME
SELECT median(value) FROM range(1, 10000000000)

-- name: window_over_everything
-- expect: LIMIT_MEMORY|LIMIT_TIME
SELECT count(*) FROM (SELECT count(*) OVER () AS n FROM range(1, 10000000000)) AS t WHERE n > 0

-- name: window_looking_ahead
-- expect: LIMIT_MEMORY|LIMIT_TIME
SELECT count(n) FROM (SELECT sum(value) OVER (ROWS BETWEEN CURRENT ROW AND 1000000000 FOLLOWING) AS n FROM range(1, 10000000000)) AS t

-- name: window_of_lists
-- expect: LIMIT_MEMORY
SELECT count(n) FROM (SELECT array_agg(value) OVER (ORDER BY value) AS n FROM range(1, 1000000)) AS t

-- name: window_of_texts_over_everything
-- expect: LIMIT_MEMORY
SELECT count(n) FROM (SELECT string_agg(CAST(value AS VARCHAR), ',') OVER (ROWS BETWEEN 100000 PRECEDING AND CURRENT ROW) AS n FROM range(1, 10000000)) AS t

-- name: recursion_that_grows
-- expect: LIMIT_MEMORY|LIMIT_TIME
WITH RECURSIVE r AS (SELECT 'aaaaaaaa' AS x UNION ALL SELECT x || x FROM r) SELECT count(*) FROM r

-- name: recursion_that_doubles
-- expect: LIMIT_MEMORY|LIMIT_TIME
WITH RECURSIVE r AS (SELECT 1 AS x UNION ALL SELECT r.x + 1 FROM r, (VALUES (1), (2)) AS two(y)) SELECT count(*) FROM r

-- name: cross_join_of_five
-- expect: LIMIT_MEMORY|LIMIT_TIME
SELECT count(*) FROM range(1, 100000) a, range(1, 100000) b, range(1, 100000) c, range(1, 100000) d, range(1, 100000) e WHERE a.value + b.value + c.value + d.value + e.value = -1

-- name: full_join_of_everything
-- expect: LIMIT_MEMORY|LIMIT_TIME
SELECT count(*) FROM range(1, 100000000) a FULL JOIN range(1, 100000000) b ON a.value = b.value

-- name: lateral_blow_up
-- expect: LIMIT_MEMORY|LIMIT_TIME|PLAN
SELECT count(*) FROM range(1, 1000000) a, LATERAL (SELECT * FROM range(1, 1000000) WHERE value > a.value) b

-- name: cube_of_many
-- expect: LIMIT_SQL
SELECT count(*) FROM mesh_events GROUP BY CUBE(decision, principal, request_id, url_path, user_name, session_id, http_status, duration_us, tls_failure, mtls, mesh, reporter, src_ip, dst_ip, src_port, dst_port, trace_id, span_id, user_agent, http_method, http_host, severity_id, policy_rule, policy_name)

-- name: cast_of_everything_to_text
-- expect: OK|LIMIT_MEMORY|LIMIT_TIME
SELECT max(octet_length(CAST(x AS VARCHAR))) AS n FROM (SELECT range(1, 100000) AS x FROM mesh_events) AS t

-- name: endless_recursion
-- expect: LIMIT_TIME
WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r

-- name: endless_recursion_in_place
-- expect: LIMIT_TIME
WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n FROM r) SELECT max(n) FROM r

-- name: endless_series
-- expect: LIMIT_TIME
SELECT count(*) FROM generate_series(1, 1000000000000)

-- name: endless_series_of_times
-- expect: LIMIT_TIME
SELECT count(*) FROM generate_series(TIMESTAMP '1970-01-01', TIMESTAMP '2200-01-01', INTERVAL '1 microsecond')

-- name: endless_cross_join
-- expect: LIMIT_TIME
SELECT count(*) FROM generate_series(1, 1000000000) a, generate_series(1, 1000000000) b

-- name: endless_cross_join_of_what_is_held
-- expect: LIMIT_TIME
SELECT sum(a.value * b.value % 7) FROM range(0, 1000000) a, range(0, 1000000) b

-- name: endless_unnest
-- expect: LIMIT_TIME
SELECT sum(x % 7) FROM (SELECT unnest(range(0, 100000)) AS x FROM range(0, 1000000000)) AS t

-- name: endless_nested_loop
-- expect: LIMIT_TIME
SELECT count(*) FROM range(1, 1000000) a JOIN range(1, 1000000) b ON a.value % 7919 > b.value % 7907 AND a.value + b.value = -1

-- name: endless_sum_of_digests
-- expect: LIMIT_TIME
SELECT count(DISTINCT sha512(CAST(a.value AS VARCHAR))) % 2 FROM range(1, 100000) a, range(1, 100000) b WHERE sha512(concat(a.value, b.value)) = '\x00'

-- name: catastrophic_pattern
-- expect: LIMIT_TIME|LIMIT_MEMORY|PLAN|EXECUTION
SELECT count(*) FROM range(1, 10000000) WHERE regexp_like(concat(repeat('a', 2000), value), '(a+)+(a+)+(a+)+$b')

-- name: pattern_of_many_states
-- expect: LIMIT_TIME|LIMIT_MEMORY|PLAN|EXECUTION
SELECT count(*) FROM range(1, 10000000) WHERE regexp_like(concat(repeat('a', 2000), value), '(\w{1,60}){1,60}x')

-- name: pattern_too_large
-- expect: LIMIT_TIME|LIMIT_MEMORY|PLAN|EXECUTION
SELECT regexp_like('a', '((((\w{1000}){1000}){1000}){1000})')

-- name: pattern_operator_of_many_states
-- expect: LIMIT_TIME|LIMIT_MEMORY|PLAN|EXECUTION
SELECT count(*) FROM range(1, 10000000) WHERE concat(repeat('a', 2000), value) ~ '(\w{1,60}){1,60}x'

-- name: pattern_per_row
-- expect: LIMIT_TIME|LIMIT_MEMORY|PLAN|EXECUTION
SELECT count(*) FROM range(1, 10000000) WHERE regexp_like('aaaa', concat('(\w{100}){1,', value % 20 + 1, '}', value))

-- name: like_of_many_wildcards
-- expect: LIMIT_TIME|OK
SELECT count(*) FROM range(1, 10000000) WHERE concat(repeat('a', 2000), value) LIKE '@{100:%a}%b'

-- name: similar_to
-- expect: LIMIT_TIME|LIMIT_MEMORY|PLAN|EXECUTION
SELECT count(*) FROM range(1, 10000000) WHERE concat(repeat('a', 2000), value) SIMILAR TO '(a|aa|aaa)*b'

-- name: levenshtein
-- expect: LIMIT_TIME|LIMIT_MEMORY
SELECT levenshtein(repeat('a', 1000000), repeat('b', 1000000))

-- name: levenshtein_of_rows
-- expect: LIMIT_TIME|LIMIT_MEMORY
SELECT sum(levenshtein(concat(repeat('a', 5000), value), concat(repeat('b', 5000), value))) FROM range(1, 10000000)

-- name: correlated_subquery
-- expect: LIMIT_TIME|LIMIT_MEMORY|PLAN
SELECT count(*) FROM range(1, 1000000) a WHERE (SELECT count(*) FROM range(1, 1000000) b WHERE b.value % 1000 <> a.value % 999) > 0

-- name: many_rows
-- expect: LIMIT_ROWS
SELECT value FROM range(1, 1000000)

-- name: many_values_in_a_row
-- expect: LIMIT_RESULT|LIMIT_MEMORY
SELECT range(1, 1000000) AS x FROM range(1, 100)

-- name: everything_there_is
-- expect: OK|LIMIT_BYTES
SELECT * FROM mesh_events

-- name: division_by_zero
-- expect: EXECUTION
SELECT 1 / 0

-- name: overflow
-- expect: EXECUTION|OK|PLAN
SELECT 9223372036854775807 + 1

-- name: cast_that_fails
-- expect: EXECUTION
SELECT CAST(request_id AS INT) FROM mesh_events WHERE request_id IS NOT NULL

-- name: year_far_off
-- expect: EXECUTION|PLAN|OK
SELECT TIMESTAMP '9999999-01-01' + INTERVAL '999999999 years'

-- name: interval_far_off
-- expect: EXECUTION|PLAN|SYNTAX|OK
SELECT INTERVAL '99999999999999999999 years'

-- name: decimal_far_off
-- expect: EXECUTION|PLAN|OK
SELECT CAST(1e300 AS DECIMAL(76, 0))

-- name: list_index_far_off
-- expect: OK|EXECUTION|PLAN
SELECT make_array(1)[9223372036854775807] AS x

-- name: substring_far_off
-- expect: OK|EXECUTION|PLAN
SELECT substr('abc', -9223372036854775808, 9223372036854775807) AS x

-- name: limit_far_off
-- expect: OK|PLAN|EXECUTION
SELECT 1 AS x LIMIT 9223372036854775807 OFFSET 9223372036854775807

-- name: negative_limit
-- expect: PLAN|EXECUTION
SELECT 1 LIMIT -1

-- name: chr_of_nothing
-- expect: EXECUTION|OK|PLAN
SELECT chr(1114112)

-- name: series_without_step
-- expect: EXECUTION|PLAN|LIMIT_TIME|OK
SELECT count(*) FROM generate_series(1, 10, 0)

-- name: factorial
-- expect: EXECUTION|PLAN
SELECT factorial(1000000000)

-- name: power_far_off
-- expect: OK|EXECUTION|PLAN
SELECT power(10, 1000000000) AS x

-- name: window_frame_far_off
-- expect: OK|EXECUTION|PLAN
SELECT sum(segment_row) OVER (ROWS BETWEEN 18446744073709551615 PRECEDING AND CURRENT ROW) AS x FROM mesh_events
