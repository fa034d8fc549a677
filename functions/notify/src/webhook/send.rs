//! One request to a webhook.

use std::time::Duration;

use domain::settings::WebhookSecret;
use jiff::Timestamp;
use jobs::{JobsError, JobsTable};
use reqwest::{Client, StatusCode, Url, redirect::Policy};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    address::{Hosts, NoWay, RefusedAddress, Way},
    signature::{InvalidSecret, signature},
};
use crate::event::Told;

/// The time in which a connection must be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The time of the whole request: Standard Webhooks recommend 15 to 30 seconds, and ours has a small body.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The maximum length of an answer that is read, so that the connection ends in order. It is not used.
const MAX_ANSWER: usize = 16 << 10;

/// An organization's webhook that is to be told of an event.
#[derive(Debug)]
pub(crate) struct Webhook {
    url: Url,
    /// The secrets that are valid, the present one first.
    secrets: Vec<WebhookSecret>,
}

/// The reason why a webhook was not told, in words for the organization.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// No request may be sent there.
    #[error(transparent)]
    Address(RefusedAddress),
    /// DNS has no address.
    #[error("the name of the host leads to no address")]
    Unknown,
    /// There is nothing to sign with.
    #[error("the webhook has no secret, so nothing can be signed; make one with POST \u{2026}/settings/webhook/secret")]
    NoSecret,
    /// The secret is not one of the scheme.
    #[error(transparent)]
    Secret(#[from] InvalidSecret),
    /// The request could not be written.
    #[error("the request could not be written")]
    Body(#[from] serde_json::Error),
    /// The receiver was not reached, or did not answer.
    #[error("{}", in_words(.0))]
    Http(#[source] reqwest::Error),
    /// A redirect, which could lead anywhere.
    #[error("the receiver answered {0}, a redirect, which is not followed; set the address that it leads to")]
    Redirect(StatusCode),
    /// Another answer than success.
    #[error("the receiver answered {0}")]
    Status(StatusCode),
}

/// The reason of a request without an answer. The error's own text has the address with its path and query.
fn in_words(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "the receiver did not answer in time"
    } else if error.is_connect() {
        "no connection to the receiver: it refuses it, or its certificate is not valid"
    } else {
        "the connection to the receiver broke"
    }
}

impl Webhook {
    /// Returns the webhook of the event's organization; `None` if it has none for such events.
    pub(crate) async fn of(told: &Told, now: Timestamp, jobs: &JobsTable) -> Result<Option<Self>, JobsError> {
        let org = told.detail.org_id;
        let settings = jobs.settings(org).await?;
        let webhook = settings.and_then(|version| version.settings.webhook);
        let Some(webhook) = webhook.filter(|webhook| webhook.events.contains(&told.kind)) else { return Ok(None) };
        let secrets = jobs.webhook_secrets(org).await?;
        let secrets = secrets.map_or_else(Vec::new, |secrets| secrets.valid(now).cloned().collect());
        // The settings admit no address that is not one.
        Ok(webhook.url.to_string().parse().ok().map(|url| Self { url, secrets }))
    }

    /// Returns the host.
    pub(crate) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }
}

/// The body of a request.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: Timestamp,
    data: &'a RawValue,
}

/// Sends an event to a webhook. Each attempt has the same id and body, and a time and signatures of its own.
pub(crate) async fn send(webhook: &Webhook, told: &Told, now: Timestamp, hosts: &Hosts) -> Result<(), SendError> {
    let way = hosts.way_to(webhook.host()).await.map_err(|error| match error {
        NoWay::Refused(refused) => SendError::Address(refused),
        NoWay::Unknown => SendError::Unknown,
    })?;
    let id = told.detail.event_id.to_string();
    let data = &told.raw;
    let body = Body { kind: told.kind.name(), timestamp: told.detail.occurred_at, data };
    let body = serde_json::to_string(&body)?;
    let signatures = webhook.signatures(&id, now.as_second(), &body)?;
    let (client, url) = client(&way, &webhook.url).map_err(SendError::Http)?;
    let request = client
        .post(url)
        .header("content-type", "application/json")
        .header("user-agent", "analytics-exports")
        .header("webhook-id", id)
        .header("webhook-timestamp", now.as_second())
        .header("webhook-signature", signatures);
    let mut answer = request.body(body).send().await.map_err(SendError::Http)?;
    let status = answer.status();
    let mut length = 0;
    // What the receiver says beside its status, and whether it ends, changes nothing.
    while let Ok(Some(chunk)) = answer.chunk().await {
        length += chunk.len();
        if length > MAX_ANSWER {
            break;
        }
    }
    match status {
        status if status.is_success() => Ok(()),
        status if status.is_redirection() => Err(SendError::Redirect(status)),
        status => Err(SendError::Status(status)),
    }
}

/// Returns a client that connects to the addresses of the way alone, whatever DNS says meanwhile, and the URL.
fn client(way: &Way, url: &Url) -> reqwest::Result<(Client, Url)> {
    platform::tls::install_crypto();
    let host = url.host_str().unwrap_or_default();
    let client = Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        .pool_max_idle_per_host(0);
    match way {
        Way::Public(addresses) => {
            let client = client.https_only(true).resolve_to_addrs(host, addresses).build()?;
            Ok((client, url.clone()))
        }
        Way::Local(address) => {
            let mut url = url.clone();
            // A URL of https has a port and may change to http.
            let _ = url.set_scheme("http");
            let _ = url.set_port(Some(address.port()));
            Ok((client.resolve(host, *address).build()?, url))
        }
    }
}

impl Webhook {
    /// Returns the signatures by all valid secrets, separated by spaces.
    fn signatures(&self, id: &str, timestamp: i64, body: &str) -> Result<String, SendError> {
        let sign = |secret: &WebhookSecret| signature(secret.reveal(), id, timestamp, body);
        let signatures = self.secrets.iter().map(sign).collect::<Result<Vec<_>, _>>()?;
        if signatures.is_empty() { Err(SendError::NoSecret) } else { Ok(signatures.join(" ")) }
    }
}
