//! Plain requests: for the issuer's keys, by signed links, and to AWS KMS.

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use crate::tls;

/// A client for requests whose body, if any, is short.
pub type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Creates a client, which reads the system's root certificates. It follows no redirect.
pub fn client() -> HttpClient {
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls::client_config(None));
    Client::builder(TokioExecutor::new()).build(connector.https_or_http().enable_http1().build())
}
