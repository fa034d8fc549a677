//! The receiver of webhooks: the stack sends those of `hooks.example.com` to it. All tests of a process share it, so each
//! has a path of its own.

use std::{
    collections::{HashMap, VecDeque},
    net::TcpListener,
    sync::{LazyLock, Mutex},
};

use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use loopback::{Request, answer, serve};

use crate::stack::variable;

/// The requests and the answers that are left, by path.
static PATHS: LazyLock<Mutex<HashMap<String, Path>>> = LazyLock::new(|| {
    let address = variable("WEBHOOK_RECEIVER");
    let listener = TcpListener::bind(&address).unwrap_or_else(|error| panic!("{address}: {error}"));
    serve(listener, |arrival| {
        let mut paths = PATHS.lock().unwrap();
        let path = paths.entry(arrival.request.target.clone()).or_default();
        path.requests.push(arrival.request);
        Some(path.answers.pop_front().unwrap_or_else(|| answer("204 No Content", "")))
    });
    Mutex::default()
});

#[derive(Debug, Default)]
struct Path {
    requests: Vec<Request>,
    answers: VecDeque<Vec<u8>>,
}

/// Sets the next answers at a path, each the bytes of one; after them, all is well.
pub fn will_answer(path: &str, answers: impl IntoIterator<Item = Vec<u8>>) {
    PATHS.lock().unwrap().entry(path.to_owned()).or_default().answers.extend(answers);
}

/// Returns an answer with a status.
pub fn status(status: &str) -> Vec<u8> {
    answer(status, "")
}

/// Returns a redirect to another path of the receiver.
pub fn redirect(to: &str) -> Vec<u8> {
    let to = format!("http://{}{to}", variable("WEBHOOK_RECEIVER"));
    format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").into_bytes()
}

/// Returns the requests to a path so far.
pub fn requests(path: &str) -> Vec<Request> {
    PATHS.lock().unwrap().get(path).map_or_else(Vec::new, |path| path.requests.clone())
}

/// Reports whether one of a request's signatures is by this secret, as Standard Webhooks say.
pub fn is_signed(request: &Request, secret: &str) -> bool {
    let key = BASE64_STANDARD.decode(secret.strip_prefix("whsec_").expect("a secret")).expect("base64");
    let header = |name: &str| request.header(name).unwrap_or_else(|| panic!("no {name}: {request:?}"));
    let head = format!("{}.{}.", header("webhook-id"), header("webhook-timestamp"));
    let signed = [head.as_bytes(), &request.body].concat();
    let expected = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &signed);
    let expected = format!("v1,{}", BASE64_STANDARD.encode(expected));
    header("webhook-signature").split(' ').any(|signature| signature == expected)
}
