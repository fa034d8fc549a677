//! Rules by which a proxy disturbs requests.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::{lambda, process};

/// The action on a request.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    /// Passes it and records its time.
    Watch,
    /// Answers it with this status.
    Refuse(u16),
    /// Answers it with this body.
    Answer(String),
    /// Delays it.
    Delay(Duration),
    /// Holds it until the test releases or loses it.
    Hold,
    /// Passes it and loses the answer.
    LoseAnswer,
    /// Closes the connection after this many bytes of the answer.
    Cut(usize),
    /// Holds the answer after this many bytes until the test releases or loses it.
    Stall(usize),
}

impl Action {
    /// Creates the action of a queue that accepts a message and loses it.
    pub(crate) fn lost_message() -> Self {
        let answer = json!({"MessageId": Uuid::new_v4(), "MD5OfMessageBody": "0".repeat(32)});
        Self::Answer(answer.to_string())
    }
}

/// A held request.
#[derive(Debug)]
pub(crate) struct Held {
    peer: SocketAddr,
    own: SocketAddr,
    go: oneshot::Sender<oneshot::Sender<u16>>,
}

impl Held {
    /// Returns the process that sent it.
    pub(crate) fn process(&self) -> u32 {
        process::owner(self.peer, self.own).expect("whoever holds a connection is a process")
    }

    /// Passes it, even if its sender has gone, and returns the status of the answer; 0 if there is none.
    pub(crate) async fn release(self) -> u16 {
        let (sender, status) = oneshot::channel();
        let _ = self.go.send(sender);
        status.await.unwrap_or_default()
    }

    /// Closes its connection, so that it never arrives.
    pub(crate) fn lose(self) {}
}

/// One rule of one proxy.
#[derive(Debug)]
pub(crate) struct Rule {
    words: Vec<Vec<u8>>,
    action: Action,
    /// The number of requests that it applies to.
    times: usize,
    seen: AtomicUsize,
    matched: Mutex<Vec<(Instant, String)>>,
    held: mpsc::UnboundedSender<Held>,
}

impl Rule {
    /// Reports whether a request has all the words, and records it if so.
    fn matches(&self, request: &[u8]) -> bool {
        let found = self.words.iter().all(|word| contains(request, word));
        if found {
            let text = String::from_utf8_lossy(&request[..request.len().min(4096)]).into_owned();
            self.matched.lock().unwrap().push((Instant::now(), text));
        }
        found
    }

    /// Hands a request to the test and waits for its release. Returns the channel for the status of the answer; `None`
    /// if the test loses the request.
    pub(crate) async fn hold(&self, peer: SocketAddr, own: SocketAddr) -> Option<oneshot::Sender<u16>> {
        let (go, told) = oneshot::channel();
        let _ = self.held.send(Held { peer, own, go });
        told.await.ok()
    }
}

/// The rules of one proxy.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules(Arc<Mutex<Vec<Arc<Rule>>>>);

impl Rules {
    /// Adds a rule for the next `times` requests that have all of `words`. Dropping the returned fault removes it.
    pub(crate) fn add(&self, words: &[&[u8]], times: usize, action: Action) -> Fault {
        let (held, arrivals) = mpsc::unbounded_channel();
        let words = words.iter().map(|word| word.to_vec()).collect();
        let rule = Arc::new(Rule { words, action, times, seen: AtomicUsize::new(0), matched: Mutex::default(), held });
        self.0.lock().unwrap().push(rule.clone());
        Fault { rules: self.clone(), rule, arrivals }
    }

    /// Returns the rule that applies to a request, and its action.
    pub(crate) fn find(&self, request: &[u8]) -> Option<(Arc<Rule>, Action)> {
        let rules = self.0.lock().unwrap();
        let matching: Vec<_> = rules.iter().filter(|rule| rule.matches(request)).collect();
        let acting = matching.into_iter().filter(|rule| !matches!(rule.action, Action::Watch));
        let mut due = acting.filter(|rule| rule.seen.fetch_add(1, Ordering::SeqCst) < rule.times);
        due.next().map(|rule| (rule.clone(), rule.action.clone()))
    }
}

/// An active rule. Dropping this removes it.
#[derive(Debug)]
pub(crate) struct Fault {
    rules: Rules,
    rule: Arc<Rule>,
    arrivals: mpsc::UnboundedReceiver<Held>,
}

impl Fault {
    /// Waits for the next held request. A job's message may have to wait for a worker that other cases hold.
    pub(crate) async fn held(&mut self) -> Held {
        let arrival = tokio::time::timeout(lambda::TURN, self.arrivals.recv()).await;
        arrival.expect("the request comes").expect("the rule is in force")
    }

    /// Returns the number of matching requests.
    pub(crate) fn count(&self) -> usize {
        self.rule.matched.lock().unwrap().len()
    }

    /// Returns the times and first bytes of the matching requests.
    pub(crate) fn requests(&self) -> Vec<(Instant, String)> {
        self.rule.matched.lock().unwrap().clone()
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        self.rules.0.lock().unwrap().retain(|rule| !Arc::ptr_eq(rule, &self.rule));
    }
}

pub(crate) fn contains(text: &[u8], word: &[u8]) -> bool {
    word.is_empty() || text.windows(word.len()).any(|window| window == word)
}
