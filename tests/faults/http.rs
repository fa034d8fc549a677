//! A proxy between a function and a service that speaks HTTP: it relays requests, until a rule disturbs one.

use std::{
    net::{SocketAddr, TcpListener},
    thread,
};

use loopback::{Arrival, answer, forward};
use tokio::runtime::Handle;

use crate::rule::{Action, Rules, contains};

/// Serves a listener until the process ends. Held requests wait on this runtime.
pub(crate) fn serve(listener: TcpListener, target: SocketAddr, rules: Rules) {
    let runtime = Handle::current();
    loopback::serve(listener, move |arrival| relay(&arrival, target, &rules, &runtime));
}

/// Returns the answer to a request; `None` ends the connection without one.
fn relay(arrival: &Arrival, target: SocketAddr, rules: &Rules, runtime: &Handle) -> Option<Vec<u8>> {
    let text = arrival.request.to_bytes();
    let forward = || forward(&arrival.request, target).ok();
    let Some((rule, action)) = rules.find(&text) else { return forward() };
    match action {
        Action::Refuse(status) => Some(refusal(status, &text)),
        Action::Answer(body) => Some(answer("200 OK", &body)),
        Action::LoseAnswer => forward().and(None),
        Action::Delay(time) => {
            thread::sleep(time);
            forward()
        }
        Action::Hold => {
            let released = runtime.block_on(rule.hold(arrival.peer, arrival.local))?;
            let answer = forward();
            let _ = released.send(answer.as_deref().and_then(status).unwrap_or(0));
            answer
        }
        Action::Cut(bytes) => forward().map(|mut answer| {
            answer.truncate(bytes);
            answer
        }),
        Action::Watch | Action::Stall(_) => None,
    }
}

fn status(answer: &[u8]) -> Option<u16> {
    std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()
}

/// An error in the service's own protocol: XML for S3, JSON for the others.
fn refusal(status: u16, request: &[u8]) -> Vec<u8> {
    let (reason, code) = match status {
        503 => ("Service Unavailable", "SlowDown"),
        _ => ("Internal Server Error", "InternalServerError"),
    };
    let body = if contains(request, b"x-amz-target") {
        format!(r#"{{"__type":"com.amazonaws#{code}","message":"not now"}}"#)
    } else {
        format!("<Error><Code>{code}</Code><Message>not now</Message></Error>")
    };
    answer(&format!("{status} {reason}"), &body)
}
