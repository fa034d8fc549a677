//! Requests and answers in the payload format 2.0 of API Gateway's HTTP APIs.
//!
//! Own code, since `lambda_http` builds an absolute URL from `X-Forwarded-Proto`, `Host` and the query as the client
//! sent them, and panics when that is not a URL. No route needs the address under which it was called, so nothing is
//! built from those headers here.

use std::collections::BTreeMap;

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderName, HeaderValue, Method, Response, Uri, header, uri::PathAndQuery},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use lambda::Code;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// The characters that a path must escape. The gateway unescapes paths, so they are escaped again.
const PATH: &AsciiSet = &QUERY.add(b'?').add(b'`').add(b'{').add(b'}');

/// The characters that a query must escape. Clients send some of them as they are.
const QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>');

/// The parts of an event that the routes use.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    raw_path: Option<String>,
    raw_query_string: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The gateway takes them out of the headers; `cargo lambda watch` and the emulator leave them there.
    #[serde(default)]
    cookies: Vec<String>,
    request_context: RequestContext,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext {
    /// The id in the gateway's access log, and in its answer.
    request_id: Option<String>,
    http: Http,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Http {
    method: String,
    source_ip: Option<String>,
}

/// An answer as the gateway reads it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    pub(crate) status_code: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
    is_base64_encoded: bool,
    /// The values of `Set-Cookie`, which cannot be joined by commas. `cargo lambda watch` answers 500 without the field.
    pub(crate) cookies: Vec<String>,
}

/// An answer whose body could not be read to its end.
#[derive(Debug, thiserror::Error)]
#[error("could not read the body of the answer")]
pub struct Unanswered(#[from] axum::Error);

impl Code for Unanswered {
    fn code(&self) -> &'static str {
        "answer_unreadable"
    }
}

impl Event {
    /// Returns the gateway's id of the request.
    pub(crate) fn request_id(&self) -> Option<&str> {
        self.request_context.request_id.as_deref()
    }

    /// Returns the name of the method.
    pub(crate) fn method(&self) -> &str {
        &self.request_context.http.method
    }

    /// Returns the address of the client.
    pub(crate) fn source_ip(&self) -> Option<&str> {
        self.request_context.http.source_ip.as_deref()
    }

    /// Converts the event into a request.
    ///
    /// # Errors
    /// A problem with status 400 when a part of the event is not valid in an HTTP request.
    pub(crate) fn into_request(self) -> Result<Request, Problem> {
        let mut request = Request::new(body(self.body.unwrap_or_default(), self.is_base64_encoded)?);
        *request.uri_mut() = uri(&self.raw_path.unwrap_or_default(), &self.raw_query_string.unwrap_or_default())?;
        *request.method_mut() = Method::from_bytes(self.request_context.http.method.as_bytes())
            .map_err(|_| Problem::invalid_field("/method", "must be an HTTP method"))?;
        let mut headers = self.headers;
        if !self.cookies.is_empty() {
            headers.retain(|name, _| !name.eq_ignore_ascii_case(header::COOKIE.as_str()));
            headers.insert(header::COOKIE.to_string(), self.cookies.join("; "));
        }
        for (name, value) in headers {
            let header = (HeaderName::try_from(&name).ok()).zip(HeaderValue::try_from(value).ok());
            let Some((name, value)) = header else {
                return Err(Problem::invalid_field(&format!("/header/{name}"), "must be a valid HTTP header"));
            };
            request.headers_mut().append(name, value);
        }
        Ok(request)
    }
}

fn body(text: String, is_base64: bool) -> Result<Body, Problem> {
    if !is_base64 {
        return Ok(Body::from(text));
    }
    let bytes = BASE64_STANDARD.decode(text).map_err(|_| Problem::invalid_field("", "must be valid base64"))?;
    Ok(Body::from(bytes))
}

fn uri(path: &str, query: &str) -> Result<Uri, Problem> {
    let invalid = || Problem::invalid_field("/path", "must begin with / and have at most 64 KiB with its query");
    if !path.starts_with('/') {
        return Err(invalid());
    }
    let mut target = utf8_percent_encode(path, PATH).to_string();
    if !query.is_empty() {
        target.push('?');
        target.extend(utf8_percent_encode(query, QUERY));
    }
    PathAndQuery::try_from(target).map(Uri::from).map_err(|_| invalid())
}

