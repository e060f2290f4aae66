//! The table `mesh_events`: every column with its field id and its Arrow, Parquet and Delta type.
//!
//! This is the one place. A field id is the Parquet field id and the row encoding's field id; it is
//! never reused and never changes meaning. A new column goes at the end with the next id and is
//! nullable.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use serde_json::{Value, json};

/// Name of the table of events.
pub const EVENTS_TABLE: &str = "mesh_events";

/// Name of the table of records that were not understood.
pub const QUARANTINE_TABLE: &str = "mesh_quarantine";

/// The partition column: UTC date of `event_time`. It is part of a file's path, not of the file.
pub const EVENT_DATE: &str = "event_date";

/// Value of column `schema_version`.
pub const SCHEMA_VERSION: i32 = 1;

/// Type of a column. Only types that Arrow, Parquet, Delta, Athena and Trino share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// UTF-8 text.
    Utf8,
    /// 32-bit signed integer.
    Int32,
    /// 64-bit signed integer.
    Int64,
    /// Boolean.
    Boolean,
    /// Microseconds since 1970-01-01 UTC.
    Timestamp,
    /// List of non-null UTF-8 text.
    ListUtf8,
}

impl ColumnType {
    /// The Arrow type ingest writes.
    pub fn arrow(self) -> DataType {
        match self {
            Self::Utf8 => DataType::Utf8,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::Boolean => DataType::Boolean,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::ListUtf8 => {
                DataType::List(Arc::new(Field::new("element", DataType::Utf8, false)))
            }
        }
    }

    /// The type in a Delta schema string.
    pub fn delta(self) -> Value {
        match self {
            Self::Utf8 => json!("string"),
            Self::Int32 => json!("integer"),
            Self::Int64 => json!("long"),
            Self::Boolean => json!("boolean"),
            Self::Timestamp => json!("timestamp"),
            Self::ListUtf8 => {
                json!({"type": "array", "elementType": "string", "containsNull": false})
            }
        }
    }

    /// The physical Parquet type, with its logical annotation, as `docs/format.md` prints it.
    pub const fn parquet(self) -> &'static str {
        match self {
            Self::Utf8 => "BYTE_ARRAY (STRING)",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Boolean => "BOOLEAN",
            Self::Timestamp => "INT64 (TIMESTAMP, MICROS, UTC)",
            Self::ListUtf8 => "LIST of BYTE_ARRAY (STRING)",
        }
    }

    /// The SQL type, as `sql/schema.sql` prints it.
    pub const fn sql(self) -> &'static str {
        match self {
            Self::Utf8 => "VARCHAR",
            Self::Int32 => "INTEGER",
            Self::Int64 => "BIGINT",
            Self::Boolean => "BOOLEAN",
            Self::Timestamp => "TIMESTAMP WITH TIME ZONE",
            Self::ListUtf8 => "VARCHAR[]",
        }
    }
}

/// One column of `mesh_events`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Parquet field id and row-encoding field id; from 1, never reused.
    pub field_id: i32,
    /// Name in every engine.
    pub name: &'static str,
    /// Type.
    pub kind: ColumnType,
    /// Whether it may be NULL.
    pub nullable: bool,
    /// Whether commits carry its minimum, maximum and null count.
    pub stats: bool,
    /// What it holds.
    pub doc: &'static str,
}

const NULLABLE: bool = true;
const REQUIRED: bool = false;
const STATS: bool = true;
const PLAIN: bool = false;

const fn column(
    field_id: i32,
    name: &'static str,
    kind: ColumnType,
    nullable: bool,
    stats: bool,
    doc: &'static str,
) -> Column {
    Column { field_id, name, kind, nullable, stats, doc }
}

use ColumnType::{Boolean, Int32, Int64, ListUtf8, Timestamp, Utf8};

