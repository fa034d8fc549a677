//! The HTTP API of one organization, or of the platform.

use std::io;

use domain::{JobId, OrgId};
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::{
    Agent, Body,
    http::{Response, StatusCode},
};

use crate::{
    problem::RequestError,
    retry::retrying,
    token::{Token, Tokens},
    transport::Transport,
};

/// A client of the API. Its token goes to the API alone.
#[derive(Debug)]
pub(crate) struct Api {
    agent: Agent,
    /// The address of the organization, or that of all routes for what belongs to the platform.
    base: String,
    tokens: Tokens,
}

/// A request that may be sent again.
enum Request<'a> {
    Get { url: String },
    GetCsv { url: String },
    Post { url: String, body: &'a Value },
    Put { url: String, body: &'a Value },
    Delete { url: String },
    PutIfMatch { url: String, tag: &'a str, body: &'a Value },
    Create { url: String, key: &'a str, body: &'a Value },
}

/// The parts of an answer that are used.
struct Answer {
    body: Vec<u8>,
    location: Option<String>,
}

impl Api {
    /// Creates a client; `url` is the part of the API's address before `/analytics/v1`.
    pub(crate) fn new(transport: Transport, url: &str, organization: Option<OrgId>, tokens: Tokens) -> Self {
        let organization = organization.map(|organization| format!("/orgs/{organization}")).unwrap_or_default();
        let base = format!("{}/analytics/v1{organization}", url.trim_end_matches('/'));
        Self { agent: transport.agent(), base, tokens }
    }

    /// Returns the JSON of a path below the organization.
    pub(crate) fn get(&self, path: &str, query: &[(&str, String)]) -> Result<String, RequestError> {
        text(self.send(&Request::Get { url: self.url(path, query) }, &[StatusCode::OK])?.body)
    }

    /// Returns the CSV of a path below the organization.
    pub(crate) fn get_csv(&self, path: &str, query: &[(&str, String)]) -> Result<String, RequestError> {
        text(self.send(&Request::GetCsv { url: self.url(path, query) }, &[StatusCode::OK])?.body)
    }

    fn url(&self, path: &str, query: &[(&str, String)]) -> String {
        let url = format!("{}{path}", self.base);
        if query.is_empty() {
            return url;
        }
        let encoded = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        format!("{url}?{encoded}")
    }

    /// Adds an entry of the ledger by a request that may be repeated, and returns its JSON.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<String, RequestError> {
        let request = Request::Post { url: format!("{}{path}", self.base), body };
        text(self.send(&request, &[StatusCode::CREATED, StatusCode::OK])?.body)
    }

    /// Sets what a path below the organization has, and returns its JSON.
    pub(crate) fn put(&self, path: &str, body: &Value) -> Result<String, RequestError> {
        let request = Request::Put { url: format!("{}{path}", self.base), body };
        text(self.send(&request, &[StatusCode::OK])?.body)
    }

    /// Removes what a path below the organization has, and returns the JSON of the answer.
    pub(crate) fn delete(&self, path: &str, query: &[(&str, String)]) -> Result<String, RequestError> {
        let encoded = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let request = Request::Delete { url: format!("{}{path}?{encoded}", self.base) };
        text(self.send(&request, &[StatusCode::OK])?.body)
    }

    /// Sets what a path below the organization has, if its entity tag is still this one, and returns its JSON.
    pub(crate) fn put_if_match(&self, path: &str, body: &Value, tag: &str) -> Result<String, RequestError> {
        let request = Request::PutIfMatch { url: format!("{}{path}", self.base), tag, body };
        text(self.send(&request, &[StatusCode::OK])?.body)
    }

    /// Makes something at a path below the organization, and returns its JSON. Sent again after a failure, it makes
    /// another.
    pub(crate) fn post_once(&self, path: &str) -> Result<String, RequestError> {
        let request = Request::Post { url: format!("{}{path}", self.base), body: &Value::Null };
        text(self.send(&request, &[StatusCode::OK])?.body)
    }

    /// Returns the bytes of a path below the organization.
    pub(crate) fn get_bytes(&self, path: &str, query: &[(&str, String)]) -> Result<Vec<u8>, RequestError> {
        Ok(self.send(&Request::Get { url: self.url(path, query) }, &[StatusCode::OK])?.body)
    }

    /// Creates an export and returns the JSON of its job. The key makes it safe to send it again.
    pub(crate) fn create(&self, body: &Value, key: &str) -> Result<String, RequestError> {
        let request = Request::Create { url: format!("{}/exports", self.base), key, body };
        text(self.send(&request, &[StatusCode::ACCEPTED])?.body)
    }

    /// Returns the signed link to a job's file, which works without a token.
    pub(crate) fn link(&self, job: JobId) -> Result<String, RequestError> {
        let request = Request::Get { url: format!("{}/exports/{job}/download", self.base) };
        self.send(&request, &[StatusCode::FOUND])?.location.ok_or(RequestError::NoLocation)
    }

    fn send(&self, request: &Request<'_>, expected: &[StatusCode]) -> Result<Answer, RequestError> {
        retrying(|| {
            let mut response = self.call(request, &self.tokens.current()?)?;
            if response.status() == StatusCode::UNAUTHORIZED
                && let Some(token) = self.tokens.renew()?
            {
                response = self.call(request, &token)?;
            }
            if !expected.contains(&response.status()) {
                return Err(RequestError::of(response));
            }
            let location = response.headers().get("location").and_then(|value| value.to_str().ok()).map(str::to_owned);
            let body = response.body_mut().read_to_vec().map_err(RequestError::NoAnswer)?;
            Ok(Answer { body, location })
        })
    }

    fn call(&self, request: &Request<'_>, token: &Token) -> Result<Response<Body>, RequestError> {
        let answer = match request {
            Request::Get { url } => self.agent.get(url).header("Authorization", token.header()).call(),
            Request::GetCsv { url } => {
                self.agent.get(url).header("Authorization", token.header()).header("Accept", "text/csv").call()
            }
            Request::Delete { url } => self.agent.delete(url).header("Authorization", token.header()).call(),
            Request::Post { url, body } => self.agent.post(url).header("Authorization", token.header()).send_json(body),
            Request::Put { url, body } => self.agent.put(url).header("Authorization", token.header()).send_json(body),
            Request::PutIfMatch { url, tag, body } => {
                self.agent.put(url).header("Authorization", token.header()).header("If-Match", *tag).send_json(body)
            }
            Request::Create { url, key, body } => self
                .agent
                .post(url)
                .header("Authorization", token.header())
                .header("Idempotency-Key", *key)
                .send_json(body),
        };
        answer.map_err(RequestError::NoAnswer)
    }
}

/// Returns an answer as text.
fn text(body: Vec<u8>) -> Result<String, RequestError> {
    String::from_utf8(body)
        .map_err(|error| RequestError::NoAnswer(io::Error::new(io::ErrorKind::InvalidData, error).into()))
}

/// Reads an answer of the API. Not by way of a `Value`, which would round counts of more than 64 bits.
pub(crate) fn read<T: DeserializeOwned>(body: &str) -> Result<T, RequestError> {
    serde_json::from_str(body).map_err(RequestError::Unreadable)
}
