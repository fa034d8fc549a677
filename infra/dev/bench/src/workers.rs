//! Two workers that a queue's messages are handed to, as Lambda does it: one message at a time each, deleted once its
//! job is done, and a new process for one that was lost.

use std::{
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    function::{Binary, Function},
    queue::{Delivery, Queue},
    stack::{Stack, variables},
};

/// As many as the template has by default.
pub(crate) const WORKERS: usize = 2;
/// The longest time without an end of any job: longer than a message is hidden, unless its worker was lost too early.
const SILENCE: Duration = Duration::from_secs(400);

/// The way to run workers on a queue.
pub(crate) struct Workers<'a> {
    binary: &'a Binary,
    queue: &'a Queue,
    /// The time after which the worker of a delivery is killed, if it is.
    kill_after: &'a (dyn Fn(&Delivery) -> Option<Duration> + Sync),
}

/// The end of one delivery.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) job: Uuid,
    pub(crate) receives: u32,
    pub(crate) how: How,
    pub(crate) at: Instant,
    /// From the handing over.
    pub(crate) took: Duration,
}

/// The ways in which a delivery ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// The message is deleted.
    Done,
    /// The message returns later.
    Returned,
    /// The worker was killed.
    Killed,
}

impl<'a> Workers<'a> {
    pub(crate) fn new(stack: &'a Stack, queue: &'a Queue) -> Result<Self> {
        Ok(Self { binary: stack.binary("worker")?, queue, kill_after: &|_| None })
    }

    /// Has workers killed.
    pub(crate) fn killed(self, after: &'a (dyn Fn(&Delivery) -> Option<Duration> + Sync)) -> Self {
        Self { kill_after: after, ..self }
    }

    /// Runs the workers, and shows each end of a delivery to `see` until that returns `false`.
    pub(crate) fn run(&self, mut see: impl FnMut(&Ended) -> Result<bool>) -> Result<()> {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let (sender, ended) = channel();
            let workers: Vec<_> = (0..WORKERS)
                .map(|_| {
                    let sender = sender.clone();
                    scope.spawn(|| self.work(sender, &stop))
                })
                .collect();
            drop(sender);
            let seen = follow(&ended, &mut see);
            stop.store(true, Ordering::Relaxed);
            for worker in workers {
                worker.join().ok().context("a thread panicked")??;
            }
            seen
        })
    }

    fn work(&self, ended: Sender<Ended>, stop: &AtomicBool) -> Result<()> {
        let receiver = self.queue.receiver()?;
        let mut worker = self.start()?;
        while !stop.load(Ordering::Relaxed) {
            let Some(delivery) = receiver.receive()? else { continue };
            let start = Instant::now();
            let answer = match (self.kill_after)(&delivery) {
                Some(after) => worker.invoke_or_kill(&delivery.event, after)?,
                None => Some(worker.invoke(&delivery.event)?),
            };
            let (how, at) = match answer {
                None => (How::Killed, Instant::now()),
                Some(answer) => {
                    let returned: Value = serde_json::from_slice(&answer.body)?;
                    let is_done = returned["batchItemFailures"] == json!([]);
                    (if is_done { How::Done } else { How::Returned }, answer.at)
                }
            };
            match how {
                How::Done => receiver.delete(&delivery)?,
                How::Returned => {}
                How::Killed => worker = self.start()?,
            }
            let Delivery { job, receives, .. } = delivery;
            // Nobody listens any more if enough was seen.
            let _ = ended.send(Ended { job, receives, how, at, took: at - start });
        }
        Ok(())
    }

    fn start(&self) -> Result<Function> {
        Function::start(self.binary, &variables(&self.queue.url))
    }
}

fn follow(ended: &Receiver<Ended>, see: &mut impl FnMut(&Ended) -> Result<bool>) -> Result<()> {
    loop {
        match ended.recv_timeout(SILENCE) {
            Ok(ended) if see(&ended)? => {}
            // The workers have ended by themselves: their own errors say why.
            Ok(_) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => bail!("no job ended for {} s", SILENCE.as_secs()),
        }
    }
}