/// Every column, in file order; the column at index `i` has field id `i + 1`.
#[rustfmt::skip]
pub const COLUMNS: &[Column] = &[
    column(1, "segment", Utf8, REQUIRED, STATS, "Id of the segment this event arrived in, 32 hex digits; with `segment_row` its identity for ever"),
    column(2, "segment_row", Int64, REQUIRED, PLAIN, "Arrival order in the segment, from 0"),
    column(3, "event_time", Timestamp, REQUIRED, STATS, "When it happened; for Envoy the start of the request"),
    column(4, "event_time_source", Utf8, REQUIRED, PLAIN, "How the time was obtained: payload, cri, shipper, transport, ingest"),
    column(5, "observed_time", Timestamp, NULLABLE, PLAIN, "When a collector first saw it"),
    column(6, "ingest_time", Timestamp, REQUIRED, STATS, "When Meshledger received the delivery"),
    column(7, "mesh", Utf8, REQUIRED, STATS, "istio, envoy, linkerd, consul, kubernetes, hoop, other"),
    column(8, "source_format", Utf8, REQUIRED, STATS, "The format it was parsed as, for example envoy_json"),
    column(9, "record_shape", Utf8, NULLABLE, PLAIN, "The key set the original record is rebuilt from: default, extended, full, sparse"),
    column(10, "event_kind", Utf8, REQUIRED, STATS, "http_request, tcp_connection, authz_decision, tls_handshake, policy_change, api_call, session, statement, log, unknown"),
    column(11, "ocsf_class_uid", Int32, NULLABLE, PLAIN, "OCSF class"),
    column(12, "ocsf_activity_id", Int32, NULLABLE, PLAIN, "OCSF activity"),
    column(13, "severity_id", Int32, NULLABLE, STATS, "OCSF severity: 1 informational to 5 critical"),
    column(14, "decision", Utf8, REQUIRED, STATS, "allow, deny, error, unknown"),
    column(15, "decision_source", Utf8, NULLABLE, STATS, "Who decided: none, rbac, jwt, ext_authz, ext_authz_error, rate_limit, mtls, csrf, proxy, …"),
    column(16, "decision_reason", Utf8, NULLABLE, PLAIN, "The source's own words for the decision"),
    column(17, "shadow_decision", Utf8, NULLABLE, PLAIN, "What a rule in dry run would have decided: allow, deny"),
    column(18, "policy_rule", Utf8, NULLABLE, STATS, "The deciding rule's id, verbatim"),
    column(19, "policy_kind", Utf8, NULLABLE, PLAIN, "Kind of the policy, for example AuthorizationPolicy"),
    column(20, "policy_namespace", Utf8, NULLABLE, STATS, "Namespace part of policy_rule"),
    column(21, "policy_name", Utf8, NULLABLE, STATS, "Name part of policy_rule"),
    column(22, "policy_rule_index", Int32, NULLABLE, PLAIN, "Rule index inside the policy"),
    column(23, "shadow_policy_rule", Utf8, NULLABLE, PLAIN, "The dry-run rule's id"),
    column(24, "principal", Utf8, NULLABLE, STATS, "Best answer to \"who\""),
    column(25, "principal_type", Utf8, NULLABLE, PLAIN, "user, service_account, workload, token, machine, anonymous"),
    column(26, "principal_source", Utf8, NULLABLE, PLAIN, "Where the principal was taken from: jwt, k8s_user, mtls, header, acl_token, session, unverified"),
    column(27, "user_name", Utf8, NULLABLE, STATS, "User name"),
    column(28, "user_email", Utf8, NULLABLE, PLAIN, "User e-mail"),
    column(29, "user_uid", Utf8, NULLABLE, PLAIN, "User id"),
    column(30, "user_groups", ListUtf8, NULLABLE, PLAIN, "Groups of the user"),
    column(31, "impersonated_user", Utf8, NULLABLE, PLAIN, "User acted as"),
    column(32, "jwt_issuer", Utf8, NULLABLE, PLAIN, "Token issuer"),
    column(33, "jwt_subject", Utf8, NULLABLE, PLAIN, "Token subject"),
    column(34, "credential_id", Utf8, NULLABLE, PLAIN, "Id of the credential, never the secret"),
    column(35, "session_id", Utf8, NULLABLE, STATS, "Session"),
    column(36, "src_identity", Utf8, NULLABLE, STATS, "Caller's SPIFFE or DNS identity"),
    column(37, "dst_identity", Utf8, NULLABLE, STATS, "Callee's SPIFFE or DNS identity"),
    column(38, "src_ip", Utf8, NULLABLE, STATS, "Caller's address"),
    column(39, "src_port", Int32, NULLABLE, PLAIN, "Caller's port"),
    column(40, "src_workload", Utf8, NULLABLE, PLAIN, "Caller's workload"),
    column(41, "src_namespace", Utf8, NULLABLE, STATS, "Caller's namespace"),
    column(42, "src_service", Utf8, NULLABLE, STATS, "Caller's service"),
    column(43, "src_cluster", Utf8, NULLABLE, PLAIN, "Caller's cluster"),
    column(44, "dst_ip", Utf8, NULLABLE, STATS, "Callee's address"),
    column(45, "dst_port", Int32, NULLABLE, PLAIN, "Callee's port"),
    column(46, "dst_workload", Utf8, NULLABLE, PLAIN, "Callee's workload"),
    column(47, "dst_namespace", Utf8, NULLABLE, STATS, "Callee's namespace"),
    column(48, "dst_service", Utf8, NULLABLE, STATS, "Callee's service, as host name where known"),
    column(49, "dst_cluster", Utf8, NULLABLE, PLAIN, "Callee's cluster"),
    column(50, "reporter", Utf8, NULLABLE, STATS, "Which side wrote the record: source, destination, gateway, control_plane"),
    column(51, "direction", Utf8, NULLABLE, PLAIN, "inbound or outbound, seen from the reporter"),
    column(52, "k8s_cluster", Utf8, NULLABLE, STATS, "Cluster of the emitter"),
    column(53, "k8s_namespace", Utf8, NULLABLE, STATS, "Namespace of the emitter"),
    column(54, "k8s_pod", Utf8, NULLABLE, PLAIN, "Pod of the emitter"),
    column(55, "k8s_container", Utf8, NULLABLE, PLAIN, "Container of the emitter"),
    column(56, "k8s_node", Utf8, NULLABLE, PLAIN, "Node of the emitter"),
    column(57, "cloud_account", Utf8, NULLABLE, PLAIN, "Cloud account"),
    column(58, "cloud_region", Utf8, NULLABLE, PLAIN, "Cloud region"),
    column(59, "http_method", Utf8, NULLABLE, STATS, "HTTP method"),
    column(60, "url_path", Utf8, NULLABLE, STATS, "Path without query"),
    column(61, "url_query", Utf8, NULLABLE, PLAIN, "Query without the question mark"),
    column(62, "http_host", Utf8, NULLABLE, STATS, "Authority of the request"),
    column(63, "http_status", Int32, NULLABLE, STATS, "HTTP status; NULL where none was sent"),
    column(64, "grpc_status", Int32, NULLABLE, STATS, "gRPC status, 0 to 16"),
    column(65, "network_protocol", Utf8, NULLABLE, PLAIN, "http/1.1, http/2, http/3, tcp, …"),
    column(66, "user_agent", Utf8, NULLABLE, PLAIN, "User agent; client-supplied"),
    column(67, "x_forwarded_for", Utf8, NULLABLE, PLAIN, "Forwarded-for header; client-supplied"),
    column(68, "request_bytes", Int64, NULLABLE, PLAIN, "Request body, bytes"),
    column(69, "response_bytes", Int64, NULLABLE, PLAIN, "Response body, bytes"),
    column(70, "duration_us", Int64, NULLABLE, STATS, "Whole request or connection, microseconds"),
    column(71, "upstream_duration_us", Int64, NULLABLE, PLAIN, "Time spent upstream, microseconds"),
    column(72, "route_name", Utf8, NULLABLE, PLAIN, "Route"),
    column(73, "upstream_cluster", Utf8, NULLABLE, PLAIN, "Envoy's upstream cluster, verbatim"),
    column(74, "upstream_host", Utf8, NULLABLE, PLAIN, "Chosen upstream endpoint, verbatim"),
    column(75, "response_flags", ListUtf8, NULLABLE, PLAIN, "Envoy response flags; empty list if none"),
    column(76, "tls_version", Utf8, NULLABLE, PLAIN, "Negotiated TLS version, lower case"),
    column(77, "tls_cipher", Utf8, NULLABLE, PLAIN, "Negotiated cipher"),
    column(78, "tls_sni", Utf8, NULLABLE, PLAIN, "Server name the client asked for"),
    column(79, "mtls", Boolean, NULLABLE, PLAIN, "The peer was authenticated by certificate"),
    column(80, "tls_failure", Boolean, REQUIRED, STATS, "A TLS handshake failed"),
    column(81, "tls_failure_side", Utf8, NULLABLE, PLAIN, "downstream or upstream"),
    column(82, "tls_failure_reason", Utf8, NULLABLE, STATS, "Normalised cause"),
    column(83, "tls_failure_detail", Utf8, NULLABLE, PLAIN, "Raw cause"),
    column(84, "peer_cert_sha256", Utf8, NULLABLE, PLAIN, "Fingerprint of the peer's certificate"),
    column(85, "peer_cert_serial", Utf8, NULLABLE, PLAIN, "Serial of the peer's certificate"),
    column(86, "peer_cert_not_after", Timestamp, NULLABLE, PLAIN, "End of the peer's certificate"),
    column(87, "trace_id", Utf8, NULLABLE, STATS, "W3C trace id, 32 hex digits"),
    column(88, "span_id", Utf8, NULLABLE, PLAIN, "Span id, 16 hex digits"),
    column(89, "request_id", Utf8, NULLABLE, STATS, "Request id, as the mesh passes it on"),
    column(90, "correlation_id", Utf8, NULLABLE, PLAIN, "Further correlation id, for example Envoy's stream id"),
    column(91, "connection_id", Utf8, NULLABLE, PLAIN, "Connection id"),
    column(92, "change_op", Utf8, NULLABLE, STATS, "create, update, patch, delete, deletecollection"),
    column(93, "resource_group", Utf8, NULLABLE, PLAIN, "API group of the changed resource"),
    column(94, "resource_type", Utf8, NULLABLE, STATS, "Type of the changed resource, plural"),
    column(95, "resource_api_version", Utf8, NULLABLE, PLAIN, "API version of the changed resource"),
    column(96, "resource_namespace", Utf8, NULLABLE, STATS, "Namespace of the changed resource"),
    column(97, "resource_name", Utf8, NULLABLE, STATS, "Name of the changed resource"),
    column(98, "resource_uid", Utf8, NULLABLE, PLAIN, "Uid of the changed resource"),
    column(99, "resource_version", Utf8, NULLABLE, PLAIN, "Version of the changed resource"),
    column(100, "change_before", Utf8, NULLABLE, PLAIN, "JSON text before the change"),
    column(101, "change_after", Utf8, NULLABLE, PLAIN, "JSON text after the change"),
    column(102, "change_patch", Utf8, NULLABLE, PLAIN, "JSON text of the patch"),
    column(103, "change_content", Utf8, NULLABLE, PLAIN, "full, after_only, patch_only, none, redacted, truncated"),
    column(104, "change_applied", Boolean, NULLABLE, PLAIN, "The change took effect"),
    column(105, "statement", Utf8, NULLABLE, PLAIN, "Database statement or command"),
    column(106, "attributes", Utf8, NULLABLE, PLAIN, "JSON object with every field no column holds exactly; NULL if none"),
    column(107, "raw", Utf8, NULLABLE, PLAIN, "The record's text, where columns and attributes can not rebuild it"),
    column(108, "parse_status", Utf8, REQUIRED, STATS, "ok, partial, ambiguous"),
    column(109, "parse_error", Utf8, NULLABLE, PLAIN, "What was not understood"),
    column(110, "transport", Utf8, REQUIRED, PLAIN, "file, stdin, otlp_http, kinesis, firehose, sqs_s3, cwl, url, kafka"),
    column(111, "transport_ref", Utf8, NULLABLE, PLAIN, "Where in the transport: file name, object, shard"),
    column(112, "schema_version", Int32, REQUIRED, PLAIN, "Version of this table, 1"),
    column(113, "upstream_local_address", Utf8, NULLABLE, PLAIN, "Envoy's own end of the upstream connection, verbatim"),
    column(114, "downstream_local_address", Utf8, NULLABLE, PLAIN, "Address the caller connected to, verbatim, where dst_ip and dst_port are another"),
];

