//! A proxy between a function and a service that speaks HTTP. One request per connection; the request goes on as it came,
//! but for `Connection`: its signature holds.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::rule::{Action, Rules};

/// Serves a listener for good.
pub(crate) async fn serve(listener: TcpListener, target: SocketAddr, rules: Rules) {
    loop {
        let Ok((client, peer)) = listener.accept().await else { continue };
        tokio::spawn(relay(client, peer, target, rules.clone()));
    }
}

async fn relay(mut client: TcpStream, peer: SocketAddr, target: SocketAddr, rules: Rules) -> Option<()> {
    let request = read(&mut client).await?;
    let Some((rule, action)) = rules.find(&request.text) else {
        let answer = request.forward(target).await?;
        return client.write_all(&answer).await.ok();
    };
    match action {
        Action::Refuse(status) => client.write_all(&refusal(status, &request.text)).await.ok(),
        Action::Answer(body) => client.write_all(&http("200 OK", &body)).await.ok(),
        Action::LoseAnswer => request.forward(target).await.map(|_| ()),
        Action::Delay(time) => {
            tokio::time::sleep(time).await;
            client.write_all(&request.forward(target).await?).await.ok()
        }
        Action::Hold => {
            let told = rule.hold(peer, client.local_addr().ok()?).await?;
            let answer = request.forward(target).await.unwrap_or_default();
            let _ = told.send(status(&answer));
            client.write_all(&answer).await.ok()
        }
        Action::Cut(bytes) => {
            let answer = request.forward(target).await?;
            client.write_all(&answer[..bytes.min(answer.len())]).await.ok()
        }
        Action::Watch | Action::Stall(_) => None,
    }
}

/// A request, read whole.
struct Request {
    /// Head and body as they came.
    text: Vec<u8>,
    head: usize,
}

impl Request {
    /// What the service answers.
    async fn forward(&self, target: SocketAddr) -> Option<Vec<u8>> {
        let head = std::str::from_utf8(&self.text[..self.head]).ok()?;
        let kept = head.trim_end().split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
        let head = kept.collect::<Vec<_>>().join("\r\n") + "\r\nconnection: close\r\n\r\n";
        let mut server = TcpStream::connect(target).await.ok()?;
        server.write_all(head.as_bytes()).await.ok()?;
        server.write_all(&self.text[self.head..]).await.ok()?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer).await.ok()?;
        // Whoever was told to continue has long done so.
        while answer.starts_with(b"HTTP/1.1 100") {
            answer.drain(..end_of_head(&answer)?);
        }
        Some(answer)
    }
}

async fn read(client: &mut TcpStream) -> Option<Request> {
    let (mut text, mut chunk) = (Vec::new(), vec![0; 64 << 10]);
    let head = loop {
        let count = client.read(&mut chunk).await.ok().filter(|count| *count > 0)?;
        text.extend_from_slice(&chunk[..count]);
        if let Some(head) = end_of_head(&text) {
            break head;
        }
    };
    let lines = String::from_utf8_lossy(&text[..head]).to_ascii_lowercase();
    let header = |name: &str| lines.split("\r\n").find_map(|line| line.strip_prefix(name)).map(str::trim);
    if header("expect:") == Some("100-continue") {
        client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.ok()?;
    }
    let length: Option<usize> = header("content-length:").and_then(|length| length.parse().ok());
    let chunked = header("transfer-encoding:").is_some_and(|encoding| encoding.ends_with("chunked"));
    while length.is_some_and(|length| text.len() < head + length) || (chunked && !text.ends_with(b"0\r\n\r\n")) {
        let count = client.read(&mut chunk).await.ok().filter(|count| *count > 0)?;
        text.extend_from_slice(&chunk[..count]);
    }
    Some(Request { text, head })
}

fn end_of_head(text: &[u8]) -> Option<usize> {
    text.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

fn status(answer: &[u8]) -> u16 {
    std::str::from_utf8(answer.get(9..12).unwrap_or_default()).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// What a service that is not well says, in its own protocol: XML for S3, JSON for the others.
fn refusal(status: u16, request: &[u8]) -> Vec<u8> {
    let (reason, code) = match status {
        503 => ("Service Unavailable", "SlowDown"),
        _ => ("Internal Server Error", "InternalServerError"),
    };
    let body = match crate::rule::contains(request, b"x-amz-target") {
        true => format!(r#"{{"__type":"com.amazonaws#{code}","message":"not now"}}"#),
        false => format!("<Error><Code>{code}</Code><Message>not now</Message></Error>"),
    };
    http(&format!("{status} {reason}"), &body)
}

fn http(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()).into_bytes()
}
