//! A client's connection.

use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
};

use crate::request::{Request, invalid};

/// A connection from which requests are read.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// Bytes that were read and belong to the next request.
    rest: Vec<u8>,
}

impl Connection {
    /// Takes a connection, on which writes are sent at once.
    ///
    /// An answer is one write: where head and body travel apart, the client's delayed acknowledgement adds 40 ms.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, rest: Vec::new() })
    }

    /// Returns the socket.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Writes an answer.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn write(&mut self, answer: &[u8]) -> io::Result<()> {
        self.stream.write_all(answer)
    }

    /// Reads the next request; `None` after the last one.
    ///
    /// # Errors
    /// When the connection ends in the middle of a request, or when what comes is no request.
    pub fn read(&mut self) -> io::Result<Option<Request>> {
        let (mut request, length) = loop {
            if let Some(head) = Request::parse_head(&self.rest)? {
                break head;
            }
            if !self.fill()? {
                return if self.rest.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        };
        self.rest.drain(..length);
        if request.header("expect").is_some_and(|expected| expected.eq_ignore_ascii_case("100-continue")) {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let encoding = request.header("transfer-encoding").unwrap_or_default();
        request.body = if encoding.to_ascii_lowercase().ends_with("chunked") {
            self.chunks()?
        } else {
            let length = request.header("content-length").map_or(Ok(0), str::parse).map_err(invalid)?;
            self.take(length)?
        };
        Ok(Some(request))
    }

    /// Reads chunks up to the last one, and the trailers, which are dropped.
    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = self.line()?;
            let size = size.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(invalid)?;
            if size == 0 {
                while !self.line()?.is_empty() {}
                return Ok(body);
            }
            body.extend_from_slice(&self.take(size)?);
            self.line()?;
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let end = loop {
            if let Some(end) = self.rest.windows(2).position(|window| window == b"\r\n") {
                break end;
            }
            self.expect_more()?;
        };
        let line = String::from_utf8(self.take(end)?).map_err(invalid)?;
        self.take(2)?;
        Ok(line)
    }

    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.rest.len() < length {
            self.expect_more()?;
        }
        Ok(self.rest.drain(..length).collect())
    }

    fn expect_more(&mut self) -> io::Result<()> {
        if self.fill()? { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Reads what there is; `false` at the end.
    fn fill(&mut self) -> io::Result<bool> {
        let mut chunk = [0; 16 << 10];
        let count = self.stream.read(&mut chunk)?;
        self.rest.extend_from_slice(&chunk[..count]);
        Ok(count > 0)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// The bodies of the requests that a client sends.
    fn bodies(text: &'static str) -> io::Result<Vec<String>> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let mut client = TcpStream::connect(listener.local_addr()?)?;
        client.write_all(text.as_bytes())?;
        drop(client);
        let mut connection = Connection::new(listener.accept()?.0)?;
        let mut bodies = Vec::new();
        while let Some(request) = connection.read()? {
            bodies.push(String::from_utf8(request.body).map_err(invalid)?);
        }
        Ok(bodies)
    }

    #[test]
    fn requests_end_where_their_heads_say() -> io::Result<()> {
        let found = bodies(
            "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\noneGET / HTTP/1.1\r\n\r\n\
             PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\n0\r\n\r\n\r\n2\r\nxy\r\n0\r\nTrailer: t\r\n\r\n\
             POST / HTTP/1.1\r\ncontent-length: 4\r\n\r\nlast",
        )?;
        assert_eq!(found, ["one", "", "0\r\n\r\nxy", "last"]);
        Ok(())
    }

    #[test]
    fn half_a_request_is_an_error() {
        let texts = [
            "GET / HT",
            "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\non",
            "POST / HTTP/1.1\r\nContent-Length: three\r\n\r\n",
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n",
        ];
        for text in texts {
            assert!(bodies(text).is_err(), "{text}");
        }
    }
}
