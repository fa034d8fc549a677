//! The daemon to which the functions send the spans of their traces, by its own protocol.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tests::poll::until;

/// The conduct of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conduct {
    /// It reads what it gets.
    Reads,
    /// It has its port and reads nothing.
    Hangs,
    /// Its port is closed.
    Gone,
}

/// The daemon, and what it got so far.
#[derive(Debug, Clone)]
pub(crate) struct Daemon(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    wanted: Conduct,
    present: Conduct,
    documents: Vec<Value>,
}

impl Daemon {
    /// Starts the daemon on the port at which the functions expect it.
    pub(crate) fn start(listen: SocketAddr) -> Self {
        let daemon =
            Self(Arc::new(Mutex::new(State { wanted: Conduct::Reads, present: Conduct::Gone, documents: Vec::new() })));
        let own = daemon.clone();
        thread::spawn(move || own.run(listen));
        daemon
    }

    /// Changes the conduct, and waits until it has changed.
    pub(crate) async fn set(&self, conduct: Conduct) {
        self.0.lock().unwrap().wanted = conduct;
        until("the daemon changes", Duration::from_secs(5), async || {
            let present = self.0.lock().unwrap().present;
            if present == conduct { Ok(()) } else { Err(present) }
        })
        .await;
    }

    /// Returns the number of documents so far.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().documents.len()
    }

    /// Returns the documents of all traces that have a document which fits.
    pub(crate) fn traces_with(&self, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
        let documents = self.0.lock().unwrap().documents.clone();
        let traces: Vec<&Value> =
            documents.iter().filter(|document| fits(document)).map(|one| &one["trace_id"]).collect();
        documents.iter().filter(|document| traces.contains(&&document["trace_id"])).cloned().collect()
    }

    fn run(&self, listen: SocketAddr) {
        let mut socket = None;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let wanted = self.0.lock().unwrap().wanted;
            if wanted == Conduct::Gone {
                socket = None;
            } else if socket.is_none() {
                let bound = UdpSocket::bind(listen).unwrap_or_else(|error| panic!("the traces' port: {error}"));
                bound.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
                socket = Some(bound);
            }
            self.0.lock().unwrap().present = wanted;
            match &socket {
                Some(socket) if wanted == Conduct::Reads => {
                    if let Ok(length) = socket.recv(&mut buffer) {
                        self.0.lock().unwrap().documents.push(document(&buffer[..length]));
                    }
                }
                _ => thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

fn document(datagram: &[u8]) -> Value {
    let text = std::str::from_utf8(datagram).expect("a datagram is text");
    let (header, document) = text.split_once('\n').expect("a datagram has a header and a document");
    let header: Value = serde_json::from_str(header).expect(text);
    assert_eq!(header, json!({"format": "json", "version": 1}));
    serde_json::from_str(document).expect(text)
}
