//! One invocation of a function's own program on this machine, by the API through which Lambda gives work to it.
//!
//! So a task runs against any database by the very program that AWS runs, which has no second way in for that.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;
use tiny_http::{Header, Method, Request, Response, Server};

use crate::{
    command::{Output, Spec},
    process::{self, tail},
};

const API: &str = "/2018-06-01/runtime";
const REQUEST_ID: &str = "by-hand";
/// The longest that a function may take.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// Gives `event` to the program and waits for what it makes of it. What it logs goes to `log`.
pub(crate) fn invoke(program: &Path, variables: &BTreeMap<String, String>, event: &Value, log: &Path) -> Result<Value> {
    let server = Server::http("127.0.0.1:0").map_err(|error| anyhow!("can't open a port for the program: {error}"))?;
    let address = server.server_addr().to_ip().context("the port has an address")?;
    let fixed = [
        ("AWS_LAMBDA_RUNTIME_API", address.to_string()),
        ("AWS_LAMBDA_FUNCTION_NAME", REQUEST_ID.to_owned()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256".to_owned()),
    ];
    let spec = fixed.into_iter().fold(Spec::new(program), |spec, (name, value)| spec.env(name, value));
    let spec = variables.iter().fold(spec, |spec, (name, value)| spec.env(name, value));
    let mut child = spec.spawn(&Output::File(log))?;
    let end = Instant::now() + LONGEST;
    loop {
        process::check()?;
        if child.ended()?.is_some() {
            bail!("the program ended without an answer\n{}", tail(log, 20));
        }
        if Instant::now() > end {
            bail!("no answer after {} s", LONGEST.as_secs());
        }
        if let Some(request) = server.recv_timeout(Duration::from_millis(50))?
            && let Some(answer) = serve(request, event)?
        {
            return answer;
        }
    }
}

/// Answers one call of the program; gives the function's answer, if that is what it brought.
fn serve(mut request: Request, event: &Value) -> Result<Option<Result<Value>>> {
    let mut body = String::new();
    request.as_reader().read_to_string(&mut body)?;
    let path = request.url().strip_prefix(API).unwrap_or_default().to_owned();
    if *request.method() == Method::Get && path == "/invocation/next" {
        let deadline = SystemTime::now().duration_since(UNIX_EPOCH)? + LONGEST;
        let headers = [
            ("Lambda-Runtime-Aws-Request-Id", REQUEST_ID.to_owned()),
            ("Lambda-Runtime-Deadline-Ms", deadline.as_millis().to_string()),
            ("Lambda-Runtime-Invoked-Function-Arn", format!("arn:aws:lambda:local:0:function:{REQUEST_ID}")),
            ("Content-Type", "application/json".to_owned()),
        ];
        let headers = headers.map(|(name, value)| Header::from_bytes(name, value));
        let response =
            headers.into_iter().flatten().fold(Response::from_string(event.to_string()), Response::with_header);
        request.respond(response)?;
        return Ok(None);
    }
    request.respond(Response::empty(202))?;
    let answer: Value = serde_json::from_str(&body).unwrap_or(Value::String(body));
    match path.rsplit('/').next() {
        Some("response") => Ok(Some(Ok(answer))),
        Some("error") => Ok(Some(Err(error(&answer)))),
        _ => Ok(None),
    }
}

/// A function's error, in its own words.
pub(crate) fn error(answer: &Value) -> anyhow::Error {
    anyhow!("{}", answer["errorMessage"].as_str().map_or_else(|| answer.to_string(), str::to_owned))
}
