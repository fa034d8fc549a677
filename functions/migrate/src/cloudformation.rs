//! CloudFormation's requests to a custom resource, and the answers to them.
//!
//! CloudFormation expects the answer at a URL, whatever the function returns. A request without an answer blocks the
//! whole deploy until its timeout.

use std::time::Duration;

use aws_lambda_events::cloudformation::{CloudFormationCustomResourceRequest, CloudFormationCustomResourceResponse};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use tracing::warn;

pub use aws_lambda_events::cloudformation::CloudFormationCustomResourceResponseStatus as Status;

/// The physical id of the resource. It never changes, since another id would mean another resource.
const PHYSICAL_ID: &str = "migrations";

/// Maximum length of a reason, in bytes. The whole answer is limited to 4 KiB.
const MAX_REASON: usize = 2000;

/// Maximum number of attempts to answer.
const MAX_ATTEMPTS: u32 = 5;

/// A request that waits for an answer.
#[derive(Debug)]
pub struct Request {
    is_delete: bool,
    url: String,
    answer: CloudFormationCustomResourceResponse,
}

/// An answer that was not sent yet.
#[derive(Debug)]
pub struct Answer {
    url: String,
    body: String,
}

/// The reason why a request was not answered.
#[derive(Debug, thiserror::Error)]
#[error("could not answer CloudFormation")]
pub struct Unanswered(#[from] reqwest::Error);

impl Request {
    /// Reads a request; `None` if the event is not from CloudFormation.
    ///
    /// # Errors
    /// When the event has the URL of CloudFormation's requests, and is none.
    pub fn read(event: Value) -> Result<Option<Self>, serde_json::Error> {
        use CloudFormationCustomResourceRequest::{Create, Delete, Update};
        if event.get("ResponseURL").is_none() {
            return Ok(None);
        }
        let (is_delete, url, ids) = match serde_json::from_value::<CloudFormationCustomResourceRequest>(event)? {
            Create(request) => {
                (false, request.response_url, (request.stack_id, request.request_id, request.logical_resource_id))
            }
            Update(request) => {
                (false, request.response_url, (request.stack_id, request.request_id, request.logical_resource_id))
            }
            Delete(request) => {
                (true, request.response_url, (request.stack_id, request.request_id, request.logical_resource_id))
            }
            _ => return Ok(None),
        };
        let mut answer = CloudFormationCustomResourceResponse::default();
        (answer.stack_id, answer.request_id, answer.logical_resource_id) = ids;
        PHYSICAL_ID.clone_into(&mut answer.physical_resource_id);
        Ok(Some(Self { is_delete, url, answer }))
    }

    /// Reports whether the resource is to be deleted.
    pub const fn is_delete(&self) -> bool {
        self.is_delete
    }

    /// Returns the answer to the request. A reason that is too long is cut.
    pub fn answer(mut self, status: Status, reason: &str, data: impl IntoIterator<Item = (String, String)>) -> Answer {
        self.answer.status = status;
        self.answer.reason = Some(reason[..reason.floor_char_boundary(MAX_REASON)].to_owned());
        self.answer.data = data.into_iter().collect();
        Answer { url: self.url, body: serde_json::json!(self.answer).to_string() }
    }
}

impl Answer {
    /// Returns the request that sends the answer.
    pub fn request(&self, client: &Client) -> RequestBuilder {
        // Without a content type, since the URL is signed for a request that has none.
        client.put(&self.url).body(self.body.clone())
    }

    /// Sends the answer, and retries if it is not accepted.
    ///
    /// # Errors
    /// When it was not accepted in any attempt.
    pub async fn send(self) -> Result<(), Unanswered> {
        platform::tls::install_crypto();
        let client = Client::builder().timeout(Duration::from_secs(5)).build()?;
        let mut tries = 0;
        loop {
            let sent = self.request(&client).send().await;
            let Err(error) = sent.and_then(Response::error_for_status) else { return Ok(()) };
            // The URL is a secret.
            let error = error.without_url();
            tries += 1;
            if tries == MAX_ATTEMPTS {
                return Err(error.into());
            }
            warn!(%error, "answer to CloudFormation not accepted, trying again");
            tokio::time::sleep(Duration::from_secs(tries.into())).await;
        }
    }
}
