//! The settings with which a stack tells of events: it sends webhooks to a receiver of a test's own, and mails to a topic.

use anyhow::{Context, Result};

use super::{deploy::Settings, fault_proxies::free_ports};

/// The host whose webhooks reach the receiver. What listens there is up to a test.
const HOST: &str = "hooks.example.com";
/// A host whose name leads to the metadata service of clouds.
const METADATA_HOST: &str = "metadata.example.com";

/// Adds the parameters, and returns the variable of the tests: `WEBHOOK_RECEIVER`, the address at which to listen. `url` is
/// the address of the service.
pub(super) fn add(settings: &mut Settings, url: String) -> Result<(String, String)> {
    let receiver = format!("127.0.0.1:{}", free_ports()?.next().context("no free port")?);
    let hosts = format!("{HOST}={receiver},{METADATA_HOST}=169.254.169.254:80");
    let parameters = [
        ("WebhookHosts", hosts),
        // Soon enough for a test to wait.
        ("WebhookRetryDelay", "1".to_owned()),
        ("EventsEmail", "finance@example.com".to_owned()),
        ("PublicUrl", url),
        ("DeliveryBuckets", "arn:aws:s3:::deliveries-*".to_owned()),
    ];
    settings.parameters.extend(parameters);
    Ok(("WEBHOOK_RECEIVER".to_owned(), receiver))
}
