//! Signatures by a key in AWS KMS.
//!
//! Own code over `aws-sigv4`, since two calls of a JSON protocol are all that is needed of it: the SDK's crate would
//! make the function's binary, and with it its start, larger.

use std::time::{Duration, SystemTime};

use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
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

/// The maximum length of an answer; a signature or a public key takes a few hundred bytes.
const MAX_ANSWER: usize = 16 << 10;

/// A key of KMS that signs by ES256: ECDSA on the curve P-256, over a SHA-256.
#[derive(Debug)]
pub struct SigningKey {
    id: String,
    endpoint: String,
    region: String,
    credentials: SharedCredentialsProvider,
    http: HttpClient,
}

/// A call of KMS that failed.
#[derive(Debug, thiserror::Error)]
pub enum KmsError {
    /// The function has no credentials.
    #[error("there are no credentials to call KMS with")]
    Credentials(#[from] aws_credential_types::provider::error::CredentialsError),
    /// The request could not be made.
    #[error("could not sign a request to KMS")]
    Request(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// KMS did not answer, or not in time.
    #[error("KMS did not answer")]
    NoAnswer(#[source] Option<Box<dyn std::error::Error + Send + Sync>>),
    /// KMS refused the call: the key's id, its kind, its state or a right is wrong.
    #[error("KMS refused {call}: {status} {reason}")]
    Refused {
        /// The name of the call.
        call: &'static str,
        /// The status.
        status: StatusCode,
        /// The name of the error.
        reason: String,
    },
    /// The answer has another form.
    #[error("the answer of KMS to {0} is not as expected")]
    Malformed(&'static str),
}

impl KmsError {
    /// Reports whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NoAnswer(_) => true,
            Self::Refused { status, reason, .. } => status.is_server_error() || reason.contains("Throttling"),
            Self::Credentials(_) | Self::Request(_) | Self::Malformed(_) => false,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Signed {
    signature: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Public {
    public_key: String,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(rename = "__type")]
    kind: Option<String>,
}

impl SigningKey {
    /// Makes the signer by a key; `id` is its id or ARN. Its endpoint follows the SDK's standard variables.
    ///
    /// # Errors
    /// When the region or the credentials are missing.
    pub fn with(sdk: &SdkConfig, id: String) -> Result<Self, ConfigError> {
        let region = sdk.region().ok_or(ConfigError::Missing("AWS_REGION"))?.to_string();
        let given = config::optional("AWS_ENDPOINT_URL_KMS").or_else(|| sdk.endpoint_url().map(str::to_owned));
        let endpoint = given.unwrap_or_else(|| format!("https://kms.{region}.amazonaws.com"));
        let endpoint = format!("{}/", endpoint.trim_end_matches('/'));
        let credentials = sdk.credentials_provider().ok_or(ConfigError::Missing("AWS_ACCESS_KEY_ID"))?;
        Ok(Self { id, endpoint, region, credentials, http: client() })
    }

    /// Signs a SHA-256. Returns the signature in DER, as OpenSSL reads it.
    ///
    /// # Errors
    /// See [`KmsError`].
    pub async fn sign(&self, sha256: &[u8]) -> Result<Vec<u8>, KmsError> {
        let body = json!({
            "KeyId": self.id,
            "Message": BASE64_STANDARD.encode(sha256),
            "MessageType": "DIGEST",
            "SigningAlgorithm": "ECDSA_SHA_256",
        });
        let Signed { signature } = self.call("Sign", &body).await?;
        BASE64_STANDARD.decode(signature).map_err(|_| KmsError::Malformed("Sign"))
    }

    /// Returns the public key in DER (`SubjectPublicKeyInfo`).
    ///
    /// # Errors
    /// See [`KmsError`].
    pub async fn public_key(&self) -> Result<Vec<u8>, KmsError> {
        let Public { public_key } = self.call("GetPublicKey", &json!({"KeyId": self.id})).await?;
        BASE64_STANDARD.decode(public_key).map_err(|_| KmsError::Malformed("GetPublicKey"))
    }

    async fn call<T: DeserializeOwned>(&self, name: &'static str, body: &Value) -> Result<T, KmsError> {
        let body = Bytes::from(body.to_string());
        let mut attempt = 1;
        loop {
            match self.attempt(name, body.clone()).await {
                Err(error) if error.is_transient() && attempt < ATTEMPTS => attempt += 1,
                answer => return answer,
            }
        }
    }

    async fn attempt<T: DeserializeOwned>(&self, name: &'static str, body: Bytes) -> Result<T, KmsError> {
        let request = self.request(name, body).await?;
        let asking = async {
            let answer = self.http.request(request).await.map_err(|error| KmsError::NoAnswer(Some(error.into())))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
            Ok::<_, KmsError>((status, body.map_err(|error| KmsError::NoAnswer(Some(error)))?.to_bytes()))
        };
        let (status, body) = timeout(TIMEOUT, asking).await.map_err(|_| KmsError::NoAnswer(None))??;
        if status == StatusCode::OK {
            return serde_json::from_slice(&body).map_err(|_| KmsError::Malformed(name));
        }
        // The name of the error alone: its text may quote the key's ARN and with it the account.
        let refusal = serde_json::from_slice::<Refusal>(&body).ok().and_then(|refusal| refusal.kind);
        Err(KmsError::Refused { call: name, status, reason: refusal.unwrap_or_default() })
    }

    async fn request(&self, name: &str, body: Bytes) -> Result<Request<Full<Bytes>>, KmsError> {
        let identity = self.credentials.provide_credentials().await?.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("kms")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| KmsError::Request(error.into()))?
            .into();
        let target = format!("TrentService.{name}");
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
        let signable = SignableRequest::new("POST", &self.endpoint, headers.into_iter(), SignableBody::Bytes(&body));
        let signed = signable.and_then(|signable| sign(signable, &params));
        let (instructions, _) = signed.map_err(|error| KmsError::Request(error.into()))?.into_parts();
        let request =
            Request::post(&self.endpoint).header(headers[0].0, headers[0].1).header(headers[1].0, headers[1].1);
        let mut request = request.body(Full::new(body.clone())).map_err(|error| KmsError::Request(error.into()))?;
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }
}
