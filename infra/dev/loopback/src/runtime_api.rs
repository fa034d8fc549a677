//! Lambda's Runtime API: what a function's program asks for events.

use std::{
    io::{self, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::{Connection, Request, request::invalid};

const PREFIX: &str = "/2018-06-01/runtime";

/// The Runtime API for one process, on a loopback port. Its threads end with the process.
#[derive(Debug)]
pub struct RuntimeApi {
    address: SocketAddr,
    calls: Receiver<Call>,
}

/// A call by the function.
#[derive(Debug)]
pub enum Call {
    /// It asks for an event.
    Next(NextEvent),
    /// It has handled the event.
    Succeeded {
        /// The function's return value.
        body: Vec<u8>,
        /// The time of its arrival.
        at: Instant,
    },
    /// It failed, or could not start.
    Failed {
        /// The function's error document.
        body: Vec<u8>,
    },
}

/// A function that waits for an event.
#[derive(Debug)]
pub struct NextEvent(TcpStream);

/// An event and what comes with it.
#[derive(Debug)]
pub struct Invocation<'a> {
    /// The request's id.
    pub id: &'a str,
    /// The function's name.
    pub function: &'a str,
    /// The event, JSON.
    pub event: &'a [u8],
    /// The time that the function is told it has.
    pub timeout: Duration,
}

impl RuntimeApi {
    /// Listens on a free port.
    ///
    /// # Errors
    /// When there is no port.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let (sender, calls) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let sender = sender.clone();
                // A function that ends or says nonsense is missed by whoever waits for its call.
                thread::spawn(move || serve(stream, &sender).ok());
            }
        });
        Ok(Self { address, calls })
    }

    /// Returns the variables by which a program becomes a function.
    pub fn environment(&self, function: &str, memory_mib: u32) -> [(&'static str, String); 4] {
        [
            ("AWS_LAMBDA_RUNTIME_API", self.address.to_string()),
            ("AWS_LAMBDA_FUNCTION_NAME", function.to_owned()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory_mib.to_string()),
        ]
    }

    /// Returns the next call; `None` if there is none within `timeout`.
    ///
    /// # Errors
    /// When nobody listens any more.
    pub fn receive(&self, timeout: Duration) -> io::Result<Option<Call>> {
        match self.calls.recv_timeout(timeout) {
            Ok(call) => Ok(Some(call)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the Runtime API has stopped")),
        }
    }
}

impl NextEvent {
    /// Hands the event over.
    ///
    /// # Errors
    /// When the function is gone.
    pub fn hand_over(mut self, invocation: &Invocation<'_>) -> io::Result<()> {
        let Invocation { id, function, event, timeout } = invocation;
        let deadline = (SystemTime::now() + *timeout).duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
        let mut answer = format!(
            "HTTP/1.1 200 OK\r\n\
             Content-Type: application/json\r\n\
             Content-Length: {}\r\n\
             Lambda-Runtime-Aws-Request-Id: {id}\r\n\
             Lambda-Runtime-Deadline-Ms: {}\r\n\
             Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:000000000000:function:{function}\r\n\r\n",
            event.len(),
            deadline.as_millis()
        )
        .into_bytes();
        answer.extend_from_slice(event);
        self.0.write_all(&answer)
    }
}

/// Passes on the calls of one connection until it ends.
fn serve(stream: TcpStream, calls: &Sender<Call>) -> io::Result<()> {
    let mut connection = Connection::new(stream)?;
    while let Some(request) = connection.read()? {
        let at = Instant::now();
        let call = match kind(&request) {
            Kind::Next => Call::Next(NextEvent(connection.stream().try_clone()?)),
            Kind::Response => Call::Succeeded { body: request.body, at },
            Kind::Error => Call::Failed { body: request.body },
            Kind::Unknown => {
                connection.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
                continue;
            }
        };
        if !matches!(call, Call::Next(_)) {
            connection.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")?;
        }
        calls.send(call).map_err(invalid)?;
    }
    Ok(())
}

enum Kind {
    Next,
    Response,
    Error,
    Unknown,
}

fn kind(request: &Request) -> Kind {
    let parts: Vec<&str> = request.target.strip_prefix(PREFIX).unwrap_or_default().split('/').collect();
    match (request.method.as_str(), parts.as_slice()) {
        ("GET", ["", "invocation", "next"]) => Kind::Next,
        ("POST", ["", "invocation", _, "response"]) => Kind::Response,
        ("POST", ["", "invocation", _, "error"] | ["", "init", "error"]) => Kind::Error,
        _ => Kind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_function_gets_its_event_and_answers() -> io::Result<()> {
        let api = RuntimeApi::start()?;
        let mut function = TcpStream::connect(api.address)?;
        let mut call = |text: &str| {
            function.write_all(text.as_bytes())?;
            api.receive(Duration::from_secs(10))?.ok_or_else(|| io::Error::other("no call"))
        };
        let Call::Next(next) = call("GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n\r\n")? else {
            return Err(io::Error::other("not the call for an event"));
        };
        let timeout = Duration::from_secs(1);
        next.hand_over(&Invocation { id: "7", function: "f", event: b"{}", timeout })?;
        let path = "/2018-06-01/runtime/invocation/7";
        let returned = call(&format!("POST {path}/response HTTP/1.1\r\nContent-Length: 2\r\n\r\nok"))?;
        assert!(matches!(returned, Call::Succeeded { body, .. } if body == b"ok"));
        let failed = call(&format!("POST {path}/error HTTP/1.1\r\nContent-Length: 2\r\n\r\nno"))?;
        assert!(matches!(failed, Call::Failed { body } if body == b"no"));
        drop(api);
        function.shutdown(std::net::Shutdown::Write)?;
        let mut answers = String::new();
        function.read_to_string(&mut answers)?;
        assert!(
            answers.contains("Lambda-Runtime-Aws-Request-Id: 7\r\n") && answers.contains("\r\n\r\n{}"),
            "{answers}"
        );
        Ok(())
    }
}
