//! The proxies between the functions and the services: one for each function and service.

use std::{
    collections::HashMap,
    net::{SocketAddr, TcpListener},
};

use serde::Deserialize;
use tests::stack::variable;

use crate::{
    daemon::Daemon,
    http, postgres,
    rule::{Action, Fault, Rules},
};

/// A proxy, as the stack was deployed for it.
#[derive(Deserialize)]
struct Proxy {
    /// `<function>.<service>`.
    name: String,
    /// The address at which the function expects the service.
    listen: SocketAddr,
    /// The address of the service.
    target: SocketAddr,
}

/// All proxies, by name, and the daemon of traces.
#[derive(Debug)]
pub(crate) struct Proxies {
    rules: HashMap<String, Rules>,
    daemon: Daemon,
}

impl Proxies {
    /// Starts the proxies of `FAULT_PROXIES`.
    pub(crate) fn start() -> Self {
        let proxies: Vec<Proxy> = serde_json::from_str(&variable("FAULT_PROXIES")).expect("a list of proxies");
        let mut all = HashMap::new();
        for Proxy { name, listen, target } in proxies {
            let listener = TcpListener::bind(listen).unwrap_or_else(|error| panic!("{name}: {error}"));
            let rules: Rules = all.entry(name.clone()).or_insert_with(Rules::default).clone();
            if name.ends_with(".postgres") {
                listener.set_nonblocking(true).expect("a socket of tokio's");
                let listener = tokio::net::TcpListener::from_std(listener).expect("a runtime");
                tokio::spawn(postgres::serve(listener, target, rules));
            } else {
                http::serve(listener, target, rules);
            }
        }
        let daemon = Daemon::start(variable("FAULT_DAEMON").parse().expect("an address"));
        Self { rules: all, daemon }
    }

    /// Returns the daemon of traces.
    pub(crate) const fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// Applies `action` to the next `times` requests through a proxy that contain all of these words.
    pub(crate) fn add(&self, name: &str, words: &[&str], times: usize, action: Action) -> Fault {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.rules[name].add(&words, times, action)
    }

    /// Applies `action` to the statements that copy an organization's usage. An export over several connections has
    /// many.
    pub(crate) fn add_query(&self, org: uuid::Uuid, times: usize, action: Action) -> Fault {
        self.add("worker.postgres", &["copy (select", &org.to_string()], times, action)
    }
}
