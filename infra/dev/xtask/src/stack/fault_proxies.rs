//! The settings of a stack for the fault suite: its functions reach each service through a port of their own, where the
//! suite's proxies listen, its times are short, and its functions send traces to the suite.

use anyhow::{Context, Result};
use serde_json::json;

use super::{
    deploy::{Settings, TRACED},
    emulator::Emulator,
    issuer::Issuer,
    postgres::Postgres,
};

/// The template's times, in seconds, short enough to wait for; and traces.
const PARAMETERS: [(&str, &str); 4] =
    [("WorkerTimeout", "12"), ("RetryDelay", "1"), ("ResendAfter", "10"), ("Tracing", "Active")];

/// The functions with the variables that hold the address of a service, each with the service's name. Of S3 only the
/// requests of the worker can be disturbed: the API's own name for it is in the links that it gives out.
const WAYS: [(&str, &str, &str); 15] = [
    ("api", "dynamodb", "AWS_ENDPOINT_URL_DYNAMODB"),
    ("api", "sqs", "AWS_ENDPOINT_URL_SQS"),
    ("api", "jwks", "JWKS_URL"),
    ("worker", "dynamodb", "AWS_ENDPOINT_URL_DYNAMODB"),
    ("worker", "sqs", "AWS_ENDPOINT_URL_SQS"),
    ("worker", "s3", "AWS_ENDPOINT_URL_S3"),
    ("worker", "postgres", "DATABASE_URL"),
    ("sweep", "dynamodb", "AWS_ENDPOINT_URL_DYNAMODB"),
    ("worker", "events", "AWS_ENDPOINT_URL_EVENTBRIDGE"),
    ("sweep", "sqs", "AWS_ENDPOINT_URL_SQS"),
    ("sweep", "events", "AWS_ENDPOINT_URL_EVENTBRIDGE"),
    ("reconcile", "dynamodb", "AWS_ENDPOINT_URL_DYNAMODB"),
    ("telemetry", "s3", "AWS_ENDPOINT_URL_S3"),
    ("telemetry", "postgres", "DATABASE_URL"),
    ("telemetry", "events", "AWS_ENDPOINT_URL_EVENTBRIDGE"),
];

/// The ports below those that systems give to outgoing connections: nobody takes one by chance before the suite does.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// The settings of the functions, and the variables of the suite: `FAULT_PROXIES`, the list of proxies, and `FAULT_DAEMON`,
/// the address at which it receives traces.
pub(crate) fn settings(
    emulator: &Emulator,
    postgres: &Postgres,
    issuer: &Issuer,
) -> Result<(Settings, Vec<(String, String)>)> {
    let mut settings = Settings::of(PARAMETERS);
    let mut proxies = Vec::new();
    let mut ports = free_ports()?;
    for (function, service, variable) in WAYS {
        let listen = ports.next().context("no free port")?;
        let url = match service {
            "postgres" => postgres.address(),
            "jwks" => issuer.keys_url(),
            _ => emulator.url(),
        };
        let target = url.split("://").last().unwrap_or_default();
        let target = target.split('/').next().unwrap_or_default();
        let name = format!("{function}.{service}");
        let own = format!("127.0.0.1:{listen}");
        settings.changes.entry(function).or_default().insert(variable, url.replace(target, &own));
        proxies.push(json!({"name": name, "listen": own, "target": target}));
    }
    let daemon = format!("127.0.0.1:{}", ports.next().context("no free port")?);
    for function in TRACED {
        settings.changes.entry(function).or_default().insert("AWS_XRAY_DAEMON_ADDRESS", daemon.clone());
    }
    let proxies = ("FAULT_PROXIES".to_owned(), json!(proxies).to_string());
    Ok((settings, vec![proxies, ("FAULT_DAEMON".to_owned(), daemon)]))
}

/// Returns free ports below those that systems give to outgoing connections, from a place by chance on.
pub(super) fn free_ports() -> Result<impl Iterator<Item = u16>> {
    let mut start = [0; 2];
    getrandom::fill(&mut start)?;
    let start = usize::from(u16::from_le_bytes(start)) % PORTS.len();
    let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    Ok(PORTS.cycle().skip(start).take(PORTS.len()).filter(free))
}
