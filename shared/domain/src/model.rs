//! An exhaustive search through the life of one job.
//!
//! Every change of the job is a [`Transition`], written under the condition that the jobs table uses: the stored job
//! has the expected [`Version`](super::Version). So the search covers exactly what can be written. The model around it
//! has a queue that delivers at least once and counts receives, at most two workers, which may renew their lease, fail,
//! crash or continue long after it, the sweep, senders of messages, a redrive, and an object store in which each attempt has a key
//! of its own, as in the `objects` crate. Reading a job, writing it and sending its message are separate steps, and all other steps are tried
//! between them.
//!
//! Only differences of times matter, so each state is shifted to the present moment 0, and all past times are equal.
//! That makes the number of states finite; the bounds on faults, claims and messages keep it small.
//!
//! A message is assumed to be sent within a second of the write before it. A slower one may arrive after the job has
//! failed by an earlier message, and then counts as a redrive: the job gets another attempt, which may still succeed.
//!
//! The search checks in every state that a succeeded job keeps the file of the attempt that completed it, that an
//! exhausted job runs again only after a redrive, and that the job ends if no more faults happen.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Claim, ClaimedJob, ExportFile, ExportRequest, Failure, Granularity, Job, JobParts, Retention, State, Subject,
    SweepAction, Swept, TimeRange, Totals, Transition,
};

/// The present moment of each state.
const NOW: i64 = 0;
const LEASE: i64 = 1;
const VISIBILITY: i64 = 2;
const RESEND_AFTER: i64 = 2;
const MAX_RECEIVES: u32 = 2;
/// The search stops at this many claims, and messages on the queue.
const MAX_CLAIMS: u64 = 3;
const MAX_MESSAGES: usize = 2;
const RETENTION: Retention = Retention { rollups_months: 13, files_days: 90 };
/// Files expire after the end of the search.
const EXPIRY: i64 = 90 * 86_400;

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Message {
    visible_at: i64,
    sent_at: i64,
    receives: u32,
}

/// A worker's invocation, by its next step.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Worker {
    /// Has read the job and will claim it.
    Claiming { read: Seen, delivery: Message },
    /// Holds the job and will store the file.
    Working { held: Seen, delivery: Message },
    /// Has stored the file and will complete the job.
    Stored { held: Seen, delivery: Message },
}

/// A job as read, reduced to the fields that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Seen {
    Pending { fence: u64, redriven_at: u64, sent: bool, resend_at: i64 },
    Running { fence: u64, redriven_at: u64, lease_until: i64 },
    Succeeded { fence: u64 },
    Failed { fence: u64, redriven_at: u64, completed_at: i64, exhausted: bool },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    job: Seen,
    queue: Vec<Message>,
    /// `true` if a dead letter exists.
    dead: bool,
    workers: Vec<Worker>,
    /// The sweep, between reading the job and writing it.
    sweeping: Option<Seen>,
    /// The sender, between writing the job and sending its message: the creator of the job, or the sweep.
    sending: Option<Seen>,
    /// The fencing tokens of the attempts whose objects are in the store.
    objects: BTreeSet<u64>,
    /// `true` if an exhausted job was redriven.
    redriven: bool,
    /// The number of failures, crashes and duplicates still to come.
    faults_left: u32,
    redrive_left: bool,
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn file() -> ExportFile {
    ExportFile {
        software: None,
        checksum: String::new(),
        bytes: 0,
        row_count: 0,
        totals: Totals::default(),
        rounding_difference: None,
        completeness: None,
        days: None,
        tag: None,
    }
}

impl Seen {
    fn of(job: &Job) -> Self {
        let fence = job.fence();
        let redriven_at = fence - job.attempts();
        match job.state() {
            State::Pending { sent, resend_at } => {
                Self::Pending { fence, redriven_at, sent: *sent, resend_at: resend_at.as_second() }
            }
            State::Running { lease_until, .. } => {
                Self::Running { fence, redriven_at, lease_until: lease_until.as_second() }
            }
            State::Succeeded { .. } | State::Expired { .. } => Self::Succeeded { fence },
            State::Failed { completed_at, exhausted, .. } => {
                Self::Failed { fence, redriven_at, completed_at: completed_at.as_second(), exhausted: *exhausted }
            }
        }
    }

