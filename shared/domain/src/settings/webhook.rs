//! The receiver of an organization's events.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{EventKind, request::Errors};

/// Maximum length of an address, in bytes.
const MAX_URL_BYTES: usize = 500;

/// The `https` address of a receiver, whose host is a public name. Which addresses the name leads to is for the sender to
/// check each time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WebhookUrl(String);

/// Text that is not such an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be an https address of at most {MAX_URL_BYTES} characters, with the public name of a host and no IP address, no \
     port but 443, no user and no fragment"
)]
pub struct InvalidUrl;

impl FromStr for WebhookUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let uri: http::Uri = text.parse().map_err(|_| InvalidUrl)?;
        let authority = uri.authority().ok_or(InvalidUrl)?;
        let is_good = text.len() <= MAX_URL_BYTES
            && text.bytes().all(|byte| byte.is_ascii_graphic())
            && uri.scheme_str() == Some("https")
            && !authority.as_str().contains('@')
            && !text.contains(['#', '\\'])
            && (authority.as_str() == authority.host() || authority.port_u16() == Some(443))
            && is_public_name(authority.host());
        if is_good { Ok(Self(text.to_owned())) } else { Err(InvalidUrl) }
    }
}

/// Reports whether a host is the name of one in the public tree of names. No notation of an IP address ends in letters.
fn is_public_name(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let Some((_, top)) = host.rsplit_once('.') else { return false };
    let is_top = top.len() >= 2
        && (top.bytes().all(|byte| byte.is_ascii_alphabetic()) || top.to_ascii_lowercase().starts_with("xn--"));
    let is_private = ["local", "localhost", "internal", "lan", "home", "corp", "arpa", "onion", "test", "invalid"]
        .iter()
        .any(|name| top.eq_ignore_ascii_case(name));
    host.len() <= 253 && host.split('.').all(is_label) && is_top && !is_private
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for WebhookUrl {
    type Error = InvalidUrl;

    fn try_from(text: String) -> Result<Self, InvalidUrl> {
        text.parse()
    }
}

impl From<WebhookUrl> for String {
    fn from(url: WebhookUrl) -> Self {
        url.0
    }
}

/// The receiver of an organization's events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// The address.
    pub url: WebhookUrl,
    /// The kinds of events that it receives; at least one.
    pub events: BTreeSet<EventKind>,
}

impl Webhook {
    /// Reads a webhook from JSON, and records its mistakes.
    pub(super) fn read(value: &Value, errors: &mut Errors) -> Option<Self> {
        let fields = errors.object(value, "/webhook", &["url", "events"])?;
        let url = match fields.get("url") {
            None => errors.add("/webhook/url", "is required: an address such as https://finance.example.com/hooks"),
            Some(Value::String(text)) => text.parse().map_or_else(|error| errors.add("/webhook/url", error), Some),
            Some(_) => errors.add("/webhook/url", InvalidUrl),
        };
        let events = match fields.get("events") {
            Some(Value::Array(list)) if !list.is_empty() => {
                let mut events = BTreeSet::new();
                for (index, value) in list.iter().enumerate() {
                    let pointer = format!("/webhook/events/{index}");
                    match value.as_str().unwrap_or_default().parse() {
                        Ok(kind) if !events.insert(kind) => {
                            errors.add::<()>(&pointer, "is in the list already");
                        }
                        Ok(_) => {}
                        Err(error) => {
                            errors.add::<()>(&pointer, error);
                        }
                    }
                }
                Some(events)
            }
            _ => {
                errors.add("/webhook/events", "must be a list of at least one kind of event, such as export.succeeded")
            }
        };
        Some(Self { url: url?, events: events? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_public_name_over_https_is_an_address() {
        for good in [
            "https://finance.example.com",
            "https://finance.example.com/hooks?token=a",
            "https://finance.example.com:443/",
            "https://hooks.xn--bcher-kva.example/",
            "https://xn--e1afmkfd.xn--80akhbyknj4f/",
        ] {
            assert_eq!(good.parse::<WebhookUrl>().map(|url| url.to_string()).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "finance.example.com",
            "/hooks",
            "http://finance.example.com",
            "ftp://finance.example.com",
            "https://user@finance.example.com",
            "https://finance.example.com@127.0.0.1/",
            "https://finance.example.com:8443/",
            "https://finance.example.com:/",
            "https://finance.example.com/#fragment",
            "https://localhost/",
            "https://api.localhost/",
            "https://printer.local/",
            "https://ip-10-0-0-1.ec2.internal/",
            "https://127.0.0.1/",
            "https://127.1/",
            "https://0x7f.1/",
            "https://1.2.3.0x4/",
            "https://2130706433/",
            "https://[::1]/",
            "https://1.0.0.127.in-addr.arpa/",
            "https://finance.example.com./",
            "https://-a.example.com/",
            "https://a..example.com/",
            "https://b\u{fc}cher.example/",
            "https://finance.example.com/\\evil",
            "https://finance.example.com/ x",
            &format!("https://finance.example.com/{}", "a".repeat(MAX_URL_BYTES)),
        ] {
            assert_eq!(bad.parse::<WebhookUrl>(), Err(InvalidUrl), "{bad}");
        }
    }
}