/// Position of a column in [`COLUMNS`].
pub fn column_index(name: &str) -> Option<usize> {
    COLUMNS.iter().position(|column| column.name == name)
}

/// Arrow schema of a data file: every column in order, with its Parquet field id.
pub fn file_schema() -> SchemaRef {
    Arc::new(Schema::new(COLUMNS.iter().map(arrow_field).collect::<Vec<_>>()))
}

/// Arrow schema of the table: the file's columns, then the partition column.
pub fn table_schema() -> SchemaRef {
    let mut fields: Vec<Field> = COLUMNS.iter().map(arrow_field).collect();
    fields.push(Field::new(EVENT_DATE, DataType::Date32, false));
    Arc::new(Schema::new(fields))
}

fn arrow_field(column: &Column) -> Field {
    // Arrow's Parquet writer takes the field id from this metadata key.
    let metadata = HashMap::from([("PARQUET:field_id".to_owned(), column.field_id.to_string())]);
    Field::new(column.name, column.kind.arrow(), column.nullable).with_metadata(metadata)
}

/// Arrow schema of a quarantine file: one row a record that was not understood.
pub fn quarantine_schema() -> SchemaRef {
    let field = |id: i32, name: &str, kind: DataType, nullable: bool| {
        let metadata = HashMap::from([("PARQUET:field_id".to_owned(), id.to_string())]);
        Field::new(name, kind, nullable).with_metadata(metadata)
    };
    Arc::new(Schema::new(vec![
        field(1, "delivery", DataType::Utf8, false),
        field(2, "unit", DataType::Utf8, false),
        field(3, "unit_index", DataType::Int32, false),
        field(4, "offset_bytes", DataType::Int64, false),
        field(5, "length_bytes", DataType::Int64, false),
        field(6, "reason", DataType::Utf8, false),
        field(7, "detail", DataType::Utf8, true),
        field(8, "format_guess", DataType::Utf8, true),
        field(9, "transport_ref", DataType::Utf8, true),
        field(10, "ingest_time", Timestamp.arrow(), false),
        field(11, "record", DataType::Binary, false),
    ]))
}

