//! The API's own address, as a custom domain would be.
//!
//! Clients such as curl pass the bearer token on when a redirect stays on the same host and port. The object store must
//! never see it, so the API is not at the emulator's port but here. Only the path, `Host` and `Connection` of a request
//! change; a redirect is the client's to follow.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{Arc, OnceLock},
};

use anyhow::{Context, Result};
use loopback::{Request, answer, forward};

/// The API that requests are relayed to.
#[derive(Debug)]
struct Target {
    address: SocketAddr,
    /// The prefix of every path there.
    prefix: String,
}

/// The listener. Its threads end with the process.
#[derive(Debug)]
pub(crate) struct CustomDomain {
    address: SocketAddr,
    target: Arc<OnceLock<Target>>,
}

impl CustomDomain {
    /// Listens, and answers 503 until [`route_to`](Self::route_to) is called.
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port on 127.0.0.1")?;
        let address = listener.local_addr()?;
        let target = Arc::new(OnceLock::new());
        let shared = Arc::clone(&target);
        loopback::serve(listener, move |arrival| Some(relay(arrival.request, address, shared.get())));
        Ok(Self { address, target })
    }

    /// Relays to this API of the emulator from now on.
    pub(crate) fn route_to(&self, port: u16, api: &str) {
        // The form with the id in the path: on an API's own host the emulator keeps paths such as /health for itself.
        self.relay_to(port, format!("/_aws/execute-api/{api}/$default"));
    }

    /// Relays to a watch of the functions from now on, whose router knows the API's paths.
    pub(crate) fn route_to_watch(&self, port: u16) {
        self.relay_to(port, String::new());
    }

    fn relay_to(&self, port: u16, prefix: String) {
        let _ = self.target.set(Target { address: SocketAddr::from(([127, 0, 0, 1], port)), prefix });
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn relay(mut request: Request, own: SocketAddr, target: Option<&Target>) -> Vec<u8> {
    let Some(target) = target else { return answer("503 Service Unavailable", "") };
    if !request.target.starts_with('/') {
        return answer("400 Bad Request", "");
    }
    rewrite(&mut request, &target.prefix, own);
    forward(&request, target.address).unwrap_or_else(|_| answer("502 Bad Gateway", ""))
}

/// Changes the request to what the emulator expects.
fn rewrite(request: &mut Request, prefix: &str, own: SocketAddr) {
    request.target.insert_str(0, prefix);
    request.remove_header("host");
    request.headers.push(("host".to_owned(), own.to_string().into_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

    fn request(target: &str) -> Request {
        let headers = [("HOST", "x"), ("Authorization", "Bearer t"), ("Connection", "keep-alive")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        Request { method: "GET".to_owned(), target: target.to_owned(), headers: headers.into(), body: Vec::new() }
    }

    #[test]
    fn only_path_host_and_connection_change() {
        let mut request = request("/a%20b?c=%2B");
        rewrite(&mut request, "/p", OWN);
        let expected = "GET /p/a%20b?c=%2B HTTP/1.1\r\nAuthorization: Bearer t\r\nhost: 127.0.0.1:8080\r\n\
                        connection: close\r\n\r\n";
        assert_eq!(String::from_utf8(request.to_bytes()).as_deref(), Ok(expected));
    }

    #[test]
    fn a_request_that_cannot_be_relayed_is_refused() {
        assert!(relay(request("/"), OWN, None).starts_with(b"HTTP/1.1 503 "));
        let target = Target { address: SocketAddr::from(([127, 0, 0, 1], 1)), prefix: String::new() };
        assert!(relay(request("http://elsewhere/"), OWN, Some(&target)).starts_with(b"HTTP/1.1 400 "));
        assert!(relay(request("/"), OWN, Some(&target)).starts_with(b"HTTP/1.1 502 "));
    }
}
