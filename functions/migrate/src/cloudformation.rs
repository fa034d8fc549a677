//! CloudFormation's requests to a custom resource, and the answers to them.
//!
//! CloudFormation expects the answer at a URL, whatever the function returns. A request without an answer blocks the
//! whole deploy until its timeout.

use std::time::Duration;

use aws_lambda_events::cloudformation::{
    CloudFormationCustomResourceRequest, CloudFormationCustomResourceResponse,
    CloudFormationCustomResourceResponseStatus,
};
use serde_json::Value;
use tracing::warn;

pub(crate) use aws_lambda_events::cloudformation::CloudFormationCustomResourceResponseStatus as Status;

/// The physical id of the resource. It never changes, since another id would mean another resource.
const PHYSICAL_ID: &str = "migrations";

/// Maximum length of a reason, in bytes. The whole answer is limited to 4 KiB.
const MAX_REASON: usize = 2000;

/// Maximum number of attempts to answer.
const MAX_ATTEMPTS: u32 = 5;

/// A request that waits for an answer.
#[derive(Debug)]
pub(crate) struct Request {
    is_delete: bool,
    url: String,
    answer: CloudFormationCustomResourceResponse,
}

/// The reason why a request was not answered.
#[derive(Debug, thiserror::Error)]
#[error("could not answer CloudFormation")]
pub(crate) struct Unanswered(#[from] reqwest::Error);

impl Request {
    /// Reads a request; `None` if the event is not from CloudFormation.
    pub(crate) fn read(event: Value) -> Result<Option<Self>, serde_json::Error> {
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
    pub(crate) const fn is_delete(&self) -> bool {
        self.is_delete
    }

    /// Sends the answer, and retries if it is not accepted.
    pub(crate) async fn answer(
        mut self,
        status: CloudFormationCustomResourceResponseStatus,
        reason: &str,
        data: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), Unanswered> {
        self.answer.status = status;
        self.answer.reason = Some(reason[..reason.floor_char_boundary(MAX_REASON)].to_owned());
        self.answer.data = data.into_iter().collect();
        let body = serde_json::json!(self.answer).to_string();
        platform::tls::install_crypto();
        let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build()?;
        let mut tries = 0;
        loop {
            // Without a content type, since the URL is signed for a request that has none.
            let sent = client.put(&self.url).body(body.clone()).send().await;
            let Err(error) = sent.and_then(reqwest::Response::error_for_status) else { return Ok(()) };
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
