//! As much of an HTTP server as the Runtime API needs: requests come out of a channel, and an answer is one write.
//!
//! One write, on a socket that sends at once: where head and body travel apart, the client's delayed acknowledgement adds
//! 40 ms to each request.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::Duration,
};

/// A listener on a loopback port. Its threads end with the process.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    requests: Receiver<Request>,
}

/// A request that waits for its answer.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
    stream: TcpStream,
}

impl Server {
    pub(crate) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let (sender, requests) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let sender = sender.clone();
                thread::spawn(move || serve(&stream, &sender));
            }
        });
        Ok(Self { address, requests })
    }

    /// The next request; `None` if there is none for so long.
    pub(crate) fn receive(&self, patience: Duration) -> io::Result<Option<Request>> {
        match self.requests.recv_timeout(patience) {
            Ok(request) => Ok(Some(request)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("nobody listens any more")),
        }
    }
}

impl Request {
    /// Sends the answer.
    pub(crate) fn answer(mut self, status: &str, headers: &[(&str, String)], body: &[u8]) -> io::Result<()> {
        let mut answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len()).into_bytes();
        for (name, value) in headers {
            answer.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        answer.extend_from_slice(b"\r\n");
        answer.extend_from_slice(body);
        self.stream.write_all(&answer)
    }
}

/// Passes on the requests of one connection, until it ends or is no HTTP.
fn serve(stream: &TcpStream, requests: &Sender<Request>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let mut words = lines.first()?.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let length = lines.iter().filter_map(|line| line.split_once(':'));
        let length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let length = length.map(|(_, value)| value.trim().parse()).next();
        let mut body = vec![0; length.unwrap_or(Ok(0)).ok()?];
        reader.read_exact(&mut body).ok()?;
        requests.send(Request { method, path, body, stream: stream.try_clone().ok()? }).ok()?;
    }
}
