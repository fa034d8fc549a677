//! The proxies between the functions and the services: one for each function and service.

use std::{
    collections::HashMap,
    net::{SocketAddr, TcpListener},
};

use serde::Deserialize;
use tests::stack::variable;

use crate::{
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

/// All proxies, by name.
#[derive(Debug, Default)]
pub(crate) struct Proxies(HashMap<String, Rules>);

impl Proxies {
    /// Starts the proxies of `FAULT_PROXIES`.
    pub(crate) fn start() -> Self {
        let proxies: Vec<Proxy> = serde_json::from_str(&variable("FAULT_PROXIES")).expect("a list of proxies");
        let mut all = Self::default();
        for Proxy { name, listen, target } in proxies {
            let listener = TcpListener::bind(listen).unwrap_or_else(|error| panic!("{name}: {error}"));
            let rules = all.0.entry(name.clone()).or_default().clone();
            if name.ends_with(".postgres") {
                listener.set_nonblocking(true).expect("a socket of tokio's");
                let listener = tokio::net::TcpListener::from_std(listener).expect("a runtime");
                tokio::spawn(postgres::serve(listener, target, rules));
            } else {
                http::serve(listener, target, rules);
            }
        }
        all
    }

    /// Applies `action` to the next `times` requests through a proxy that contain all of these words.
    pub(crate) fn add(&self, name: &str, words: &[&str], times: usize, action: Action) -> Fault {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.0[name].add(&words, times, action)
    }

    /// Applies `action` to the statements that copy an organization's usage. An export over several connections has
    /// many.
    pub(crate) fn add_query(&self, org: uuid::Uuid, times: usize, action: Action) -> Fault {
        self.add("worker.postgres", &["copy (select", &org.to_string()], times, action)
    }
}
