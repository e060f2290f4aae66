-- Twenty questions for bench/questions.py, in words that Meshledger, DuckDB and ClickHouse share.
-- `{name}` is a value that the script takes from the archive. A needle is a question of which a
-- handful of rows among all are the answer.

-- question: needle_request_id
SELECT segment, segment_row, principal, decision FROM mesh_events
WHERE request_id = '{request_id}' ORDER BY segment, segment_row

-- question: needle_request_id_day
SELECT segment, segment_row, principal, decision FROM mesh_events
WHERE request_id = '{request_id}' AND event_date = DATE '{day}' ORDER BY segment, segment_row

-- question: needle_trace_id
SELECT segment, segment_row, dst_service, http_status FROM mesh_events
WHERE trace_id = '{trace_id}' ORDER BY segment, segment_row

-- question: principal_month
SELECT CAST(event_date AS VARCHAR) AS d, decision, count(*) AS n FROM mesh_events
WHERE principal = '{principal}' GROUP BY event_date, decision ORDER BY d, decision

-- question: principal_last_denials
SELECT segment, segment_row, url_path, policy_rule FROM mesh_events
WHERE principal = '{principal}' AND decision = 'deny'
ORDER BY event_time DESC, segment, segment_row LIMIT 100

-- question: path_template
SELECT http_status, count(*) AS n FROM mesh_events
WHERE url_path LIKE '/orders/%/items' GROUP BY http_status ORDER BY http_status

-- question: daily_histogram
SELECT CAST(event_date AS VARCHAR) AS d, decision, count(*) AS n FROM mesh_events
GROUP BY event_date, decision ORDER BY d, decision

-- question: hourly_denials
SELECT CAST(event_date AS VARCHAR) AS d, extract(HOUR FROM event_time) AS h, count(*) AS n
FROM mesh_events WHERE decision = 'deny' GROUP BY event_date, extract(HOUR FROM event_time)
ORDER BY d, h

-- question: top_services
SELECT dst_service, count(*) AS n FROM mesh_events
WHERE dst_service IS NOT NULL GROUP BY dst_service ORDER BY n DESC, dst_service LIMIT 20

-- question: top_denied_callers
SELECT principal, count(*) AS n FROM mesh_events
WHERE decision = 'deny' AND principal IS NOT NULL
GROUP BY principal ORDER BY n DESC, principal LIMIT 20

-- question: top_paths_of_a_service
SELECT url_path, http_method, count(*) AS n FROM mesh_events
WHERE dst_service = '{service}' AND url_path IS NOT NULL
GROUP BY url_path, http_method ORDER BY n DESC, url_path, http_method LIMIT 50

-- question: distinct_principals
SELECT CAST(event_date AS VARCHAR) AS d, count(DISTINCT principal) AS n FROM mesh_events
GROUP BY event_date ORDER BY d

-- question: distinct_requests_week
SELECT count(DISTINCT request_id) AS n FROM mesh_events
WHERE event_date >= DATE '{day}' AND event_date < DATE '{week_end}'

-- question: status_by_service
SELECT dst_service, sum(CASE WHEN http_status >= 500 THEN 1 ELSE 0 END) AS errors, count(*) AS n,
    max(duration_us) AS slowest
FROM mesh_events WHERE dst_service IS NOT NULL GROUP BY dst_service ORDER BY dst_service

-- question: service_graph
SELECT src_identity, dst_service, count(*) AS n, sum(request_bytes + response_bytes) AS moved
FROM mesh_events WHERE src_identity IS NOT NULL AND dst_service IS NOT NULL
GROUP BY src_identity, dst_service ORDER BY n DESC, src_identity, dst_service LIMIT 50

-- question: trail_join
SELECT callee.dst_service AS service, count(*) AS n,
    sum(CASE WHEN callee.decision = 'deny' THEN 1 ELSE 0 END) AS denied
FROM mesh_events caller JOIN mesh_events callee ON caller.request_id = callee.request_id
WHERE caller.event_date = DATE '{day}' AND callee.event_date = DATE '{day}'
    AND caller.reporter = 'source' AND callee.reporter = 'destination'
    AND callee.dst_service IS NOT NULL
GROUP BY callee.dst_service ORDER BY service

-- question: tls_failures
SELECT tls_failure_reason, count(*) AS n FROM mesh_events
WHERE tls_failure AND tls_failure_reason IS NOT NULL
GROUP BY tls_failure_reason ORDER BY tls_failure_reason

-- question: like_path
SELECT count(*) AS n FROM mesh_events WHERE url_path LIKE '%session%'

-- question: like_user_agent
SELECT user_agent, count(*) AS n FROM mesh_events
WHERE user_agent LIKE '%Mobile%' GROUP BY user_agent ORDER BY n DESC, user_agent LIMIT 20

-- question: like_policy
SELECT policy_rule, count(*) AS n FROM mesh_events
WHERE policy_rule LIKE '%viewer%' OR decision_reason LIKE '%viewer%'
GROUP BY policy_rule ORDER BY n DESC, policy_rule LIMIT 20