/// The `schemaString` of the Delta table.
pub fn delta_schema_string() -> String {
    let mut fields: Vec<Value> = COLUMNS
        .iter()
        .map(|column| {
            json!({
                "name": column.name,
                "type": column.kind.delta(),
                "nullable": column.nullable,
                "metadata": {"meshledger.field_id": column.field_id},
            })
        })
        .collect();
    fields.push(json!({"name": EVENT_DATE, "type": "date", "nullable": false, "metadata": {}}));
    json!({"type": "struct", "fields": fields}).to_string()
}

/// What each column of `quarantine_schema` holds, in its order.
const QUARANTINE_DOCS: [&str; 11] = [
    "Delivery the record came in",
    "Unit it came in",
    "Position of the unit in its delivery, from 0",
    "Where the record begins in the decoded file or stream, bytes",
    "Length of the record, bytes",
    "Why it was not understood: a stable word",
    "What was expected and found, for people; never the record",
    "The format it looks like",
    "Where in the transport: file name, object, shard",
    "When Meshledger received the delivery",
    "The record as kept, after redaction",
];

/// The tables as SQL; `sql/schema.sql` begins with this text, which a test checks.
pub fn schema_sql() -> String {
    let mut text = String::from(
        "-- Generated: the tables from common/src/schema.rs, the views from the engine; a test fails if this\n\
         -- file and those differ. Times are UTC, in microseconds; names that end in _us are microseconds,\n\
         -- in _bytes bytes; all else is counted, or a word of those listed. NULL is not known or not said.\n\
         \n\
         -- One row is one audit event. event_date is the UTC date of event_time (partition).\n\
         CREATE TABLE mesh_events (\n",
    );
    let line = |name: &str, kind: &str, nullable: bool, comma: &str, doc: &str| {
        let null = if nullable { "" } else { " NOT NULL" };
        format!("    {name} {kind}{null}{comma} -- {doc}\n")
    };
    for column in COLUMNS {
        text.push_str(&line(column.name, column.kind.sql(), column.nullable, ",", column.doc));
    }
    text.push_str(&line(EVENT_DATE, "DATE", false, "", "UTC date of event_time; the partition"));
    text.push_str(
        ");\n\n-- One row is one record that was not understood.\nCREATE TABLE mesh_quarantine (\n",
    );
    let schema = quarantine_schema();
    let last = schema.fields().len().saturating_sub(1);
    for (place, (field, doc)) in schema.fields().iter().zip(QUARANTINE_DOCS).enumerate() {
        let comma = if place == last { "" } else { "," };
        let kind = sql_name(field.data_type());
        text.push_str(&line(field.name(), kind, field.is_nullable(), comma, doc));
    }
    text.push_str(");\n");
    text
}