impl Reply {
    /// Converts a response, whose body is read whole.
    ///
    /// # Errors
    /// When the body cannot be read to its end.
    pub(crate) async fn read(response: Response<Body>) -> Result<Self, Unanswered> {
        let (mut parts, body) = response.into_parts();
        // The gateway states the length of what it sends.
        parts.headers.remove(header::CONTENT_LENGTH);
        let mut headers: BTreeMap<String, String> = BTreeMap::new();
        let mut cookies = Vec::new();
        for (name, value) in &parts.headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            if name == header::SET_COOKIE {
                cookies.push(value.into_owned());
                continue;
            }
            // The format has one value per name; a comma joins several.
            let joined = headers.entry(name.to_string()).or_default();
            if !joined.is_empty() {
                joined.push_str(", ");
            }
            joined.push_str(&value);
        }
        let status_code = parts.status.as_u16();
        match String::from_utf8(to_bytes(body, usize::MAX).await?.into()) {
            Ok(body) => Ok(Self { status_code, headers, body, is_base64_encoded: false, cookies }),
            Err(error) => {
                let body = BASE64_STANDARD.encode(error.into_bytes());
                Ok(Self { status_code, headers, body, is_base64_encoded: true, cookies })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn event(path: &str, query: &str, headers: &Value) -> Value {
        json!({
            "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query, "headers": headers,
            "requestContext": {"http": {"method": "GET", "sourceIp": "203.0.113.17"}, "requestId": "r"},
            "isBase64Encoded": false,
        })
    }

    fn request(event: Value) -> Result<Request, Problem> {
        serde_json::from_value::<Event>(event).unwrap().into_request()
    }

    #[test]
    fn every_sample_event_is_a_request() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../events");
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        let files: Vec<_> = files.filter(|path| path.to_string_lossy().contains("/api-")).collect();
        assert!(!files.is_empty());
        for path in files {
            let event: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let method = event["requestContext"]["http"]["method"].as_str().unwrap().to_owned();
            let target = event["rawPath"].as_str().unwrap().to_owned();
            let request = request(event).unwrap();
            assert_eq!((request.method().as_str(), request.uri().path()), (method.as_str(), target.as_str()));
            assert!(request.headers().contains_key("authorization"), "{}", path.display());
        }
    }

    #[test]
    fn headers_about_the_address_are_not_used() {
        for (name, value) in [
            ("x-forwarded-proto", "https,http"),
            ("x-forwarded-proto", ""),
            ("host", "a:99999"),
            ("host", ""),
            ("host", "[::1"),
            ("x-forwarded-port", "-1"),
            ("user-agent", "é"),
        ] {
            let request = request(event("/a", "", &json!({name: value}))).unwrap();
            assert_eq!(request.uri(), "/a");
            assert_eq!(request.headers()[name].as_bytes(), value.as_bytes());
        }
    }

    #[test]
    fn cookies_come_apart_or_as_a_header() {
        let cookie = |event: Value| {
            let request = request(event).unwrap();
            let all: Vec<_> = request.headers().get_all("cookie").iter().map(|value| value.to_str().unwrap()).collect();
            all.join("|")
        };
        let mut apart = event("/a", "", &json!({}));
        apart["cookies"] = json!(["a=1", "b=2"]);
        assert_eq!(cookie(apart.clone()), "a=1; b=2");
        apart["headers"] = json!({"Cookie": "a=1; b=2"});
        assert_eq!(cookie(apart), "a=1; b=2");
        assert_eq!(cookie(event("/a", "", &json!({"cookie": "a=1; b=2"}))), "a=1; b=2");
        assert_eq!(cookie(event("/a", "", &json!({}))), "");
        let mut broken = event("/a", "", &json!({}));
        broken["cookies"] = json!(["a=1\r\nb: c"]);
        assert!(request(broken).is_err());
    }

    #[tokio::test]
    async fn cookies_are_set_one_by_one() {
        let response = Response::builder().header("set-cookie", "a=1; Path=/").header("set-cookie", "b=2");
        let reply = Reply::read(response.header("x", "1").header("x", "2").body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(reply.cookies, ["a=1; Path=/", "b=2"]);
        assert_eq!(reply.headers, BTreeMap::from([("x".to_owned(), "1, 2".to_owned())]));
    }

    #[test]
    fn characters_that_no_uri_has_are_escaped() {
        for (path, query, uri) in [
            ("/a", "b=<\">&c=d e#f", "/a?b=%3C%22%3E&c=d%20e%23f"),
            ("/a b/{c}?d/é", "", "/a%20b/%7Bc%7D%3Fd/%C3%A9"),
            ("/%7B", "a=%2B+%zz&b=é\0\u{7f}", "/%7B?a=%2B+%zz&b=%C3%A9%00%7F"),
            ("//host:99999/a", "", "//host:99999/a"),
        ] {
            assert_eq!(request(event(path, query, &json!({}))).unwrap().uri().to_string(), uri);
        }
    }

    #[test]
    fn an_event_that_is_no_request_is_a_problem() {
        let good = event("/a", "", &json!({}));
        let with = |pointer: &str, value: Value| {
            let mut event = good.clone();
            *event.pointer_mut(pointer).unwrap() = value;
            event
        };
        let mut not_base64 = with("/isBase64Encoded", json!(true));
        not_base64["body"] = json!("no base64!");
        for event in [
            with("/rawPath", json!("a")),
            with("/rawPath", json!("")),
            with("/rawPath", Value::Null),
            with("/rawPath", json!(format!("/{}", "a".repeat(1 << 16)))),
            with("/requestContext/http/method", json!("")),
            with("/requestContext/http/method", json!("GET /")),
            with("/headers", json!({"a b": "c"})),
            with("/headers", json!({"a": "b\r\nc: d"})),
            not_base64,
        ] {
            assert!(request(event.clone()).is_err(), "{event}");
        }
    }

    proptest! {
        #[test]
        fn no_event_makes_the_reader_panic(
            path in "/?[\\PC\\x00-\\x1f]{0,40}",
            query in "[\\PC\\x00-\\x1f]{0,40}",
            name in "\\PC{0,10}",
            value in "[\\PC\\x00-\\x1f]{0,20}",
            method in "[A-Z]{0,8}|\\PC{0,8}",
            body in "\\PC{0,20}",
            is_base64 in any::<bool>(),
        ) {
            let mut event = event(&path, &query, &json!({name: &value, "host": &value, "x-forwarded-proto": &value}));
            event["requestContext"]["http"]["method"] = json!(method);
            event["body"] = json!(body);
            event["isBase64Encoded"] = json!(is_base64);
            if let Ok(request) = request(event) {
                prop_assert!(request.uri().path().starts_with('/'));
                prop_assert_eq!(request.uri().host(), None);
            }
        }
    }
}
