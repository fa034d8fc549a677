//! A function's own program on this machine, with settings and a time limit of a test's own.

use std::{
    io::Read as _,
    process::Stdio,
    time::{Duration, Instant},
};

use loopback::{Call, Invocation, RuntimeApi};
use serde_json::Value;

use crate::program::program;

/// The time after its limit in which a function has to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// What an invocation came to.
#[derive(Debug)]
pub struct Invoked {
    /// The answer, or the error's message.
    pub answer: Result<Value, String>,
    /// The lines of its log.
    pub lines: Vec<Value>,
}

impl Invoked {
    /// Returns the only line that has this metric.
    ///
    /// # Panics
    /// When there is no such line, or more than one.
    pub fn metrics(&self, name: &str) -> &Value {
        let found: Vec<&Value> = self.lines.iter().filter(|line| is_metric(line, name)).collect();
        let [line] = found.as_slice() else { panic!("one line has {name}: {:#?}", self.lines) };
        line
    }
}

/// Reports whether CloudWatch makes a metric of this name from a line.
pub fn is_metric(line: &Value, name: &str) -> bool {
    let directives = line["_aws"]["CloudWatchMetrics"].as_array().into_iter().flatten();
    let is_named = |directive: &Value| {
        let metrics = directive["Metrics"].as_array().into_iter().flatten();
        directive["Namespace"] == "AnalyticsExports" && metrics.into_iter().any(|metric| metric["Name"] == name)
    };
    directives.into_iter().any(is_named) && line[name].is_number()
}

/// Starts the program of a function, gives it one event and the time limit, and waits for its end.
///
/// # Panics
/// When it does not ask for an event, or does not end.
pub async fn invoke(name: &str, variables: &[(&str, String)], event: &Value, timeout: Duration) -> Invoked {
    let (name, event) = (name.to_owned(), event.to_string());
    let variables: Vec<(String, String)> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let run = move || play(&name, variables, &event, timeout);
    tokio::task::spawn_blocking(run).await.expect("the program is played")
}

fn play(name: &str, variables: Vec<(String, String)>, event: &str, timeout: Duration) -> Invoked {
    let api = RuntimeApi::start().expect("a port");
    let mut command = program(name);
    command.envs(api.environment(name, 256)).env("AWS_LAMBDA_LOG_FORMAT", "JSON").env_remove("DATABASE_SECRET");
    let mut child = command.envs(variables).stdout(Stdio::piped()).spawn().expect("the program starts");
    let mut output = child.stdout.take().expect("its output");
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).map(|_| text)
    });
    let end = Instant::now() + timeout + PATIENCE;
    let answer = loop {
        match api.receive(Duration::from_millis(100)).expect("the runtime API answers") {
            Some(Call::Next(next)) => next
                .hand_over(&Invocation { id: "request", function: name, event: event.as_bytes(), timeout })
                .expect("the function takes the event"),
            Some(Call::Succeeded { body, .. }) => break Ok(serde_json::from_slice(&body).expect("JSON")),
            Some(Call::Failed { body }) => {
                let error: Value = serde_json::from_slice(&body).expect("JSON");
                break Err(error["errorMessage"].as_str().expect("a message").to_owned());
            }
            None => assert!(Instant::now() < end, "{name} does not end"),
        }
    };
    child.kill().expect("the program can be ended");
    child.wait().expect("the program has ended");
    let text = reader.join().expect("the output is read").expect("text");
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")));
    Invoked { answer, lines: lines.collect() }
}
