//! A proxy between the worker and PostgreSQL. A rule applies to the answer to a request that has the rule's words, such
//! as an organization's id.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tests::{poll::until, stack::variable};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::rule::{Action, Rule, Rules};

/// The rule that applies to the server's next answer, and the number of bytes answered since.
type Marked = Arc<Mutex<Option<(Arc<Rule>, Action, usize)>>>;

/// Serves a listener for ever.
pub(crate) async fn serve(listener: TcpListener, target: SocketAddr, rules: Rules) {
    loop {
        let Ok((client, peer)) = listener.accept().await else { continue };
        let rules = rules.clone();
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(target).await else { return };
            let marked = Marked::default();
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            // Both directions end together.
            tokio::select! {
                _ = requests(from_client, to_server, rules, marked.clone()) => {}
                _ = answers(from_server, to_client, peer, marked) => {}
            }
        });
    }
}

async fn requests(mut client: OwnedReadHalf, mut server: OwnedWriteHalf, rules: Rules, marked: Marked) -> Option<()> {
    let mut chunk = vec![0; 64 << 10];
    loop {
        let count = client.read(&mut chunk).await.ok().filter(|count| *count > 0)?;
        if let Some((rule, action)) = rules.find(&chunk[..count]) {
            *marked.lock().unwrap() = Some((rule, action, 0));
        }
        server.write_all(&chunk[..count]).await.ok()?;
    }
}

async fn answers(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    peer: SocketAddr,
    marked: Marked,
) -> Option<()> {
    let mut chunk = vec![0; 64 << 10];
    loop {
        let count = server.read(&mut chunk).await.ok().filter(|count| *count > 0)?;
        let mut passed = 0;
        let stop = marked.lock().unwrap().take_if(|(_, action, seen)| {
            let (Action::Cut(limit) | Action::Stall(limit)) = action else { return false };
            passed = limit.saturating_sub(*seen).min(count);
            *seen += count;
            *seen > *limit
        });
        match stop {
            None => client.write_all(&chunk[..count]).await.ok()?,
            Some((rule, action, _)) => {
                client.write_all(&chunk[..passed]).await.ok()?;
                if matches!(action, Action::Cut(_)) {
                    return None;
                }
                let told = rule.hold(peer, client.local_addr().ok()?).await?;
                client.write_all(&chunk[passed..count]).await.ok()?;
                let _ = told.send(0);
            }
        }
    }
}

/// Stops the server, which ends all connections. The stack starts it again, as a service manager would.
pub(crate) async fn restart() {
    let file = Path::new(&variable("POSTGRES_DATA")).join("postmaster.pid");
    let pid = || fs::read_to_string(&file).ok().and_then(|text| text.lines().next()?.trim().parse::<i32>().ok());
    let before = pid().expect("the server runs");
    kill_process(Pid::from_raw(before).expect("a process"), Signal::INT).expect("the server can be stopped");
    until("the server is back", Duration::from_secs(30), async || match pid() {
        Some(now) if now != before && fs::read_to_string(&file).is_ok_and(|text| text.contains("ready")) => Ok(()),
        seen => Err(seen),
    })
    .await;
}
