//! A relay: one request per connection, which is read whole, perhaps changed, and sent on.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use crate::{Connection, Request};

/// A request and where it came from.
#[derive(Debug)]
pub struct Arrival {
    /// The request.
    pub request: Request,
    /// The client's end of the connection.
    pub peer: SocketAddr,
    /// Our end of the connection.
    pub local: SocketAddr,
}

/// Serves a listener from a thread of its own, until the process ends. `handle` returns the bytes of an answer, or
/// `None` to end the connection without one; it may block.
pub fn serve(listener: TcpListener, handle: impl Fn(Arrival) -> Option<Vec<u8>> + Send + Sync + 'static) {
    let handle = Arc::new(handle);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let handle = Arc::clone(&handle);
            // A client that goes away, or speaks no HTTP, concerns nobody else.
            thread::spawn(move || accept(stream, &*handle).ok());
        }
    });
}

fn accept(stream: TcpStream, handle: &impl Fn(Arrival) -> Option<Vec<u8>>) -> io::Result<()> {
    let peer = stream.peer_addr()?;
    let local = stream.local_addr()?;
    let mut connection = Connection::new(stream)?;
    match connection.read() {
        Ok(Some(request)) => {
            let answer = handle(Arrival { request, peer, local });
            answer.map_or(Ok(()), |answer| connection.write(&answer))
        }
        Ok(None) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => connection.write(&answer("400 Bad Request", "")),
        Err(error) => Err(error),
    }
}

/// Sends a request on, over a connection of its own, and returns the bytes of the answer.
///
/// # Errors
/// When the service is not there, or ends the connection before it answers.
pub fn forward(request: &Request, target: SocketAddr) -> io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(target)?;
    server.set_nodelay(true)?;
    server.write_all(&request.to_bytes())?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    if answer.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(answer) }
}

/// Returns an answer of ours, after which the connection ends.
pub fn answer(status: &str, body: &str) -> Vec<u8> {
    answer_with(status, "", body)
}

/// Returns a JSON document as an answer of ours, after which the connection ends.
pub fn answer_json(body: &str) -> Vec<u8> {
    answer_with("200 OK", "content-type: application/json\r\n", body)
}

/// Returns an answer of ours with these headers, each of which ends with `\r\n`. The connection ends after it.
pub fn answer_with(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Listens on a free port with this answer to every request.
    fn start(handle: impl Fn(Arrival) -> Option<Vec<u8>> + Send + Sync + 'static) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        serve(listener, handle);
        Ok(address)
    }

    fn request(target: &str, body: &[u8]) -> Request {
        Request { method: "POST".to_owned(), target: target.to_owned(), headers: Vec::new(), body: body.to_vec() }
    }

    #[test]
    fn a_request_goes_through_and_its_answer_comes_back() -> io::Result<()> {
        let service = start(|arrival| {
            let body = String::from_utf8_lossy(&arrival.request.body).into_owned();
            Some(answer("200 OK", &format!("{} {body}", arrival.request.target)))
        })?;
        let relay = start(move |mut arrival| {
            arrival.request.target.insert_str(0, "/prefix");
            forward(&arrival.request, service).ok()
        })?;
        let body = "x".repeat(1 << 20);
        let found = forward(&request("/path", body.as_bytes()), relay)?;
        assert!(
            found.starts_with(b"HTTP/1.1 200 OK\r\n") && found.ends_with(format!("/prefix/path {body}").as_bytes())
        );
        Ok(())
    }

    #[test]
    fn an_answer_may_be_lost_and_nonsense_is_refused() -> io::Result<()> {
        let relay = start(|_| None)?;
        assert!(forward(&request("/", b""), relay).is_err());
        assert!(forward(&request("/ no path", b""), relay)?.starts_with(b"HTTP/1.1 400 "));
        Ok(())
    }
}
