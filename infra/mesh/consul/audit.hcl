# Consul Enterprise: the audit log of an agent's HTTP API. Part of the agent's configuration.
#
# Stands on Consul's documentation, "Audit Logging" and "Log parameters"; not run here.
#
# - Every agent needs it, servers and clients: an agent logs what comes to its own HTTP API.
# - ACLs must be on. Without them there is nobody to name.
# - Only `best-effort` exists: under load or on a full disk entries are lost, silently.
# - Files are named audit-<time>.json. `rotate_max_files` removes the oldest: ingest them before.
# - Community Edition has no audit log.
audit {
  enabled = true
  sink "meshledger" {
    type               = "file"
    format             = "json"
    path               = "/var/log/consul/audit.json"
    delivery_guarantee = "best-effort"
    mode               = "0600"
    rotate_duration    = "1h"
    rotate_bytes       = 67108864
    rotate_max_files   = 168
  }
}