    fn job(self) -> Job {
        let (fence, claims_before_redrive, state) = match self {
            Self::Pending { fence, redriven_at, sent, resend_at } => {
                (fence, redriven_at, State::Pending { sent, resend_at: at(resend_at) })
            }
            Self::Running { fence, redriven_at, lease_until } => {
                (fence, redriven_at, State::Running { lease_until: at(lease_until), progress: None })
            }
            Self::Succeeded { fence } => {
                let (completed_at, expires_at) = (at(0), at(EXPIRY));
                (fence, 0, State::Succeeded { completed_at, expires_at, file: file(), attempt: fence })
            }
            Self::Failed { fence, redriven_at, completed_at, exhausted } => (
                fence,
                redriven_at,
                State::Failed { completed_at: at(completed_at), failure: Failure::UsageUnavailable, exhausted },
            ),
        };
        let request = ExportRequest {
            range: TimeRange::new(at(0), at(1)).unwrap(),
            granularity: Granularity::Daily,
            models: None,
        };
        let subject = Subject::new("", "");
        let nil = Uuid::nil();
        let id = nil.into();
        let org = nil.into();
        let created_at = at(0);
        let request_id = None;
        let warnings = Vec::new();
        Job::restore(JobParts {
            id,
            org,
            request,
            version: None,
            note: None,
            subject,
            created_at,
            request_id,
            warnings,
            fence,
            claims_before_redrive,
            hold: None,
            state,
        })
    }

    /// The job as its holder has it, made by the claim that led to it.
    fn held(self) -> ClaimedJob {
        let Self::Running { fence, redriven_at, lease_until } = self else { panic!("{self:?} is not held") };
        let before = Self::Pending { fence: fence - 1, redriven_at, sent: true, resend_at: NOW };
        let claim = Claim { now: at(NOW), lease_until: at(lease_until), sent_at: at(NOW) };
        before.job().claim(claim).unwrap().into_next()
    }

    const fn fence(self) -> u64 {
        match self {
            Self::Pending { fence, .. }
            | Self::Running { fence, .. }
            | Self::Succeeded { fence }
            | Self::Failed { fence, .. } => fence,
        }
    }

    const fn has_ended(self) -> bool {
        matches!(self, Self::Succeeded { .. } | Self::Failed { .. })
    }
}

impl World {
    /// A job that was just created: queued, so that its creator sends the message, or deferred.
    fn new(is_queued: bool) -> Self {
        let job = Seen::Pending { fence: 0, redriven_at: 0, sent: is_queued, resend_at: RESEND_AFTER };
        Self {
            job,
            queue: Vec::new(),
            dead: false,
            workers: Vec::new(),
            sweeping: None,
            sending: is_queued.then_some(job),
            objects: BTreeSet::new(),
            redriven: false,
            faults_left: 1,
            redrive_left: true,
        }
    }

    /// The conditional write of the jobs table.
    fn apply<J: AsRef<Job>>(&mut self, transition: &Transition<J>) -> bool {
        let next = Seen::of(transition.next());
        let holds = self.job.job().has(transition.expected());
        if holds {
            let reruns = matches!(self.job, Seen::Failed { .. }) && matches!(next, Seen::Running { .. });
            assert!(!reruns || self.redriven, "a failed job ran again without a redrive: {self:?}");
            assert!(!matches!(self.job, Seen::Succeeded { .. }), "a succeeded job changed: {self:?}");
            self.job = next;
        }
        holds
    }

    /// Stores an attempt's object, after the removal of those of earlier attempts.
    fn store(&mut self, fence: u64) {
        self.objects.retain(|there| *there >= fence);
        self.objects.insert(fence);
    }

    /// A sender's step: its message arrives or not, and the send succeeds or not.
    fn dispatch(&mut self, arrives: bool, succeeds: bool) {
        let Some(written) = self.sending.take() else { return };
        if arrives {
            self.send();
        }
        if !succeeds && let Some(unsent) = written.job().mark_unsent(at(NOW)) {
            self.apply(&unsent);
        }
    }

    fn send(&mut self) {
        self.queue.push(Message { visible_at: NOW, sent_at: NOW, receives: 0 });
    }

    fn give_back(&mut self, delivery: &Message, delay: i64) {
        // The receipt handle has expired once the message is visible or delivered again.
        let mine = self.queue.iter_mut().find(|message| *message == delivery);
        if let Some(message) = mine {
            message.visible_at = delay;
        }
    }

    fn acknowledge(&mut self, delivery: &Message) {
        if let Some(place) = self.queue.iter().position(|message| message == delivery) {
            self.queue.remove(place);
        }
    }

    fn deliver(&mut self, place: usize) {
        if self.queue[place].receives >= MAX_RECEIVES {
            self.queue.remove(place);
            self.dead = true;
            return;
        }
        let message = &mut self.queue[place];
        message.receives += 1;
        message.visible_at = VISIBILITY;
        let delivery = message.clone();
        self.workers.push(Worker::Claiming { read: self.job, delivery });
    }

