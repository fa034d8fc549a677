//! The HTTP API, as any client reaches it.

use reqwest::{Client, Method, RequestBuilder, redirect::Policy};

use crate::Answer;

/// What every path begins with.
pub const BASE: &str = "/analytics/v1";

/// A client that follows no redirect and sends no token but those it is given.
#[derive(Debug, Clone)]
pub struct Api {
    address: String,
    http: Client,
}

impl Api {
    /// The API at `address`, which is what precedes [`BASE`].
    pub(crate) fn new(address: String) -> Self {
        platform::tls::install_crypto();
        // A test that hangs is to fail instead.
        let http = Client::builder().redirect(Policy::none()).timeout(std::time::Duration::from_secs(60));
        Self { address: address.trim_end_matches('/').to_owned(), http: http.build().unwrap() }
    }

    /// The whole URL of a path below [`BASE`], such as `/status/healthz`.
    pub fn url(&self, path: &str) -> String {
        format!("{}{BASE}{path}", self.address)
    }

    /// A request for a path below [`BASE`], without a token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.url(path))
    }

    /// A `GET` of any URL, without a token.
    pub fn get_url(&self, url: &str) -> RequestBuilder {
        self.http.get(url)
    }

    /// What a `GET` with `token` answers.
    pub async fn get(&self, path: &str, token: &str) -> Answer {
        Answer::to(self.request(Method::GET, path).bearer_auth(token)).await
    }
}
