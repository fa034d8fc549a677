//! The HTTP function: from the event to the answer.

use api::{Context, Event, handle, router};
use axum::Router;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};

use crate::{
    input::{Input, Message, cut},
    issuer::ORGANIZATION,
    world::{World, deadline},
};

struct Service {
    world: World,
    router: Router,
    /// The words of inputs that stand for something, and what they stand for.
    words: [(&'static str, String); 4],
}

thread_local! {
    static SERVICE: Service = Service::start();
}

/// The head of the input is an event as Lambda sends it.
pub(crate) fn event(bytes: &[u8]) {
    let input = Input::new(bytes);
    SERVICE.with(|service| service.answer(&service.replace(input.head), input));
}

/// The head of the input is a request in the form of HTTP/1, of which an event is made.
pub(crate) fn request(bytes: &[u8]) {
    let input = Input::new(bytes);
    SERVICE.with(|service| service.answer(&to_event(&service.replace(input.head)), input));
}

/// The head of the input has a path with the word `CURSOR`, a list's name and a position, each on a line. The request
/// has a cursor that is the list's own, with whatever position.
pub(crate) fn cursor(bytes: &[u8]) {
    let input = Input::new(bytes);
    SERVICE.with(|service| {
        let head = service.replace(input.head);
        let (target, rest) = cut(&head, b"\n");
        let (list, position) = cut(rest.unwrap_or_default(), b"\n");
        let Ok(position) = serde_json::from_slice::<Value>(position.unwrap_or_default()) else { return };
        let cursor = platform::cursor::encode(&position, &String::from_utf8_lossy(list));
        let target = String::from_utf8_lossy(target).replace("CURSOR", &cursor);
        let token = &service.words[0].1;
        let request = format!("GET {target}\nauthorization: Bearer {token}\n");
        service.answer(&to_event(request.as_bytes()), input);
    });
}

impl Service {
    fn start() -> Self {
        let world = World::start();
        let words = [
            ("TOKEN", world.issuer.token("admin analytics:ci:read analytics:ci:pii", &[])),
            ("ADMIN", world.issuer.token("", &["platform-admin"])),
            ("NOBODY", world.issuer.token("", &[])),
            ("ORG", ORGANIZATION.to_owned()),
        ];
        let router = router(world.make(Context::from_env));
        Self { world, router, words }
    }

    /// Replaces the words.
    fn replace(&self, head: &[u8]) -> Vec<u8> {
        self.words.iter().fold(head.to_vec(), |head, (word, value)| {
            let (mut first, mut rest) = cut(&head, word.as_bytes());
            let mut replaced = first.to_vec();
            while let Some(more) = rest {
                replaced.extend_from_slice(value.as_bytes());
                (first, rest) = cut(more, word.as_bytes());
                replaced.extend_from_slice(first);
            }
            replaced
        })
    }

    /// Answers an event, if it is one.
    fn answer(&self, event: &[u8], input: Input<'_>) {
        let Ok(event) = serde_json::from_slice::<Event>(event) else { return };
        let reply = handle(self.router.clone(), event, "invocation".to_owned(), deadline());
        let reply = self.world.run(input, reply).expect("the body of an answer is in memory");
        check(&serde_json::to_value(reply).expect("an answer is JSON"));
    }
}

/// Returns the event of a request. Header `x-base64` says that the body is sent in base64.
fn to_event(request: &[u8]) -> Vec<u8> {
    let Message { first, headers, body } = Message::read(request);
    let (method, target) = first.split_once(' ').unwrap_or((&first, "/"));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let is_base64 = headers.iter().any(|(name, _)| name == "x-base64");
    let body = if is_base64 { BASE64_STANDARD.encode(body) } else { String::from_utf8_lossy(body).into_owned() };
    let headers: Map<String, Value> = headers.into_iter().map(|(name, value)| (name, value.into())).collect();
    let event = json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query, "headers": headers,
        "requestContext": {"http": {"method": method, "sourceIp": "203.0.113.17"}, "requestId": "request"},
        "body": body, "isBase64Encoded": is_base64,
    });
    event.to_string().into_bytes()
}

/// The maximum length of a function's answer, in bytes.
const MAX_ANSWER: usize = 6 << 20;

/// Checks that an answer is one that Lambda and API Gateway pass on: not too long, a status of HTTP, and a problem for
/// every refusal, or a page of one.
fn check(reply: &Value) {
    assert!(reply.to_string().len() < MAX_ANSWER, "an answer of {} bytes", reply.to_string().len());
    let status = reply["statusCode"].as_u64().expect("a status");
    assert!((200..600).contains(&status), "{reply}");
    let body = reply["body"].as_str().expect("a body");
    if status < 400 || body.is_empty() {
        return;
    }
    if reply["headers"]["content-type"] == "text/html; charset=utf-8" {
        assert!(
            body.starts_with("<!DOCTYPE html>") && reply["headers"]["content-security-policy"].is_string(),
            "{reply}"
        );
        return;
    }
    assert_eq!(reply["headers"]["content-type"], "application/problem+json", "{reply}");
    let problem: Value = serde_json::from_str(body).expect("a problem is JSON");
    assert_eq!(problem["status"], status, "{reply}");
    assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{reply}");
}