    /// The next step of a worker without a fault.
    fn work(&mut self, place: usize) {
        match self.workers.remove(place) {
            Worker::Claiming { read, delivery } => {
                let claim = Claim { now: at(NOW), lease_until: at(LEASE), sent_at: at(delivery.sent_at) };
                match read.job().claim(claim) {
                    Ok(transition) => {
                        if self.apply(&transition) {
                            self.workers.push(Worker::Working { held: self.job, delivery });
                        } else {
                            self.give_back(&delivery, 1);
                        }
                    }
                    Err(_) if read.has_ended() || delivery.receives >= MAX_RECEIVES => self.acknowledge(&delivery),
                    Err(_) => self.give_back(&delivery, LEASE),
                }
            }
            Worker::Working { held, delivery } => {
                self.store(held.fence());
                self.workers.push(Worker::Stored { held, delivery });
            }
            Worker::Stored { held, delivery } => {
                if self.apply(&held.held().complete(file(), at(NOW), RETENTION)) {
                    self.acknowledge(&delivery);
                } else {
                    // Its claim is lost, and no job will ever name its object.
                    self.objects.remove(&held.fence());
                    self.give_back(&delivery, 1);
                }
            }
        }
    }

    /// The step of a worker whose attempt fails with a transient error.
    fn fail(&mut self, place: usize) {
        match self.workers.remove(place) {
            Worker::Claiming { delivery, .. } => self.give_back(&delivery, 1),
            Worker::Working { held, delivery } | Worker::Stored { held, delivery } => {
                let held_job = held.held();
                let last = delivery.receives >= MAX_RECEIVES;
                let next = if last {
                    held_job.fail(Failure::UsageUnavailable, true, at(NOW))
                } else {
                    held_job.release(at(RESEND_AFTER))
                };
                self.apply(&next);
                self.give_back(&delivery, i64::from(!last));
            }
        }
    }

    /// Renews the lease of a working worker's claim, and the time at which its message comes back, once time has passed;
    /// nothing if the claim is lost.
    fn renew(&mut self, place: usize) {
        let Worker::Working { held, delivery } = self.workers[place].clone() else { return };
        if !self.job.job().has(held.held().version()) {
            return;
        }
        match &mut self.job {
            Seen::Running { lease_until, .. } if *lease_until < LEASE => *lease_until = LEASE,
            _ => return,
        }
        let mut renewed = delivery.clone();
        renewed.visible_at = LEASE;
        self.give_back(&delivery, LEASE);
        self.workers[place] = Worker::Working { held: self.job, delivery: renewed };
    }

    fn due(&self) -> bool {
        self.job.job().due_at().is_some_and(|due| due <= at(NOW))
    }

    fn sweep(&mut self) {
        let Some(read) = self.sweeping.take() else {
            self.sweeping = self.due().then_some(self.job);
            return;
        };
        let Some(Swept { action, transition }) = read.job().sweep(at(NOW), MAX_RECEIVES, at(RESEND_AFTER)) else {
            return;
        };
        if self.apply(&transition) {
            self.dead |= action == SweepAction::Fail;
            if action.sends() {
                self.sending = Some(self.job);
            }
        }
    }

    /// A second passes.
    fn tick(&mut self) {
        self.change_times(|at| at - 1);
        // A message is sent within a second of the write, or never; see above.
        self.sending = None;
    }

    /// Merges states that differ only in what no longer matters.
    fn settle(&mut self) {
        // All past times are equal, but for one second after a failure, which separates messages sent before and after
        // it.
        self.change_times(|at| at.max(NOW - 1));
        for message in self.messages() {
            message.visible_at = message.visible_at.max(NOW);
        }
        if !matches!(self.job, Seen::Failed { .. }) {
            // These messages were sent before any later failure.
            for message in self.messages() {
                message.sent_at = NOW;
            }
        }
        self.queue.sort();
        self.workers.sort();
    }

    fn change_times(&mut self, change: impl Fn(i64) -> i64) {
        for message in self.messages() {
            message.visible_at = change(message.visible_at);
            message.sent_at = change(message.sent_at);
        }
        let held = self.workers.iter_mut().map(|worker| match worker {
            Worker::Claiming { read, .. } => read,
            Worker::Working { held, .. } | Worker::Stored { held, .. } => held,
        });
        for seen in held.chain(&mut self.sweeping).chain(&mut self.sending).chain([&mut self.job]) {
            match seen {
                Seen::Pending { resend_at: at, .. }
                | Seen::Running { lease_until: at, .. }
                | Seen::Failed { completed_at: at, .. } => *at = change(*at),
                Seen::Succeeded { .. } => {}
            }
        }
    }

