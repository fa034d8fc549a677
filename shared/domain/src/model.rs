//! A search through everything that can happen to one job.
//!
//! The transitions are the ones that the functions use: [`Job::claim`], [`Job::sweep`], [`ClaimedJob::complete`] and so
//! on. Around them stands a model of the world: a queue that delivers at least once and counts receives, at most two
//! workers, which may fail, crash or wake long after their lease, a sweep, a redrive, and an object store with the
//! conditional write of [`objects`]. Reading a job and writing it are separate steps, with everything else between
//! them. From each state that can be reached, all steps are tried.
//!
//! Only differences of times matter, so each state is brought to the present moment 0, and what is past is all alike:
//! that makes the states finite in number. The bounds on faults, claims and messages keep the number small.
//!
//! Checked of every state: a succeeded job has the file of the attempt that completed it, for good; an exhausted job runs
//! again by a redrive alone; and if no more faults happen, the job ends.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Claim, ClaimedJob, ExportFile, ExportRequest, Failure, Granularity, Job, State, Subject, Swept, TimeRange, Totals,
};

/// The moment at which each state stands.
const NOW: i64 = 0;
const LEASE: i64 = 1;
const VISIBILITY: i64 = 2;
const RESEND_AFTER: i64 = 2;
const MOST_RECEIVES: u32 = 2;
/// The search goes no further than this many claims and messages at once.
const MOST_CLAIMS: u64 = 3;
const MOST_MESSAGES: usize = 2;

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Message {
    visible_at: i64,
    sent_at: i64,
    receives: u32,
}

/// A worker's invocation: what it has read or holds, and what it does next.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Worker {
    /// Read the job; will claim it if it is still as it was.
    Claiming { read: Seen, delivery: Message },
    /// Holds it; will store the file.
    Working { held: Seen, delivery: Message },
    /// Stored the file; will complete the job.
    Stored { held: Seen, delivery: Message },
}

/// A job as read, in the parts that differ: status and times, and the fencing token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Seen {
    Pending { fence: u64, resend_at: i64 },
    Running { fence: u64, lease_until: i64 },
    Succeeded { fence: u64 },
    Failed { fence: u64, completed_at: i64, exhausted: bool },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    job: Seen,
    queue: Vec<Message>,
    /// Whether there is a dead letter.
    dead: bool,
    workers: Vec<Worker>,
    /// The sweep, between reading the job and writing it.
    sweeping: Option<Seen>,
    /// The fencing token of the attempt whose file is at the final key.
    object: Option<u64>,
    /// Whether an exhausted job was redriven.
    redriven: bool,
    /// Failures, crashes and duplicates yet to come.
    faults_left: u32,
    redrive_left: bool,
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn file() -> ExportFile {
    ExportFile { checksum: String::new(), bytes: 0, row_count: 0, totals: Totals::default(), rounding_difference: None }
}

impl Seen {
    fn of(job: &Job) -> Self {
        let fence = job.fence;
        match &job.state {
            State::Pending { resend_at, .. } => Self::Pending { fence, resend_at: resend_at.as_second() },
            State::Running { lease_until, .. } => Self::Running { fence, lease_until: lease_until.as_second() },
            State::Succeeded { .. } | State::Expired { .. } => Self::Succeeded { fence },
            State::Failed { completed_at, exhausted, .. } => {
                Self::Failed { fence, completed_at: completed_at.as_second(), exhausted: *exhausted }
            }
        }
    }

    fn job(self) -> Job {
        let (fence, state) = match self {
            Self::Pending { fence, resend_at } => (fence, State::Pending { sent: true, resend_at: at(resend_at) }),
            Self::Running { fence, lease_until } => {
                (fence, State::Running { lease_until: at(lease_until), progress: None })
            }
            Self::Succeeded { fence } => (fence, State::Succeeded { completed_at: at(0), file: file() }),
            Self::Failed { fence, completed_at, exhausted } => {
                (fence, State::Failed { completed_at: at(completed_at), failure: Failure::UsageUnavailable, exhausted })
            }
        };
        let request = ExportRequest {
            range: TimeRange::new(at(0), at(1)).unwrap(),
            granularity: Granularity::Daily,
            models: None,
        };
        let subject = Subject { issuer: String::new(), name: String::new() };
        let nil = Uuid::nil();
        Job { fence, state, ..Job::new(nil.into(), nil.into(), request, subject, at(0), at(0)) }
    }

