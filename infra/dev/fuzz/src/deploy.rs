//! What CloudFormation sends at a deploy.

use std::sync::OnceLock;

use migrate::cloudformation::{Request, Status};

/// The head of the input is an event as Lambda sends it, the rest is the reason of the answer. Nothing is sent: the
/// address comes from the input.
pub(crate) fn migrate(bytes: &[u8]) {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    let client = CLIENT.get_or_init(|| {
        platform::tls::install_crypto();
        reqwest::Client::new()
    });
    let (event, reason) = crate::input::cut(bytes, b"\n%%\n");
    let Ok(event) = serde_json::from_slice(event) else { return };
    let Ok(Some(request)) = Request::read(event) else { return };
    let status = if request.is_delete() { Status::Success } else { Status::Failed };
    let reason = String::from_utf8_lossy(reason.unwrap_or_default());
    let data = [("Applied".to_owned(), reason.clone().into_owned())];
    let answer = request.answer(status, &reason, data);
    let _ = answer.request(client).build();
}
