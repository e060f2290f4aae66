//! HTTP clients that the stores of a process share.
//!
//! Each client of its own would read the system's certificates and open its own connections: of
//! what a function does before its first event, that is most.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use object_store::ClientOptions;
use object_store::Result;
use object_store::client::{HttpClient, HttpConnector, ReqwestConnector};

/// Clients by the options they were made with. Clones share them.
///
/// A client's connections live on the runtime that opened them: share one set within a runtime,
/// not between tests.
#[derive(Default, Clone)]
pub struct Clients(Arc<Mutex<HashMap<String, HttpClient>>>);

impl Clients {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl HttpConnector for Clients {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        // The options have no equality. All that differs in one shows, so that what credentials
        // are asked with (a short time to connect, say) never serves for the bucket.
        let key = format!("{options:?}");
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let client = ReqwestConnector::default().connect(options)?;
        let _ = clients.insert(key, client.clone());
        Ok(client)
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clients({})", self.count())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_client_is_shared_by_those_who_ask_with_the_same_options() {
        let clients = Clients::default();
        let options = |seconds| ClientOptions::new().with_timeout(Duration::from_secs(seconds));
        let _ = clients.connect(&options(1)).unwrap();
        let _ = clients.clone().connect(&options(1)).unwrap();
        assert_eq!(clients.count(), 1);
        let _ = clients.connect(&options(2)).unwrap();
        let _ = clients.connect(&options(1).with_allow_http(true)).unwrap();
        assert_eq!(clients.count(), 3);
    }
}
