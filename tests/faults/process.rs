//! The processes of the functions.

use std::{fs, net::SocketAddr, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use tests::{poll::until, stack::variable};

/// Returns the process at the other end of a loopback connection from `peer` to `own`.
pub(crate) fn owner(peer: SocketAddr, own: SocketAddr) -> Option<u32> {
    // Ports are in hexadecimal, and the tenth field is the socket's inode: proc(5).
    let [local, remote] = [peer, own].map(|address| format!(":{:04X}", address.port()));
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let inode = table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let found = fields.get(1)?.ends_with(&local) && fields.get(2)?.ends_with(&remote);
        found.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
    })?;
    let socket = format!("socket:[{inode}]");
    processes().find(|pid| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        files.into_iter().any(|file| fs::read_link(file.path()).is_ok_and(|link| link.to_string_lossy() == socket))
    })
}

/// Returns the processes of a function of this stack's emulator.
pub(crate) fn of_function(function: &str, endpoint: &str) -> Vec<u32> {
    let wanted = [format!("AWS_LAMBDA_FUNCTION_NAME={function}"), format!("AWS_ENDPOINT_URL={endpoint}")];
    let has = |pid: &u32| {
        let variables = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        wanted.iter().all(|wanted| variables.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes()))
    };
    processes().filter(has).collect()
}

/// Returns the seconds of CPU time of the processes of a function so far, and of the emulator that started them.
pub(crate) fn cpu_seconds(function: &str) -> (u64, u64) {
    let all = of_function(&variable(&format!("{}_FUNCTION", function.to_uppercase())), &variable("AWS_ENDPOINT_URL"));
    let read = |pid: u32| {
        // The fields after the name in parentheses: the parent is the 2nd, the times are the 12th and the 13th: proc(5).
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<u64> =
            stat.rsplit_once(')')?.1.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
        let ticks = fields.get(11)? + fields.get(12)?;
        Some((*fields.get(1)?, ticks / rustix::param::clock_ticks_per_second()))
    };
    let own: Vec<(u64, u64)> = all.into_iter().filter_map(read).collect();
    let emulator = own.first().and_then(|(parent, _)| read(u32::try_from(*parent).ok()?));
    (own.iter().map(|(_, seconds)| seconds).sum(), emulator.map_or(0, |(_, seconds)| seconds))
}

/// Ends all processes of a function, such as `api`, so that a new process handles the next request.
pub(crate) async fn end_all(function: &str) {
    let name = variable(&format!("{}_FUNCTION", function.to_uppercase()));
    let all = || of_function(&name, &variable("AWS_ENDPOINT_URL"));
    let killed = all();
    killed.iter().copied().for_each(kill);
    // A queue or a schedule may have started another one already.
    until("they are gone", Duration::from_secs(5), async || {
        let left: Vec<u32> = all().into_iter().filter(|process| killed.contains(process)).collect();
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
}

/// Kills a process without a chance to clean up, as the kernel does when memory is short.
pub(crate) fn kill(pid: u32) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("a process");
    kill_process(pid, Signal::KILL).expect("the process is there");
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}