    fn held(self) -> ClaimedJob {
        ClaimedJob::assumed(self.job())
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
    /// A job that was just created; `sent` if its message was.
    fn new(sent: bool) -> Self {
        let message = Message { visible_at: 0, sent_at: 0, receives: 0 };
        Self {
            job: Seen::Pending { fence: 0, resend_at: RESEND_AFTER },
            queue: if sent { vec![message] } else { Vec::new() },
            dead: false,
            workers: Vec::new(),
            sweeping: None,
            object: None,
            redriven: false,
            faults_left: 1,
            redrive_left: true,
        }
    }

    /// The conditional write of the jobs table.
    fn replace(&mut self, read: Seen, next: &Job) -> bool {
        let next = Seen::of(next);
        let holds = self.job == read;
        if holds {
            let reruns = matches!(read, Seen::Failed { .. }) && matches!(next, Seen::Running { .. });
            assert!(!reruns || self.redriven, "a failed job ran again without a redrive: {self:?}");
            assert!(!matches!(read, Seen::Succeeded { .. }), "a succeeded job changed: {self:?}");
            self.job = next;
        }
        holds
    }

    /// The conditional write of the object store: an empty place, or that of an earlier attempt.
    fn store(&mut self, fence: u64) -> bool {
        let allowed = self.object.is_none_or(|there| there <= fence);
        if allowed {
            self.object = Some(fence);
        }
        allowed
    }

    fn send(&mut self) {
        self.queue.push(Message { visible_at: NOW, sent_at: NOW, receives: 0 });
    }

    fn give_back(&mut self, delivery: &Message, delay: i64) {
        // A message that became visible meanwhile, or was delivered again, is out of this worker's hands.
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
        if self.queue[place].receives >= MOST_RECEIVES {
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

    /// The next step of a worker, when all goes well.
    fn work(&mut self, place: usize) {
        match self.workers.remove(place) {
            Worker::Claiming { read, delivery } => {
                let claim = Claim { now: at(NOW), lease_until: at(LEASE), sent_at: at(delivery.sent_at) };
                match read.job().claim(claim) {
                    Ok(claimed) => {
                        if self.replace(read, claimed.job()) {
                            self.workers.push(Worker::Working { held: self.job, delivery });
                        } else {
                            self.give_back(&delivery, 1);
                        }
                    }
                    Err(_) if read.has_ended() || delivery.receives >= MOST_RECEIVES => self.acknowledge(&delivery),
                    Err(_) => self.give_back(&delivery, LEASE),
                }
            }
            Worker::Working { held, delivery } => {
                if self.store(held.fence()) {
                    self.workers.push(Worker::Stored { held, delivery });
                } else {
                    self.give_back(&delivery, 1);
                }
            }
            Worker::Stored { held, delivery } => {
                if self.replace(held, &held.held().complete(file(), at(NOW))) {
                    self.acknowledge(&delivery);
                } else {
                    self.give_back(&delivery, 1);
                }
            }
        }
    }

    /// The step of a worker whose attempt fails in a way that can pass.
    fn fail(&mut self, place: usize) {
        match self.workers.remove(place) {
            Worker::Claiming { delivery, .. } => self.give_back(&delivery, 1),
            Worker::Working { held, delivery } | Worker::Stored { held, delivery } => {
                let held_job = held.held();
                let last = delivery.receives >= MOST_RECEIVES;
                let next = if last {
                    held_job.fail(Failure::UsageUnavailable, true, at(NOW))
                } else {
                    held_job.release(at(RESEND_AFTER))
                };
                self.replace(held, &next);
                self.give_back(&delivery, i64::from(!last));
            }
        }
    }

    fn due(&self) -> bool {
        self.job.job().due_at().is_some_and(|due| due <= at(NOW))
    }

    fn sweep(&mut self) {
        let Some(read) = self.sweeping.take() else {
            self.sweeping = self.due().then_some(self.job);
            return;
        };
        let swept = read.job().sweep(at(NOW), MOST_RECEIVES, at(RESEND_AFTER));
        match swept {
            Some(Swept::Sent(next) | Swept::Resent(next) | Swept::Released(next)) => {
                if self.replace(read, &next) {
                    self.send();
                }
            }
            Some(Swept::Failed(next)) => {
                self.replace(read, &next);
            }
            // 90 days are longer than this world lasts.
            Some(Swept::Expired(_)) | None => {}
        }
    }

    /// A second passes.
    fn tick(&mut self) {
        self.change_times(|at| at - 1);
    }

    /// Forgets what makes no difference any more.
    fn settle(&mut self) {
        // All that is past is over; only a failure is remembered for one second more, to tell what was sent after it.
        self.change_times(|at| at.max(NOW - 1));
        for message in self.messages() {
            message.visible_at = message.visible_at.max(NOW);
        }
        if !matches!(self.job, Seen::Failed { .. }) {
            // What is on its way now was sent before any failure to come.
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
        for seen in held.chain(&mut self.sweeping).chain([&mut self.job]) {
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

    /// Every world that one step leads to.
    fn next(&self) -> Vec<Self> {
        let mut worlds = Vec::new();
        let mut step = |change: &dyn Fn(&mut Self)| {
            let mut world = self.clone();
            change(&mut world);
            if world.job.fence() <= MOST_CLAIMS && world.queue.len() <= MOST_MESSAGES {
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

    /// The one step that comes next when nothing more goes wrong and everything is prompt.
    fn calm(&self) -> Self {
        let mut world = self.clone();
        if !world.workers.is_empty() {
            world.work(0);
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

    /// What tells this state from all others.
    fn mark(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

/// Follows the calm steps from `world` until the job ends, or until a state that is known to end.
fn assert_ends(world: &World, ends: &mut HashSet<u64>) {
    let mut way = Vec::new();
    let mut current = world.clone();
    while !current.job.has_ended() && !ends.contains(&current.mark()) {
        assert!(way.len() < 100, "the job does not end, though nothing more goes wrong: {world:?}");
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
            let whose = "the file is not that of the attempt that completed the job";
            assert_eq!(world.object, Some(fence), "{whose}: {world:?}");
        }
        assert_ends(&world, &mut ends);
        for (name, holds) in [
            ("success in the first attempt", matches!(world.job, Seen::Succeeded { fence: 1 })),
            ("success after a redrive", matches!(world.job, Seen::Succeeded { .. }) && world.redriven),
            ("a dead letter", matches!(world.job, Seen::Failed { exhausted: true, .. }) && world.dead),
            ("two workers", world.workers.len() == 2),
        ] {
            *found.entry(name).or_insert(0) += u32::from(holds);
        }
        open.extend(world.next());
    }
    let states = seen.len();
    assert!(found.values().all(|&times| times > 0), "the search has lost its way: of {states} states, {found:?}");
}
