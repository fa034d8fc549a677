//! A request that was read whole.

use std::io;

/// The largest head of a request. The gateway of AWS refuses more than about 10 KiB.
pub(crate) const MAX_HEAD: usize = 64 << 10;
/// The most headers of a request.
const MAX_HEADERS: usize = 100;

/// A request with its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method, such as `GET`.
    pub method: String,
    /// The path and the query, as they came.
    pub target: String,
    /// The headers in their order, names as they came.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body, without the framing of chunks.
    pub body: Vec<u8>,
}

impl Request {
    /// Returns the value of a header, if it is there and text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }

    /// Removes the headers of this name.
    pub fn remove_header(&mut self, name: &str) {
        self.headers.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
    }

    /// Returns the request as it is sent on: the only one of its connection, its body in one piece. All else is as it
    /// came, so that signatures hold.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        for (name, value) in &self.headers {
            let framing = ["connection", "content-length", "expect", "transfer-encoding"];
            if framing.iter().all(|framing| !name.eq_ignore_ascii_case(framing)) {
                text.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
            }
        }
        if !self.body.is_empty() || self.header("content-length").is_some() {
            text.extend_from_slice(format!("content-length: {}\r\n", self.body.len()).as_bytes());
        }
        text.extend_from_slice(b"connection: close\r\n\r\n");
        text.extend_from_slice(&self.body);
        text
    }

    /// Parses the head at the beginning of `text` and returns it with its length; `None` while it is incomplete.
    pub(crate) fn parse_head(text: &[u8]) -> io::Result<Option<(Self, usize)>> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(length) = parsed.parse(text).map_err(invalid)? else {
            return if text.len() > MAX_HEAD { Err(invalid("the head of a request is too large")) } else { Ok(None) };
        };
        let (Some(method), Some(target)) = (parsed.method, parsed.path) else {
            return Err(invalid("a request without a method or a path"));
        };
        let headers = parsed.headers.iter().map(|header| (header.name.to_owned(), header.value.to_vec()));
        let request =
            Self { method: method.to_owned(), target: target.to_owned(), headers: headers.collect(), body: Vec::new() };
        Ok(Some((request, length)))
    }
}

/// An error of a peer that does not speak HTTP.
pub(crate) fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Request {
        let (mut request, length) = Request::parse_head(text.as_bytes()).expect("HTTP").expect("a whole head");
        request.body = text.as_bytes()[length..].to_vec();
        request
    }

    #[test]
    fn only_the_framing_changes() {
        let text = "GET /a%20b?c=%2B HTTP/1.1\r\nHOST: x\r\nAuthorization: Bearer t\r\nConnection: keep-alive\r\n\r\n";
        let sent = "GET /a%20b?c=%2B HTTP/1.1\r\nHOST: x\r\nAuthorization: Bearer t\r\nconnection: close\r\n\r\n";
        assert_eq!(String::from_utf8(parse(text).to_bytes()).as_deref(), Ok(sent));
        let text = "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\nbody";
        let sent = "PUT / HTTP/1.1\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbody";
        assert_eq!(String::from_utf8(parse(text).to_bytes()).as_deref(), Ok(sent));
    }

    #[test]
    fn what_is_no_request_is_an_error() {
        assert!(Request::parse_head(b"nonsense\r\n\r\n").is_err());
        assert!(Request::parse_head(b"GET / HTTP/1.1\r\n").is_ok_and(|head| head.is_none()));
        let endless = [b"GET / HTTP/1.1\r\na: ".as_slice(), &[b'a'; MAX_HEAD]].concat();
        assert!(Request::parse_head(&endless).is_err());
    }
}
