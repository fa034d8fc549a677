//! The cases, their scheduling, and the table of results.

use std::{
    pin::Pin,
    process::ExitCode,
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use libtest_mimic::{Arguments, Trial};
use serde_json::Value;
use tests::{Stack, grants::assert_no_call_is_beyond, poll::until};
use tokio::{
    runtime::Runtime,
    sync::{OnceCell, RwLock},
};

use crate::{
    proxies::Proxies,
    scene::{DEAD, Found, Scene},
};

pub(crate) type Run = fn(Arc<Scene>) -> Pin<Box<dyn Future<Output = Found>>>;

/// One fault and its expected outcome.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// The fault, in words.
    pub(crate) fault: &'static str,
    /// `true` if it must not run at the same time as others.
    pub(crate) alone: bool,
    pub(crate) run: Run,
}

/// Creates a case that runs beside others, or alone.
macro_rules! case {
    ($name:ident, $fault:literal) => {
        case!($name, $fault, alone = false)
    };
    ($name:ident, $fault:literal, alone = $alone:literal) => {
        $crate::case::Case {
            name: stringify!($name),
            fault: $fault,
            alone: $alone,
            run: |scene| Box::pin(async move { $name(&scene).await }),
        }
    };
}
pub(crate) use case;

static ALONE: RwLock<()> = RwLock::const_new(());
static PROXIES: OnceCell<Proxies> = OnceCell::const_new();
static TABLE: Mutex<Vec<(Case, Found, Duration)>> = Mutex::new(Vec::new());

/// Runs the cases that the command line selects.
pub(crate) fn run(arguments: &Arguments, cases: Vec<Case>) -> ExitCode {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| Runtime::new().expect("a runtime"));
    let trial = |case: Case| {
        Trial::test(case.name, move || {
            runtime.block_on(play(case));
            Ok(())
        })
    };
    // Cases that share the stack run first, so that none waits for a case that runs alone.
    let (alone, shared): (Vec<_>, Vec<_>) = cases.into_iter().partition(|case| case.alone);
    let trials = shared.into_iter().chain(alone).map(trial).collect();
    let conclusion = libtest_mimic::run(arguments, trials);
    if arguments.list {
        return ExitCode::SUCCESS;
    }
    print();
    if conclusion.num_passed > 0 {
        runtime.block_on(drained());
        runtime.block_on(assert_no_call_is_beyond());
    }
    if !conclusion.has_failed() { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

async fn play(case: Case) {
    let proxies = PROXIES.get_or_init(start).await;
    let (_shared, _own);
    if case.alone {
        _own = ALONE.write().await;
    } else {
        _shared = ALONE.read().await;
    }
    let start = Instant::now();
    let scene = Arc::new(Scene { stack: Stack::from_env().await, proxies });
    let found = (case.run)(scene).await;
    TABLE.lock().unwrap().push((case, found, start.elapsed()));
}

/// Starts the proxies and waits for the API behind them.
async fn start() -> Proxies {
    let proxies = Proxies::start();
    let stack = Stack::from_env().await;
    until("the API is ready", Duration::from_secs(60), async || {
        let answer = stack.api.get("/status/readyz", "").await;
        if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    proxies
}

/// Checks that the queue is empty and that the dead-letter queue has exactly the expected messages.
async fn drained() {
    let stack = Stack::from_env().await;
    let queue = &stack.queue;
    let client = &queue.client;
    // A message whose worker was killed comes back when its visibility timeout ends.
    until("the queue is empty", Duration::from_secs(90), async || {
        let all = queue.attributes(&queue.url).await;
        let left: Vec<_> = all.into_iter().filter(|(name, _)| name.as_str().starts_with("ApproximateNumber")).collect();
        if left.iter().all(|(_, count)| count == "0") { Ok(()) } else { Err(left) }
    })
    .await;
    let mut dead = std::collections::BTreeSet::new();
    loop {
        let receive = client.receive_message().queue_url(&queue.dead_letters_url).max_number_of_messages(10);
        let answer = receive.visibility_timeout(60).send().await.unwrap();
        if answer.messages().is_empty() {
            break;
        }
        for letter in answer.messages() {
            let body: Value = serde_json::from_str(letter.body().unwrap_or_default()).expect("a message of ours");
            dead.insert(body["jobId"].as_str().and_then(|id| id.parse().ok()).expect("a job's message"));
        }
    }
    assert_eq!(dead, *DEAD.lock().unwrap(), "the dead letters");
    println!("queue empty; dead letters: {}, as they should be", dead.len());
}

fn print() {
    let table = TABLE.lock().unwrap();
    println!("\n{:<34} {:>3} {:>4} {:>4} {:>6}  what was done", "case", "ok", "fail", "att.", "s");
    for (case, found, time) in table.iter() {
        let Found { succeeded, failed, expired, attempts, note } = found;
        let Case { name, fault, .. } = case;
        let ended = succeeded + expired;
        println!("{name:<34} {ended:>3} {failed:>4} {attempts:>4} {:>6.1}  {fault}", time.as_secs_f64());
        if !note.is_empty() {
            println!("{:<55}  → {note}", "");
        }
    }
}
