//! Sign-in of people at the local issuer: OpenID Connect, the authorization code flow with PKCE, for one client.
//!
//! The page asks who signs in, and believes it. A test sends the page's form itself. All else is as at a real provider: a
//! code is for one client, redirect URI and verifier, is good once, and for a minute.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Result;
use base64::{Engine, engine::general_purpose::STANDARD};
use loopback::{Request, answer, answer_json, answer_with};
use serde_json::{Map, Value, json};

use super::{
    Key,
    authorization::{Authorization, escaped},
    identity::Identity,
    now, secret,
};

const CODE_LIFETIME: Duration = Duration::from_secs(60);
/// The cookie of the issuer's own session, by which it signs the same person in again without asking.
const COOKIE: &str = "local-issuer";

/// The pages as a client of the issuer.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) secret: String,
    /// The origin of the pages.
    pub(crate) origin: String,
}

impl Client {
    /// The client whose pages are at this origin.
    pub(crate) fn of(origin: &str) -> Result<Self> {
        Ok(Self { id: "finance-pages".to_owned(), secret: secret()?, origin: origin.to_owned() })
    }

    pub(super) fn redirect_uri(&self) -> String {
        format!("{}/finance/callback", self.origin)
    }
}

/// The endpoints.
#[derive(Debug)]
pub(super) struct SignIn {
    issuer: String,
    key: Key,
    client: Client,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    codes: HashMap<String, Code>,
    sessions: HashMap<String, Identity>,
}

#[derive(Debug)]
struct Code {
    request: Authorization,
    identity: Identity,
    made: Instant,
}

impl SignIn {
    pub(super) fn new(issuer: &str, key: Key, client: Client) -> Self {
        Self { issuer: issuer.to_owned(), key, client, state: Mutex::default() }
    }

