//! The API's own address, as a custom domain would be.
//!
//! Clients such as curl pass the bearer token on when a redirect stays on the same host and port. The object store
//! must never see it, so the API is not at the emulator's port but here. One request per connection is relayed
//! byte by byte, but for its path, its `Host` and its `Connection`; a redirect is the client's to follow.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, OnceLock},
    thread,
};

use anyhow::{Context, Result};

/// The largest head of a request; the gateway of AWS refuses more than about 10 KiB.
const MAX_HEAD: usize = 64 * 1024;

/// What requests are relayed to.
#[derive(Debug)]
struct Target {
    port: u16,
    /// What precedes every path there.
    prefix: String,
}

/// The listener. Its threads end with the process.
#[derive(Debug)]
pub(crate) struct Front {
    address: SocketAddr,
    target: Arc<OnceLock<Target>>,
}

impl Front {
    /// Listens, and answers 503 until it knows what to relay to.
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port on 127.0.0.1")?;
        let address = listener.local_addr()?;
        let target = Arc::new(OnceLock::new());
        let shared = Arc::clone(&target);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let target = Arc::clone(&shared);
                thread::spawn(move || relay(client, address, target.get()));
            }
        });
        Ok(Self { address, target })
    }

    /// From now on relays to this API of the emulator.
    pub(crate) fn open(&self, port: u16, api: &str) {
        // The form with the id in the path: on an API's own host the emulator keeps paths such as /health for itself.
        let _ = self.target.set(Target { port, prefix: format!("/_aws/execute-api/{api}/$default") });
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn relay(mut client: TcpStream, own: SocketAddr, target: Option<&Target>) -> Option<()> {
    let request = read_head(&mut client)?;
    let Some(Target { port, prefix }) = target else {
        return refuse(&mut client, "503 Service Unavailable");
    };
    let Some(head) = rewrite(&request, prefix, own) else {
        return refuse(&mut client, "400 Bad Request");
    };
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", *port)) else {
        return refuse(&mut client, "502 Bad Gateway");
    };
    server.write_all(&head).ok()?;
    let (mut from_client, mut to_server) = (client.try_clone().ok()?, server.try_clone().ok()?);
    let upload = thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
    });
    let _ = std::io::copy(&mut server, &mut client);
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
    upload.join().ok()
}

/// Reads until the head is complete; what follows it of the body comes along.
fn read_head(client: &mut TcpStream) -> Option<Vec<u8>> {
    let (mut request, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let count = client.read(&mut chunk).ok().filter(|count| *count > 0)?;
        request.extend_from_slice(&chunk[..count]);
        if end_of_head(&request).is_some() || request.len() > MAX_HEAD {
            return Some(request);
        }
    }
}

fn end_of_head(request: &[u8]) -> Option<usize> {
    request.windows(4).position(|window| window == b"\r\n\r\n")
}

/// The request as the emulator wants it; `None` if it is not HTTP.
fn rewrite(request: &[u8], prefix: &str, own: SocketAddr) -> Option<Vec<u8>> {
    let end = end_of_head(request)?;
    let mut lines = request[..end].split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut parts = lines.next()?.splitn(2, |byte| *byte == b' ');
    let (method, rest) = (parts.next()?, parts.next()?);
    if !rest.starts_with(b"/") {
        return None;
    }
    let mut head = [method, b" ", prefix.as_bytes(), rest, b"\r\n"].concat();
    for line in lines {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        if !name.eq_ignore_ascii_case(b"host") && !name.eq_ignore_ascii_case(b"connection") {
            head.extend_from_slice(line);
            head.extend_from_slice(b"\r\n");
        }
    }
    head.extend_from_slice(format!("host: {own}\r\nconnection: close\r\n\r\n").as_bytes());
    head.extend_from_slice(&request[end + 4..]);
    Some(head)
}

fn refuse(client: &mut TcpStream, status: &str) -> Option<()> {
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    client.write_all(answer.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(request: &str) -> Option<String> {
        let own = SocketAddr::from(([127, 0, 0, 1], 8080));
        rewrite(request.as_bytes(), "/p", own).map(|head| String::from_utf8_lossy(&head).into_owned())
    }

    #[test]
    fn only_path_host_and_connection_change() {
        let request =
            "GET /a%20b?c=%2B HTTP/1.1\r\nHOST: x\r\nAuthorization: Bearer t\r\nConnection: keep-alive\r\n\r\nbody";
        let expected = "GET /p/a%20b?c=%2B HTTP/1.1\r\nAuthorization: Bearer t\r\nhost: 127.0.0.1:8080\r\n\
                        connection: close\r\n\r\nbody";
        assert_eq!(rewritten(request).as_deref(), Some(expected));
    }

    #[test]
    fn what_is_not_a_request_is_refused() {
        assert_eq!(rewritten("GET http://elsewhere/ HTTP/1.1\r\n\r\n"), None);
        assert_eq!(rewritten("nonsense\r\n\r\n"), None);
        assert_eq!(rewritten("GET / HTTP/1.1\r\n"), None);
    }
}
