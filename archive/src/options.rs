//! How a store is reached. Filled in by the program's door to its environment, never read from the
//! environment here.

use std::collections::BTreeMap;
use std::fmt;

use crate::store::Clients;

/// Settings of an S3 store; a local archive needs none.
#[derive(Default, Clone)]
pub struct StoreOptions {
    /// URL of an S3-compatible server; AWS if absent.
    pub endpoint: Option<String>,
    /// Region; `us-east-1` if absent.
    pub region: Option<String>,
    /// Access key id; if absent, the instance's or container's role is asked.
    pub access_key_id: Option<String>,
    /// Secret of the access key.
    pub secret_access_key: Option<String>,
    /// Session token of temporary credentials.
    pub session_token: Option<String>,
    /// Permits an endpoint without TLS.
    pub allow_http: bool,
    /// Puts the bucket into the host name instead of the path.
    pub virtual_hosted: bool,
    /// Attempts for one put whose outcome is unknown; 8 if absent.
    pub put_attempts_max: Option<u32>,
    /// First pause between such attempts, in milliseconds; doubles each time; 100 if absent,
    /// none at all if 0.
    pub put_pause_millis: Option<u64>,
    /// How the place of locks is reached, where it is another's; as all else, if absent.
    pub locks: Option<Box<Self>>,
    /// HTTP clients, shared by all stores that are reached with clones of these options.
    pub clients: Clients,
    /// Further settings by the object store's own names, for example
    /// `aws_container_credentials_relative_uri`.
    pub extra: BTreeMap<String, String>,
}

impl fmt::Debug for StoreOptions {
    /// Leaves the secrets out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("access_key_id", &self.access_key_id)
            .field("has_secret", &self.secret_access_key.is_some())
            .field("allow_http", &self.allow_http)
            .field("virtual_hosted", &self.virtual_hosted)
            .finish_non_exhaustive()
    }
}
