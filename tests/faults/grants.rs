//! The grants of the functions' roles: with any one of them taken away, a function says that something failed. So none has
//! more grants than it needs, and none fails in silence.

mod unseen;
mod work;

use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    time::Duration,
};

use futures_util::{FutureExt as _, future::join_all};
use jiff::Timestamp;
use tests::{
    grants::{Grant, Holder, decisions},
    logs,
    poll::until,
};

use crate::{
    case::{Case, case},
    lambda,
    scene::{Found, Scene},
};
use unseen::{is_not_refused, unseen};
use work::Work;

pub(crate) const CASES: &[Case] =
    &[case!(grants_taken_away, "each grant of a function's role is taken away and given back", alone = true)];

/// The user whose key signs links. The API alone uses it.
const SIGNER: &str = "DownloadSigner";

/// The time in which a function that has all its grants does its work, on a busy machine.
const WORK_TIMEOUT: Duration = Duration::from_secs(60);

/// The time in which a line reaches the log.
const LOG_TIMEOUT: Duration = Duration::from_secs(5);

/// The place where a missing grant shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notice {
    /// The answer, or what was not done.
    Answer,
    /// A line of the log alone.
    Log,
}

async fn grants_taken_away(scene: &Scene) -> Found {
    let work = Work::of(scene).await;
    // What the functions do then depends on nobody else.
    lambda::deliver(false).await;
    let roles = Holder::roles().await;
    let signer = Holder::user(SIGNER).await;
    let tries = roles.iter().map(async |role| {
        let mut tried = try_each(role, &work).await;
        if function(role) == "api" {
            tried.extend(try_each(&signer, &work).await);
        }
        tried
    });
    let tried = AssertUnwindSafe(join_all(tries)).catch_unwind().await;
    // Whatever happened: the next case needs all grants.
    for holder in roles.iter().chain([&signer]) {
        holder.give_back().await;
    }
    lambda::deliver(true).await;
    let tried: Vec<(String, Option<Notice>)> = match tried {
        Ok(tried) => tried.into_iter().flatten().collect(),
        Err(panic) => resume_unwind(panic),
    };
    work.end().await;

    let with = |notice| tried.iter().filter(|(_, found)| *found == notice).map(|(grant, _)| grant).collect::<Vec<_>>();
    let unnoticed = with(None);
    assert!(unnoticed.is_empty(), "nothing failed without {unnoticed:#?}");
    let holders: Vec<Holder> = roles.into_iter().chain([signer]).collect();
    assert_used(&holders);
    unseen::assert_current(&holders);
    let (answers, lines) = (with(Some(Notice::Answer)), with(Some(Notice::Log)));
    assert!(tried.len() > 40, "{} grants", tried.len());
    Found::default()
        .note(format!("of {} none was missed in silence; the log alone told of {lines:?}", answers.len() + lines.len()))
}

/// Takes away each grant in turn, and returns what told of it.
async fn try_each(holder: &Holder, work: &Work<'_>) -> Vec<(String, Option<Notice>)> {
    let function = function(holder);
    works(holder, &function, work).await;
    let mut tried = Vec::new();
    for grant in
        holder.grants().into_iter().filter(|grant| unseen(holder, grant).is_none() && !is_not_refused(holder, grant))
    {
        holder.take_away(&grant).await;
        let since = Timestamp::now();
        let answer = work.try_out(&function).await;
        let notice = match answer {
            Err(_) => Some(Notice::Answer),
            Ok(()) => told_by_the_log(&function, since).await.then_some(Notice::Log),
        };
        holder.give_back().await;
        tried.push((format!("{}: {} on {}", holder.id, grant.action, grant.resource), notice));
    }
    works(holder, &function, work).await;
    tried
}

/// Waits until a function with all its grants does its work: a busy machine may take longer than a function does.
async fn works(holder: &Holder, function: &str, work: &Work<'_>) {
    let what = format!("{} has all its grants and works", holder.id);
    until(&what, WORK_TIMEOUT, async || work.try_out(function).await).await;
}

/// The function of a role, or the user.
fn function(holder: &Holder) -> String {
    holder.id.strip_suffix("Role").map_or_else(|| holder.id.clone(), str::to_lowercase)
}

/// Reports whether the function has logged a denial.
async fn told_by_the_log(function: &str, since: Timestamp) -> bool {
    let start = std::time::Instant::now();
    while start.elapsed() < LOG_TIMEOUT {
        if logs::troubles(function, since).await.iter().any(|line| line.contains("AccessDenied")) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    false
}

/// Checks that each grant was used, but for those that no call on the emulator uses.
fn assert_used(holders: &[Holder]) {
    let calls = decisions();
    let is_used = |holder: &Holder, grant: &Grant| {
        calls.iter().any(|call| call.allowed && holder.made(call) && grant.covers(call))
    };
    for holder in holders {
        for grant in holder.grants() {
            match (is_used(holder, &grant), unseen(holder, &grant)) {
                (false, None) => panic!("no call of {} used {grant:?}", holder.id),
                (true, Some(reason)) => panic!("a call of {} used {grant:?}, though {reason}", holder.id),
                _ => {}
            }
        }
    }
}