    /// What the issuer's configuration says of it.
    pub(super) fn configuration(&self) -> Map<String, Value> {
        let url = |path: &str| json!(format!("{}{path}", self.issuer));
        let members = [
            ("authorization_endpoint", url("/authorize")),
            ("token_endpoint", url("/token")),
            ("end_session_endpoint", url("/end")),
            ("response_types_supported", json!(["code"])),
            ("subject_types_supported", json!(["public"])),
            ("scopes_supported", json!(["openid"])),
            ("token_endpoint_auth_methods_supported", json!(["client_secret_basic", "client_secret_post", "none"])),
            ("code_challenge_methods_supported", json!(["S256"])),
            ("authorization_response_iss_parameter_supported", json!(true)),
        ];
        members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Answers a request at one of the endpoints.
    pub(super) fn answer(&self, request: &Request) -> Option<Vec<u8>> {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let body = std::str::from_utf8(&request.body).unwrap_or_default();
        Some(match (request.method.as_str(), path) {
            ("GET", "/authorize") => self.ask(query, request),
            ("POST", "/authorize") => self.sign_in(body),
            ("POST", "/token") => self.exchange(request, body),
            ("GET", "/end") => self.end(query, request),
            _ => return None,
        })
    }

    /// Asks who signs in, unless the issuer knows it and is not to ask.
    fn ask(&self, query: &str, request: &Request) -> Vec<u8> {
        let authorization = match Authorization::read(query, &self.client) {
            Ok(authorization) => authorization,
            Err(mistake) => return page("400 Bad Request", &escaped(mistake)),
        };
        if let Some(error) = authorization.mistake() {
            return self.refuse(&authorization, error);
        }
        if authorization.field("prompt") != Some("none") {
            return page("200 OK", &authorization.page(""));
        }
        let known = session(request).and_then(|id| self.state().sessions.get(id).cloned());
        match known {
            Some(identity) => self.send_back(authorization, identity, ""),
            None => self.refuse(&authorization, "login_required"),
        }
    }

    /// Signs in whom the page's form names.
    fn sign_in(&self, body: &str) -> Vec<u8> {
        let authorization = match Authorization::read(body, &self.client) {
            Ok(authorization) => authorization,
            Err(mistake) => return page("400 Bad Request", &escaped(mistake)),
        };
        if let Some(error) = authorization.mistake() {
            return self.refuse(&authorization, error);
        }
        let identity = match Identity::read(|name| authorization.field(name)) {
            Ok(identity) => identity,
            Err(mistake) => return page("400 Bad Request", &authorization.page(&format!("{mistake:#}"))),
        };
        let Ok(id) = secret() else { return answer("500 Internal Server Error", "") };
        self.state().sessions.insert(id.clone(), identity.clone());
        let cookie = format!("set-cookie: {COOKIE}={id}; Path=/; HttpOnly; SameSite=Lax\r\n");
        self.send_back(authorization, identity, &cookie)
    }

    fn send_back(&self, request: Authorization, identity: Identity, headers: &str) -> Vec<u8> {
        let Ok(code) = secret() else { return answer("500 Internal Server Error", "") };
        let address = request.back(&self.issuer, ("code", &code));
        self.state().codes.insert(code, Code { request, identity, made: Instant::now() });
        answer_with("302 Found", &format!("location: {address}\r\n{headers}"), "")
    }

    fn refuse(&self, request: &Authorization, error: &str) -> Vec<u8> {
        let address = request.back(&self.issuer, ("error", error));
        answer_with("302 Found", &format!("location: {address}\r\n"), "")
    }

    /// Exchanges a code for tokens, once.
    fn exchange(&self, request: &Request, body: &str) -> Vec<u8> {
        match self.tokens(request, body) {
            Ok(tokens) => answer_json(&tokens.to_string()),
            Err((status, error)) => {
                let body = json!({"error": error}).to_string();
                answer_with(status, "content-type: application/json\r\n", &body)
            }
        }
    }

    fn tokens(&self, request: &Request, body: &str) -> Result<Value, (&'static str, &'static str)> {
        const BAD: &str = "400 Bad Request";
        let fields: HashMap<String, String> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
        if !self.is_client(request.header("authorization"), &fields) {
            return Err(("401 Unauthorized", "invalid_client"));
        }
        if field("grant_type") != "authorization_code" {
            return Err((BAD, "unsupported_grant_type"));
        }
        // Whatever comes of it, the code is used up.
        let code = self.state().codes.remove(field("code"));
        let code = code.filter(|code| code.made.elapsed() < CODE_LIFETIME).ok_or((BAD, "invalid_grant"))?;
        let is_of_request = code.request.field("redirect_uri") == Some(field("redirect_uri"))
            && code.request.is_verified_by(field("code_verifier"));
        if !is_of_request {
            return Err((BAD, "invalid_grant"));
        }
        let now = now().map_err(|_| ("500 Internal Server Error", "server_error"))?;
        let id = code.identity.id(&self.issuer, &self.client.id, code.request.field("nonce"), now);
        Ok(json!({
            "access_token": self.key.sign(&code.identity.access(&self.issuer, now)),
            "id_token": self.key.sign(&id),
            "token_type": "Bearer",
        }))
    }

    /// Whether a client shows the right secret, or none: tests, and LocalStack, have a public client.
    fn is_client(&self, header: Option<&str>, fields: &HashMap<String, String>) -> bool {
        let Client { id, secret, .. } = &self.client;
        match header {
            Some(header) => header == format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))),
            None => {
                fields.get("client_id") == Some(id) && fields.get("client_secret").is_none_or(|shown| shown == secret)
            }
        }
    }

    /// Ends the issuer's session, and sends the browser back to the client's pages.
    fn end(&self, query: &str, request: &Request) -> Vec<u8> {
        if let Some(id) = session(request) {
            self.state().sessions.remove(id);
        }
        let fields: HashMap<_, _> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let back = fields
            .get("post_logout_redirect_uri")
            .filter(|back| **back == format!("{}/finance/logout", self.client.origin));
        match back {
            Some(back) => {
                let cookie = format!("set-cookie: {COOKIE}=; Path=/; Max-Age=0\r\n");
                answer_with("302 Found", &format!("location: {back}\r\n{cookie}"), "")
            }
            None => page("200 OK", "Signed out."),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The issuer's session of a browser.
fn session(request: &Request) -> Option<&str> {
    let pairs = request.header("cookie")?.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(name, _)| *name == COOKIE).map(|(_, id)| id).next()
}

fn page(status: &str, html: &str) -> Vec<u8> {
    answer_with(status, "content-type: text/html; charset=utf-8\r\ncache-control: no-store\r\n", html)
}
