//! The world around a function: its environment, AWS and the log.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, Once},
    time::Duration,
};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_runtime_api::{
    client::{
        http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
        orchestrator::HttpRequest,
    },
    http::{Response, StatusCode},
};
use aws_smithy_types::body::SdkBody;
use platform::{Deadline, config::ConfigError};
use tokio::runtime::{Builder, Runtime};

use crate::{
    input::{Input, Message},
    issuer::{AUDIENCE, ISSUER, Issuer},
};

/// A port on which nothing listens.
const CLOSED: &str = "127.0.0.1:1";

/// The variables of all functions, but for the address of the issuer's keys.
const ENVIRONMENT: [(&str, &str); 34] = [
    ("AUDIENCE", AUDIENCE),
    ("AWS_ENDPOINT_URL_EVENTBRIDGE", "http://127.0.0.1:1"),
    ("AWS_ENDPOINT_URL_SNS", "http://127.0.0.1:1"),
    ("DAILY_LIMITS", "1000,1000,1000"),
    ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing"),
    ("DELIVERIES_QUEUE_URL", "http://127.0.0.1:1/deliveries"),
    ("DELIVERY_BUCKETS", "arn:aws:s3:::acme-*"),
    ("DELIVERY_MAX_RECEIVES", "3"),
    ("DELIVERY_RETRY_SECONDS", "30"),
    ("EVENTS_QUEUE_URL", "http://127.0.0.1:1/events"),
    ("EVENT_BUS", "default"),
    ("EVENT_MAX_RECEIVES", "3"),
    ("EXPORTS_ACCESS_KEY_ID", "key"),
    ("EXPORTS_BUCKET", "exports"),
    ("EXPORTS_DEAD_LETTER_QUEUE_URL", "http://127.0.0.1:1/dead-letters"),
    ("EXPORTS_QUEUE_URL", "http://127.0.0.1:1/exports"),
    ("EXPORTS_SECRET_ACCESS_KEY", "secret"),
    ("EXPORT_CONNECTIONS", "2"),
    ("FILES_KEPT_DAYS", "90"),
    ("ISSUER", ISSUER),
    ("JOBS_TABLE", "jobs"),
    ("LAST_HOUR", "8"),
    ("MAIL_TOPIC", "arn:aws:sns:us-east-1:123456789012:mails"),
    ("MAX_RECEIVES", "3"),
    ("METRICS_BUCKET", "ai-aas-build-metrics"),
    ("OPEN_JOBS_CAP", "20"),
    ("PUBLIC_URL", "https://analytics.example.com"),
    ("RESEND_AFTER_SECONDS", "600"),
    ("RETRY_DELAY_SECONDS", "10"),
    ("ROLLUPS_KEPT_MONTHS", "13"),
    ("STACK_ID", "arn:aws:cloudformation:us-east-1:123456789012:stack/local/1"),
    ("SWEEP_MINUTES", "5"),
    ("WEBHOOK_HOSTS", "hooks.example.com=127.0.0.1:1"),
    ("WEBHOOK_RETRY_SECONDS", "30"),
];

/// The time reserved at the end of an invocation.
const RESERVE: Duration = Duration::from_secs(1);

/// The world around one function.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) issuer: Issuer,
    sdk: SdkConfig,
    aws: Aws,
    runtime: Runtime,
}

/// AWS: an endpoint that gives these answers, then successful ones that say nothing.
#[derive(Debug, Clone, Default)]
struct Aws(Arc<Mutex<VecDeque<Response>>>);

impl HttpConnector for Aws {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let answer = self.0.lock().expect("no holder panicked").pop_front();
        HttpConnectorFuture::ready(Ok(answer.unwrap_or_else(|| response(b"200\n\n{}"))))
    }
}

impl World {
    pub(crate) fn start() -> Self {
        start_log();
        let aws = Aws::default();
        let connector = SharedHttpConnector::new(aws.clone());
        let sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(format!("http://{CLOSED}"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new("id", "key", None, None, "fuzz")))
            .retry_config(RetryConfig::disabled())
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build();
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { issuer: Issuer::start(), sdk, aws, runtime }
    }

    /// Makes what a function makes from its environment.
    pub(crate) fn make<T>(&self, make: impl FnOnce(&SdkConfig) -> Result<T, ConfigError>) -> T {
        let further = self.issuer.further();
        let login = self.issuer.login();
        let own = [
            ("JWKS_URL", self.issuer.url.as_str()),
            ("LOGIN", login.as_str()),
            ("TOKEN_ISSUERS", further.as_str()),
            ("TOKEN_MAX_SECONDS", "604800"),
        ];
        let all = ENVIRONMENT.iter().copied().chain(own).map(|(name, value)| (name, Some(value)));
        temp_env::with_vars(all.collect::<Vec<_>>(), || make(&self.sdk)).expect("the environment is complete")
    }

    /// Runs an invocation to which AWS answers as the input says.
    pub(crate) fn run<T>(&self, input: Input<'_>, work: impl Future<Output = T>) -> T {
        *self.aws.0.lock().expect("no holder panicked") = input.answers().into_iter().map(response).collect();
        self.runtime.block_on(work)
    }
}

/// Returns the deadline of an invocation that has time enough.
pub(crate) fn deadline() -> Deadline {
    Deadline::after(Duration::from_secs(60), RESERVE)
}

/// Reads an answer. The headers that every object of S3 has are added, unless the answer has them.
fn response(bytes: &[u8]) -> Response {
    let Message { first, headers, body } = Message::read(bytes);
    let status = first.trim().parse::<u16>().ok().and_then(|code| StatusCode::try_from(code).ok());
    let status = status.unwrap_or_else(|| StatusCode::try_from(200).expect("a status"));
    let mut answer = Response::new(status, SdkBody::from(body));
    let usual = [("etag", "\"d41d8cd9\""), ("last-modified", "Sat, 08 Nov 2025 15:06:08 GMT")];
    for (name, value) in usual {
        answer.headers_mut().insert(name, value);
    }
    if let Ok(length) = i64::try_from(body.len()) {
        answer.headers_mut().insert("content-length", length.to_string());
    }
    for (name, value) in headers {
        // Only a valid header can arrive as one.
        let _ = answer.headers_mut().try_insert(name, value);
    }
    answer
}

/// Starts the log, so that each line is written, and throws it away.
fn start_log() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| platform::log::init_json(io::sink));
}