/// The SQL type of a column of the quarantine.
fn sql_name(kind: &DataType) -> &'static str {
    match kind {
        DataType::Int32 => Int32.sql(),
        DataType::Int64 => Int64.sql(),
        DataType::Timestamp(..) => Timestamp.sql(),
        DataType::Binary => "BLOB",
        _ => Utf8.sql(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_ids_are_positions_and_names_are_unique() {
        for (i, column) in COLUMNS.iter().enumerate() {
            assert_eq!(usize::try_from(column.field_id).unwrap(), i + 1, "{}", column.name);
            assert_eq!(column_index(column.name), Some(i));
        }
    }

    #[test]
    fn every_column_says_what_it_holds_and_in_which_unit() {
        for column in COLUMNS {
            assert!(column.doc.len() >= 5, "{} says nothing: {:?}", column.name, column.doc);
            for (ending, unit) in [("_us", "microseconds"), ("_bytes", "bytes")] {
                let has_unit = !column.name.ends_with(ending) || column.doc.contains(unit);
                assert!(has_unit, "{} does not say {unit}: {:?}", column.name, column.doc);
            }
            let is_time = column.kind == Timestamp;
            let named = ["_time", "_not_after"].iter().any(|end| column.name.ends_with(end));
            assert_eq!(is_time, named, "{}: times are named _time or _not_after", column.name);
        }
        let quarantine = quarantine_schema();
        assert_eq!(quarantine.fields().len(), QUARANTINE_DOCS.len());
        for (field, doc) in quarantine.fields().iter().zip(QUARANTINE_DOCS) {
            assert_eq!(field.name().ends_with("_bytes"), doc.ends_with("bytes"), "{doc}");
        }
    }
}
