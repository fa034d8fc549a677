//! Calls of AWS services of which a function needs one or two.
//!
//! Own code over `aws-sigv4`: the SDK's crate of each service would make a function's binary, and with it its start,
//! larger.

use std::{
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use tokio::time::timeout;

use crate::{
    aws::SdkConfig,
    config::{self, ConfigError},
    http::{HttpClient, client},
};

/// The time of one attempt at a call.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The number of attempts at a call.
const ATTEMPTS: u32 = 2;

/// The maximum length of an answer.
const MAX_ANSWER: usize = 64 << 10;

/// A service of AWS.
#[derive(Debug)]
pub struct Service {
    name: &'static str,
    endpoint: String,
    region: String,
    credentials: SharedCredentialsProvider,
    /// Created at the first call, since it reads the system's root certificates.
    http: OnceLock<HttpClient>,
}

/// A call that failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The function has no credentials.
    #[error("there are no credentials to call {service} with")]
    Credentials {
        /// The service.
        service: &'static str,
        /// The reason.
        source: aws_credential_types::provider::error::CredentialsError,
    },
    /// The request could not be made.
    #[error("could not sign a request to {service}")]
    Request {
        /// The service.
        service: &'static str,
        /// The reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The service did not answer, or not in time.
    #[error("{service} did not answer")]
    NoAnswer {
        /// The service.
        service: &'static str,
        /// The reason; `None` if the time was over.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The service refused the call: a name, a state or a right is wrong.
    #[error("{service} refused the call: {status} {reason}")]
    Refused {
        /// The service.
        service: &'static str,
        /// The status.
        status: StatusCode,
        /// The name of the error.
        reason: String,
    },
}

impl CallError {
    /// Reports whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NoAnswer { .. } => true,
            Self::Refused { status, reason, .. } => status.is_server_error() || reason.contains("Throttling"),
            Self::Credentials { .. } | Self::Request { .. } => false,
        }
    }
}

impl Service {
    /// Makes the client of a service by the name that signatures and hosts give it. `endpoint_variable` is the SDK's
    /// standard variable of the service's endpoint.
    ///
    /// # Errors
    /// When the region or the credentials are missing.
    pub fn with(sdk: &SdkConfig, name: &'static str, endpoint_variable: &'static str) -> Result<Self, ConfigError> {
        let region = sdk.region().ok_or(ConfigError::Missing("AWS_REGION"))?.to_string();
        let given = config::optional(endpoint_variable).or_else(|| sdk.endpoint_url().map(str::to_owned));
        let endpoint = given.unwrap_or_else(|| format!("https://{name}.{region}.amazonaws.com"));
        let endpoint = format!("{}/", endpoint.trim_end_matches('/'));
        let credentials = sdk.credentials_provider().ok_or(ConfigError::Missing("AWS_ACCESS_KEY_ID"))?;
        Ok(Self { name, endpoint, region, credentials, http: OnceLock::new() })
    }

    /// Posts a body with these headers, at most twice, and returns the body of the answer.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn post(&self, headers: &[(&str, &str)], body: Bytes) -> Result<Bytes, CallError> {
        let mut attempt = 1;
        loop {
            match self.attempt(headers, body.clone()).await {
                Err(error) if error.is_transient() && attempt < ATTEMPTS => attempt += 1,
                answer => return answer,
            }
        }
    }

    async fn attempt(&self, headers: &[(&str, &str)], body: Bytes) -> Result<Bytes, CallError> {
        let no_answer = |source| CallError::NoAnswer { service: self.name, source };
        let request = self.request(headers, body).await?;
        let asking = async {
            let answer = self.http.get_or_init(client).request(request).await;
            let answer = answer.map_err(|error| no_answer(Some(error.into())))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
            Ok::<_, CallError>((status, body.map_err(|error| no_answer(Some(error)))?.to_bytes()))
        };
        let (status, body) = timeout(TIMEOUT, asking).await.map_err(|_| no_answer(None))??;
        if status == StatusCode::OK {
            return Ok(body);
        }
        Err(CallError::Refused { service: self.name, status, reason: reason(&body) })
    }

    async fn request(&self, headers: &[(&str, &str)], body: Bytes) -> Result<Request<Full<Bytes>>, CallError> {
        let service = self.name;
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| CallError::Request { service, source };
        let identity = self.credentials.provide_credentials().await;
        let identity = identity.map_err(|source| CallError::Credentials { service, source })?.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(service)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| failed(error.into()))?
            .into();
        let signable =
            SignableRequest::new("POST", &self.endpoint, headers.iter().copied(), SignableBody::Bytes(&body));
        let signed = signable.and_then(|signable| sign(signable, &params));
        let (instructions, _) = signed.map_err(|error| failed(error.into()))?.into_parts();
        let request =
            headers.iter().fold(Request::post(&self.endpoint), |request, (name, value)| request.header(*name, *value));
        let mut request = request.body(Full::new(body.clone())).map_err(|error| failed(error.into()))?;
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }
}

/// Returns the name of an error alone: its text may quote an ARN, and with it the account. JSON has it as `__type`, XML
/// as `Code`.
fn reason(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Refusal {
        #[serde(rename = "__type")]
        kind: String,
    }
    if let Ok(Refusal { kind }) = serde_json::from_slice(body) {
        return kind;
    }
    let text = String::from_utf8_lossy(body);
    let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    code.map(|(code, _)| code.to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_named_without_its_text() {
        let json = br#"{"__type":"AccessDeniedException","message":"arn:aws:iam::123456789012:role/x"}"#;
        let xml =
            b"<ErrorResponse><Error><Code>AuthorizationError</Code><Message>arn</Message></Error></ErrorResponse>";
        assert_eq!((reason(json), reason(xml)), ("AccessDeniedException".to_owned(), "AuthorizationError".to_owned()));
        assert_eq!((reason(b""), reason(b"<Code>")), (String::new(), String::new()));
    }
}
