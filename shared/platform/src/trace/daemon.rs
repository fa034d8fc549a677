//! Sending documents to the daemon.

use std::{
    io,
    net::{Ipv4Addr, ToSocketAddrs as _, UdpSocket},
    sync::atomic::{AtomicU64, Ordering},
};

use crate::config;

/// The first line of each datagram, by the daemon's protocol.
const HEADER: &[u8] = b"{\"format\": \"json\", \"version\": 1}\n";

/// The daemon's own default.
const ADDRESS: &str = "127.0.0.1:2000";

/// The daemon, which may not be there: a datagram needs no receiver.
#[derive(Debug)]
pub(super) struct Daemon {
    socket: Option<UdpSocket>,
    /// The documents that were not sent, since they were last counted.
    dropped: AtomicU64,
}

impl Daemon {
    /// Addresses the daemon at `AWS_XRAY_DAEMON_ADDRESS`, which Lambda sets. Without a socket, all documents are counted
    /// as dropped.
    pub(super) fn from_env() -> Self {
        Self::at(config::optional("AWS_XRAY_DAEMON_ADDRESS").as_deref().unwrap_or(ADDRESS))
    }

    /// Addresses the daemon at `host:port` or, by the daemon's long form, `tcp:host:port udp:host:port`.
    pub(super) fn at(address: &str) -> Self {
        let udp = address.split(' ').find_map(|part| part.strip_prefix("udp:")).unwrap_or(address);
        Self { socket: connect(udp).ok(), dropped: AtomicU64::new(0) }
    }

    /// Sends a document without waiting, or counts it as dropped.
    pub(super) fn send(&self, document: &[u8]) {
        let datagram = [HEADER, document].concat();
        // A socket that is not read, or whose receiver is gone, refuses now or with the next datagram.
        let is_sent = self.socket.as_ref().is_some_and(|socket| socket.send(&datagram).is_ok());
        if !is_sent {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the number of documents that were not sent since the last call.
    pub(super) fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }
}

fn connect(address: &str) -> io::Result<UdpSocket> {
    let target = address.to_socket_addrs()?.find(|address| address.is_ipv4()).ok_or(io::ErrorKind::InvalidInput)?;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_nonblocking(true)?;
    socket.connect(target)?;
    Ok(socket)
}
