//! An SQS queue from which the ingest function takes records.

use archive::StoreOptions;
use archive::web::Aws;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use url::Url;

use super::Intake;

/// A queue.
#[derive(Debug)]
pub struct Queue {
    url: String,
    aws: Aws,
}

impl Queue {
    /// The queue of a URL, `https://sqs.<region>.amazonaws.com/<account>/<name>`, reached with the
    /// credentials that the bucket is reached with. Nothing is asked yet.
    ///
    /// # Errors
    /// Says what was expected.
    pub fn new(url: &str, options: &StoreOptions) -> Result<Self, String> {
        let expected =
            "the URL of an SQS queue, https://sqs.<region>.amazonaws.com/<account>/<name>";
        let parsed = Url::parse(url).map_err(|_| expected)?;
        let host = parsed.host_str().ok_or(expected)?;
        let is_plain = parsed.scheme() == "http";
        if is_plain && !options.allow_http {
            return Err(format!("{expected}; without TLS only if AWS_ALLOW_HTTP=true"));
        }
        let has_name = parsed.path_segments().is_some_and(|parts| parts.count() >= 2);
        if (parsed.scheme() != "https" && !is_plain) || !has_name {
            return Err(expected.to_owned());
        }
        let of_host = host.strip_prefix("sqs.").and_then(|rest| rest.split('.').next());
        let region = of_host.or(options.region.as_deref()).ok_or("a region, in AWS_REGION")?;
        let endpoint = format!("{}/", parsed.origin().ascii_serialization());
        let aws = Aws::new("sqs", region, Some(&endpoint), options).map_err(|e| e.to_string())?;
        Ok(Self { url: url.to_owned(), aws })
    }
}

impl Intake for Queue {
    fn put(&self, entry: String) -> BoxFuture<'_, Result<(), String>> {
        self.send(entry).boxed()
    }
}

impl Queue {
    async fn send(&self, entry: String) -> Result<(), String> {
        let message = json!({"QueueUrl": self.url, "MessageBody": entry}).to_string();
        let answer = self.aws.call("AmazonSQS.SendMessage", message).await;
        let answer = answer.map_err(|e| e.to_string())?;
        let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        match answer.status {
            // A queue that took it names it.
            200 if told["MessageId"].is_string() => Ok(()),
            status => {
                let kind = told["__type"].as_str().unwrap_or("no answer of SQS");
                let kind: String = kind.chars().take(200).collect();
                Err(format!("the queue of the trail answers {status}: {kind}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_queue_is_refused() {
        let options = |allow_http| StoreOptions {
            region: Some("eu-central-1".to_owned()),
            allow_http,
            ..StoreOptions::default()
        };
        for url in ["", "queue", "https://", "https://host", "https://host/one", "ftp://h/1/q"] {
            assert!(Queue::new(url, &options(true)).is_err(), "{url}");
        }
        let plain = "http://127.0.0.1:4566/000000000000/trail";
        assert!(Queue::new(plain, &options(false)).unwrap_err().contains("AWS_ALLOW_HTTP"));
        assert!(Queue::new(plain, &options(true)).is_ok());
        let ours = "https://sqs.eu-west-1.amazonaws.com/111122223333/trail";
        assert_eq!(
            Queue::new(ours, &StoreOptions::default()).unwrap().aws.url(),
            "https://sqs.eu-west-1.amazonaws.com/"
        );
    }
}
