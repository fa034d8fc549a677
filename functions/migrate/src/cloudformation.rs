//! What CloudFormation asks of a resource that is a function, and the answer it waits for.
//!
//! It waits at an address of its own, whatever the function returns: a request that stays unanswered holds the whole
//! deploy up until its timeout.

use std::time::Duration;

use aws_lambda_events::cloudformation::{
    CloudFormationCustomResourceRequest, CloudFormationCustomResourceResponse,
    CloudFormationCustomResourceResponseStatus,
};
use serde_json::Value;
use tracing::warn;

pub(crate) use aws_lambda_events::cloudformation::CloudFormationCustomResourceResponseStatus as Status;

/// The resource's name in CloudFormation's books. It never changes: another one would mean another resource.
const PHYSICAL_ID: &str = "migrations";

/// The longest reason, in bytes. The whole answer may have 4 KiB.
const LONGEST_REASON: usize = 2000;

const TRIES: u32 = 5;

/// A request that waits for an answer.
#[derive(Debug)]
pub(crate) struct Request {
    is_delete: bool,
    url: String,
    answer: CloudFormationCustomResourceResponse,
}

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
#[error("could not answer CloudFormation")]
pub(crate) struct Unanswered(#[from] reqwest::Error);

impl Request {
    /// The request, if the event is one.
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

    /// Whether the resource is to go.
    pub(crate) const fn is_delete(&self) -> bool {
        self.is_delete
    }

    /// Answers, again and again if need be.
    pub(crate) async fn answer(
        mut self,
        status: CloudFormationCustomResourceResponseStatus,
        reason: &str,
        data: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), Unanswered> {
        self.answer.status = status;
        self.answer.reason = Some(reason[..reason.floor_char_boundary(LONGEST_REASON)].to_owned());
        self.answer.data = data.into_iter().collect();
        let body = serde_json::json!(self.answer).to_string();
        platform::tls::install_crypto();
        let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build()?;
        let mut tries = 0;
        loop {
            // Without a content type: the address is signed for a request that has none.
            let sent = client.put(&self.url).body(body.clone()).send().await;
            let Err(error) = sent.and_then(reqwest::Response::error_for_status) else { return Ok(()) };
            // The address is a secret of its own.
            let error = error.without_url();
            tries += 1;
            if tries == TRIES {
                return Err(error.into());
            }
            warn!(%error, "CloudFormation did not take the answer; trying again");
            tokio::time::sleep(Duration::from_secs(tries.into())).await;
        }
    }
}
