# Consul: Envoy's access logs of every proxy, in Meshledger's full format.
#
#   consul config write proxy-defaults.hcl
#
# Stands on Consul's documentation, "Access Logs" and "Proxy defaults"; not run here. The format is
# `full_format` of ../envoy/capture.yaml, which was captured from a real Envoy 1.40.0.
#
# - There is one proxy-defaults entry and writing it replaces it: merge this block into yours.
# - An Envoy that does not know an operator refuses the whole listener. Try it in one datacenter first.
# - Proxies read it when they get their next configuration.
# - Consul's listener log has rejected connections only (flag NR). A failed inbound TLS handshake
#   is not in it, and AccessLogs has no setting for that.
Kind = "proxy-defaults"
Name = "global"

AccessLogs {
  Enabled             = true
  DisableListenerLogs = false
  Type                = "stdout"
  JSONFormat          = <<FORMAT
{
  "start_time": "%START_TIME%",
  "route_name": "%ROUTE_NAME%",
  "method": "%REQ(:METHOD)%",
  "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
  "protocol": "%PROTOCOL%",
  "response_code": "%RESPONSE_CODE%",
  "response_flags": "%RESPONSE_FLAGS%",
  "response_code_details": "%RESPONSE_CODE_DETAILS%",
  "connection_termination_details": "%CONNECTION_TERMINATION_DETAILS%",
  "bytes_received": "%BYTES_RECEIVED%",
  "bytes_sent": "%BYTES_SENT%",
  "duration": "%DURATION%",
  "upstream_service_time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
  "x_forwarded_for": "%REQ(X-FORWARDED-FOR)%",
  "user_agent": "%REQ(USER-AGENT)%",
  "request_id": "%REQ(X-REQUEST-ID)%",
  "authority": "%REQ(:AUTHORITY)%",
  "upstream_host": "%UPSTREAM_HOST%",
  "upstream_cluster": "%UPSTREAM_CLUSTER_RAW%",
  "upstream_local_address": "%UPSTREAM_LOCAL_ADDRESS%",
  "downstream_local_address": "%DOWNSTREAM_LOCAL_ADDRESS%",
  "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
  "requested_server_name": "%REQUESTED_SERVER_NAME%",
  "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
  "kind": "full",
  "listener": "%METADATA(LISTENER:meshledger:name)%",
  "response_flags_long": "%RESPONSE_FLAGS_LONG%",
  "downstream_transport_failure_reason": "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%",
  "downstream_tls_version": "%DOWNSTREAM_TLS_VERSION%",
  "downstream_tls_cipher": "%DOWNSTREAM_TLS_CIPHER%",
  "downstream_peer_uri_san": "%DOWNSTREAM_PEER_URI_SAN%",
  "downstream_local_uri_san": "%DOWNSTREAM_LOCAL_URI_SAN%",
  "downstream_peer_subject": "%DOWNSTREAM_PEER_SUBJECT%",
  "downstream_peer_fingerprint_256": "%DOWNSTREAM_PEER_FINGERPRINT_256%",
  "downstream_peer_serial": "%DOWNSTREAM_PEER_SERIAL%",
  "downstream_peer_cert_v_end": "%DOWNSTREAM_PEER_CERT_V_END%",
  "upstream_tls_version": "%UPSTREAM_TLS_VERSION%",
  "upstream_peer_uri_san": "%UPSTREAM_PEER_URI_SAN%",
  "trace_id": "%TRACE_ID%",
  "traceparent": "%REQ(TRACEPARENT)%",
  "xfcc": "%REQ(X-FORWARDED-CLIENT-CERT)%",
  "jwt_sub": "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:payload:sub)%",
  "jwt_payload": "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:payload)%",
  "rbac_meta": "%DYNAMIC_METADATA(envoy.filters.http.rbac)%",
  "net_rbac_meta": "%DYNAMIC_METADATA(envoy.filters.network.rbac)%",
  "stream_id": "%STREAM_ID%",
  "connection_id": "%CONNECTION_ID%",
  "access_log_type": "%ACCESS_LOG_TYPE%",
  "path_nq": "%PATH(NQ)%",
  "grpc_status": "%GRPC_STATUS%",
  "node": "%HOSTNAME%",
  "start_us": "%START_TIME(%s.%6f)%",
  "filter_chain": "%FILTER_CHAIN_NAME%"
}
FORMAT
}