    fn messages(&mut self) -> impl Iterator<Item = &mut Message> {
        let delivered = self.workers.iter_mut().map(|worker| match worker {
            Worker::Claiming { delivery, .. } | Worker::Working { delivery, .. } | Worker::Stored { delivery, .. } => {
                delivery
            }
        });
        self.queue.iter_mut().chain(delivered)
    }

    /// All states that one step leads to.
    fn next(&self) -> Vec<Self> {
        let mut worlds = Vec::new();
        let mut step = |change: &dyn Fn(&mut Self)| {
            let mut world = self.clone();
            change(&mut world);
            if world.job.fence() <= MAX_CLAIMS && world.queue.len() <= MAX_MESSAGES {
                world.settle();
                worlds.push(world);
            }
        };
        step(&Self::tick);
        for place in 0..self.queue.len() {
            if self.queue[place].visible_at <= NOW && self.workers.len() < 2 {
                step(&|world| world.deliver(place));
            }
            if self.faults_left > 0 {
                step(&|world| {
                    world.faults_left -= 1;
                    world.queue.push(world.queue[place].clone());
                });
            }
        }
        for place in 0..self.workers.len() {
            step(&|world| world.work(place));
            if matches!(self.workers[place], Worker::Working { .. }) {
                step(&|world| world.renew(place));
            }
            if self.faults_left > 0 {
                step(&|world| {
                    world.faults_left -= 1;
                    world.fail(place);
                });
                // Killed, between any two steps.
                step(&|world| {
                    world.faults_left -= 1;
                    world.workers.remove(place);
                });
            }
        }
        if self.sending.is_some() {
            step(&|world| world.dispatch(true, true));
            if self.faults_left > 0 {
                // Lost by the queue or by a crash of the sender, refused, or sent with the answer lost.
                for (arrives, succeeds) in [(false, true), (false, false), (true, false)] {
                    step(&|world| {
                        world.faults_left -= 1;
                        world.dispatch(arrives, succeeds);
                    });
                }
            }
        }
        step(&Self::sweep);
        if self.dead && self.redrive_left {
            step(&|world| {
                world.dead = false;
                world.redrive_left = false;
                world.redriven |= matches!(world.job, Seen::Failed { .. });
                world.send();
            });
        }
        worlds
    }

    /// The next step if no more faults happen and nothing is delayed.
    fn calm(&self) -> Self {
        let mut world = self.clone();
        if !world.workers.is_empty() {
            world.work(0);
        } else if world.sending.is_some() {
            world.dispatch(true, true);
        } else if let Some(place) = world.queue.iter().position(|message| message.visible_at <= NOW) {
            world.deliver(place);
        } else if world.sweeping.is_some() || world.due() {
            world.sweep();
        } else {
            world.tick();
        }
        world.settle();
        world
    }

    /// A hash that identifies the state.
    fn mark(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

/// Follows the steps without faults from `world` until the job ends, or to a state from which it is known to end.
fn assert_ends(world: &World, ends: &mut HashSet<u64>) {
    let mut way = Vec::new();
    let mut current = world.clone();
    while !current.job.has_ended() && !ends.contains(&current.mark()) {
        assert!(way.len() < 100, "the job does not end without more faults: {world:?}");
        way.push(current.mark());
        current = current.calm();
    }
    ends.extend(way);
}

#[test]
fn nothing_is_lost_nothing_is_done_twice_and_every_job_ends() {
    let mut seen = HashSet::new();
    let mut ends = HashSet::new();
    let mut found = HashMap::new();
    let mut open = vec![World::new(true), World::new(false)];
    while let Some(world) = open.pop() {
        if !seen.insert(world.mark()) {
            continue;
        }
        if let Seen::Succeeded { fence } = world.job {
            assert!(world.objects.contains(&fence), "the file of the attempt that completed is not there: {world:?}");
        }
        assert_ends(&world, &mut ends);
        for (name, holds) in [
            ("success in the first attempt", matches!(world.job, Seen::Succeeded { fence: 1 })),
            ("success after a redrive", matches!(world.job, Seen::Succeeded { .. }) && world.redriven),
            ("a dead letter", matches!(world.job, Seen::Failed { exhausted: true, .. }) && world.dead),
            ("two workers", world.workers.len() == 2),
            ("an unsent message", matches!(world.job, Seen::Pending { sent: false, resend_at: NOW, .. })),
        ] {
            *found.entry(name).or_insert(0) += u32::from(holds);
        }
        open.extend(world.next());
    }
    let states = seen.len();
    assert!(found.values().all(|&times| times > 0), "the search missed a kind of state: of {states} states, {found:?}");
}
