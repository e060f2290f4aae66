//! Asking witnesses after a seal: what they do is told, and keeps nobody from sealing.

use archive::Archive;
use maintain_fn::{Asked, Cosigning};

use crate::key::Trust;
use crate::output::{complain, printable};

/// Asks the witnesses of a policy that have a URL, and complains of those that do not cosign.
pub(crate) async fn ask(archive: &Archive, trust: Option<&Trust>) -> Vec<Asked> {
    let Some(trust) = trust else { return Vec::new() };
    let asked = maintain_fn::witness::ask(&archive.sealer(), &trust.policy).await;
    match asked {
        Ok(asked) => {
            for one in asked.iter().filter(|one| !one.is_cosigned()) {
                complain(&sentence(one));
            }
            asked
        }
        Err(error) => {
            let error = printable(&error, false);
            complain(&format!("witnesses: {error}; what was sealed is sealed, all the same"));
            Vec::new()
        }
    }
}

/// What a witness did.
pub(crate) fn sentence(asked: &Asked) -> String {
    let (witness, url) = (printable(&asked.witness, false), printable(&asked.url, false));
    let (size, reason) = (asked.size, printable(&asked.reason, false));
    match asked.outcome {
        Cosigning::Cosigned => format!("Witness {witness} cosigned size {size}."),
        Cosigning::Kept => format!("Witness {witness} had cosigned size {size}."),
        Cosigning::Failed => format!(
            "witness {witness} at {url} did not cosign size {size}: {reason}; the next seal asks \
             again"
        ),
        Cosigning::Refused => format!(
            "WITNESS {witness} at {url} REFUSES size {size}: {reason}; find out who changed the \
             ledger or used its key"
        ),
    }
}
