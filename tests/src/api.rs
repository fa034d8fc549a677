//! A client of the HTTP API.

use reqwest::{Client, Method, RequestBuilder, redirect::Policy};

use crate::Answer;

/// The common beginning of every path.
pub const BASE: &str = "/analytics/v1";

/// A client that follows no redirects and sends only the tokens it is given.
#[derive(Debug, Clone)]
pub struct Api {
    address: String,
    http: Client,
}

impl Api {
    /// Creates a client of the API at `address`, the part of its URLs before [`BASE`].
    pub(crate) fn new(address: String) -> Self {
        platform::tls::install_crypto();
        // A test fails instead of hanging.
        let http = Client::builder().redirect(Policy::none()).timeout(std::time::Duration::from_secs(60));
        Self { address: address.trim_end_matches('/').to_owned(), http: http.build().unwrap() }
    }

    /// Returns the URL of a path below [`BASE`], such as `/status/healthz`.
    pub fn url(&self, path: &str) -> String {
        format!("{}{BASE}{path}", self.address)
    }

    /// Creates a request for a path below [`BASE`], without a token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.url(path))
    }

    /// Returns the address of the API and the pages, without a path, as browsers write an origin.
    pub fn origin(&self) -> &str {
        &self.address
    }

    /// Creates a request for a path of a page, such as `/finance`, without a cookie.
    pub fn page(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.address))
    }

    /// Creates a `POST` request for any URL, without a token.
    pub fn post_url(&self, url: &str) -> RequestBuilder {
        self.http.post(url)
    }

    /// Creates a `GET` request for any URL, without a token.
    pub fn get_url(&self, url: &str) -> RequestBuilder {
        self.http.get(url)
    }

    /// Returns the answer to a `GET` with `token`.
    pub async fn get(&self, path: &str, token: &str) -> Answer {
        Answer::to(self.request(Method::GET, path).bearer_auth(token)).await
    }
}
