//! The transitions between the states of a job, each with the version that it requires.

use jiff::{SignedDuration, Timestamp};

use super::{Job, JobParts, State};
use crate::{ExportFile, Failure, Hold, Retention, Status, instant::days_after, instant::whole_second};

/// The condition of a transition on the stored job. Every transition makes it false.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// The job is as it was read.
    Read {
        /// The status.
        status: Status,
        /// The fencing token.
        fence: u64,
        /// The time at which the sweep has to look at the job.
        due_at: Option<Timestamp>,
    },
    /// The job is running under the claim with this fencing token, however often its lease was renewed.
    Held {
        /// The fencing token.
        fence: u64,
    },
}

impl Version {
    /// Returns the status that the stored job must have.
    pub const fn status(self) -> Status {
        match self {
            Self::Read { status, .. } => status,
            Self::Held { .. } => Status::Running,
        }
    }

    /// Returns the fencing token that the stored job must have.
    pub const fn fence(self) -> u64 {
        match self {
            Self::Read { fence, .. } | Self::Held { fence } => fence,
        }
    }
}

/// A change of one job's state, to be written if the stored job still has the expected version.
///
/// Only this crate builds one, by the rules of [`Job::claim`], [`Job::mark_unsent`], [`Job::sweep`], [`Job::with_hold`],
/// [`Job::without_hold`] and the methods of
/// [`ClaimedJob`]:
///
/// ```compile_fail
/// use domain::{Job, Transition};
///
/// fn forge(job: Job) -> Transition {
///     Transition { expected: job.version(), next: job }
/// }
/// ```
///
/// `J` is the form in which the job is handed out once the transition has been written: a claim gives a [`ClaimedJob`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a transition has no effect until the jobs table applies it"]
pub struct Transition<J = Job> {
    expected: Version,
    next: J,
}

impl<J: AsRef<Job>> Transition<J> {
    /// Returns the version that the stored job must have.
    pub const fn expected(&self) -> Version {
        self.expected
    }

    /// Returns the job in its new state.
    pub fn next(&self) -> &Job {
        self.next.as_ref()
    }

    /// Returns the change of the organization's number of open jobs: -1, 0 or 1.
    pub fn open_jobs_change(&self) -> i8 {
        let job = self.next();
        let was_open = self.expected.status().is_unfinished() && !job.subject().is_system();
        i8::from(job.is_open()) - i8::from(was_open)
    }

    /// Returns the job, for use once the transition has been written.
    pub fn into_next(self) -> J {
        self.next
    }
}

/// A worker's request to claim a job.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// The present time.
    pub now: Timestamp,
    /// The end of the lease: no later than the invocation's deadline.
    pub lease_until: Timestamp,
    /// The time at which the job's message was put on the queue, by the queue's clock.
    pub sent_at: Timestamp,
}

/// The reason why a job cannot be claimed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimRefused {
    /// Another invocation holds the lease.
    #[error("another invocation holds the job until {until}")]
    Held {
        /// The end of that lease.
        until: Timestamp,
    },
    /// The job has ended.
    #[error("the job has ended: {0}")]
    Ended(Status),
}

/// A job that an invocation has claimed. Only this type has [`complete`](Self::complete), [`fail`](Self::fail) and
/// [`release`](Self::release):
///
/// ```
/// use domain::{Claim, ClaimRefused, ExportFile, Job, Retention, Transition};
///
/// fn run(job: &Job, claim: Claim, file: ExportFile, retention: Retention) -> Result<Transition, ClaimRefused> {
///     let claimed = job.claim(claim)?.into_next();
///     Ok(claimed.complete(file, claim.now, retention))
/// }
/// ```
///
/// A job that was only read cannot be completed:
///
/// ```compile_fail
/// use domain::{Claim, ClaimRefused, ExportFile, Job, Retention, Transition};
///
/// fn run(job: &Job, claim: Claim, file: ExportFile, retention: Retention) -> Result<Transition, ClaimRefused> {
///     Ok(job.complete(file, claim.now, retention))
/// }
/// ```
///
/// Nor does a job become a claimed one without a claim:
///
/// ```compile_fail
/// use domain::{ClaimedJob, Job};
///
/// fn forge(job: Job) -> ClaimedJob {
///     ClaimedJob(job)
/// }
/// ```
#[derive(Debug)]
#[must_use = "a claimed job that is neither finished nor released stays running until its lease expires"]
pub struct ClaimedJob(Job);

/// A transition of a job that no invocation works on, made by the sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swept {
    /// The kind of the transition.
    pub action: SweepAction,
    /// The transition.
    pub transition: Transition,
}

/// The kinds of the sweep's transitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SweepAction {
    /// The job's first message is due: it stays pending, and its message is to be sent.
    Send,
    /// The job's message is lost: it stays pending, and its message is to be sent again.
    Resend,
    /// The job's worker is lost: `running → pending`, and its message is to be sent again.
    Release,
    /// The job's worker is lost and the attempts are used up: `running → failed`.
    Fail,
    /// The job's file has expired: `succeeded → expired`.
    Expire,
}

impl SweepAction {
    /// Reports whether the job's message is to be sent once the transition has been written.
    pub const fn sends(self) -> bool {
        matches!(self, Self::Send | Self::Resend | Self::Release)
    }
}

impl Job {
    /// Claims the job: `pending → running`, or `running → running` once the lease has expired. The claim gets the next
    /// fencing token.
    ///
    /// A job whose attempts are used up can be claimed only by a redrive. A redrive is recognized by its time: it puts
    /// the message on the queue again after the job failed, and nothing else sends a message for a failed job. It gets
    /// all attempts again.
    ///
    /// # Errors
    /// When another lease still holds, or the job has ended.
    pub fn claim(&self, claim: Claim) -> Result<Transition<ClaimedJob>, ClaimRefused> {
        let mut claims_before_redrive = self.0.claims_before_redrive;
        match *self.state() {
            State::Pending { .. } => {}
            State::Running { lease_until, .. } if lease_until <= claim.now => {}
            State::Running { lease_until, .. } => return Err(ClaimRefused::Held { until: lease_until }),
            // `completed_at` is rounded down to the second: a message sent within that second may be older than the
            // failure.
            State::Failed { completed_at, exhausted: true, .. }
                if claim.sent_at.duration_since(completed_at) >= SignedDuration::from_secs(1) =>
            {
                claims_before_redrive = self.fence();
            }
            State::Succeeded { .. } | State::Failed { .. } | State::Expired { .. } => {
                return Err(ClaimRefused::Ended(self.state().name()));
            }
        }
        let state = State::Running { lease_until: claim.lease_until, progress: None };
        let next = Self(JobParts { fence: self.fence() + 1, claims_before_redrive, state, ..self.0.clone() });
        Ok(Transition { expected: self.version(), next: ClaimedJob(next) })
    }

    /// Marks a pending job's message as not sent, so that the sweep sends it at `send_at`. Returns `None` for a job
    /// that is not pending.
    pub fn mark_unsent(&self, send_at: Timestamp) -> Option<Transition> {
        let is_pending = matches!(self.state(), State::Pending { .. });
        is_pending.then(|| self.transition(State::Pending { sent: false, resend_at: send_at }))
    }

    /// Returns the transition that the sweep has to make at `now`, if any. A job gets `max_attempts` claims before the
    /// loss of its worker fails it, and again after a redrive; a message that is sent now counts as lost at
    /// `resend_at`.
    pub fn sweep(&self, now: Timestamp, max_attempts: u32, resend_at: Timestamp) -> Option<Swept> {
        if self.due_at().is_none_or(|due| due > now) {
            return None;
        }
        let pending = State::Pending { sent: true, resend_at };
        let (action, state) = match self.state() {
            State::Pending { sent: false, .. } => (SweepAction::Send, pending),
            State::Pending { sent: true, .. } => (SweepAction::Resend, pending),
            State::Running { .. } if self.attempts() < u64::from(max_attempts) => (SweepAction::Release, pending),
            State::Running { .. } => (SweepAction::Fail, self.failed(Failure::WorkerLost, true, now)),
            State::Succeeded { completed_at, expires_at, file, attempt } => (
                SweepAction::Expire,
                State::Expired {
                    completed_at: *completed_at,
                    expires_at: *expires_at,
                    file: file.clone(),
                    attempt: *attempt,
                },
            ),
            State::Failed { .. } | State::Expired { .. } => return None,
        };
        Some(Swept { action, transition: self.transition(state) })
    }

    /// Sets or replaces the hold on the job's file, so that it does not expire. Returns `None` for a job without a file, or
    /// whose file has expired at `now`.
    pub fn with_hold(&self, hold: Hold, now: Timestamp) -> Option<Transition> {
        let is_there = matches!(self.state(), State::Succeeded { .. }) && self.status(now) == Status::Succeeded;
        let next = || Self(JobParts { hold: Some(hold), ..self.0.clone() });
        is_there.then(|| Transition { expected: self.version(), next: next() })
    }

    /// Releases the hold on the job's file, which then expires at its time. Returns `None` for a job without a hold.
    pub fn without_hold(&self) -> Option<Transition> {
        self.hold()?;
        Some(Transition { expected: self.version(), next: Self(JobParts { hold: None, ..self.0.clone() }) })
    }

    fn transition(&self, state: State) -> Transition {
        Transition { expected: self.version(), next: Self(JobParts { state, ..self.0.clone() }) }
    }

    fn failed(&self, failure: Failure, exhausted: bool, now: Timestamp) -> State {
        State::Failed { completed_at: self.end(now), failure, exhausted }
    }

    /// Returns the time of completion, which is never before the creation: the two times come from different clocks.
    fn end(&self, now: Timestamp) -> Timestamp {
        whole_second(now).max(self.created_at())
    }
}

impl AsRef<Self> for Job {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl AsRef<Job> for ClaimedJob {
    fn as_ref(&self) -> &Job {
        &self.0
    }
}

impl ClaimedJob {
    /// Returns the job as it is while the claim holds.
    pub const fn job(&self) -> &Job {
        &self.0
    }

    /// Returns the condition under which the claim still holds.
    pub const fn version(&self) -> Version {
        Version::Held { fence: self.0.fence() }
    }

    fn end(&self, state: State) -> Transition {
        Transition { expected: self.version(), next: Job(JobParts { state, ..self.0.0.clone() }) }
    }

    /// Completes the job with its file: `running → succeeded`.
    pub fn complete(&self, file: ExportFile, now: Timestamp, retention: Retention) -> Transition {
        let completed_at = self.0.end(now);
        let expires_at = days_after(completed_at, retention.files_days);
        self.end(State::Succeeded { completed_at, expires_at, file, attempt: self.0.fence() })
    }

    /// Fails the job: `running → failed`. `exhausted` states that only its attempts were used up.
    pub fn fail(&self, failure: Failure, exhausted: bool, now: Timestamp) -> Transition {
        self.end(self.0.failed(failure, exhausted, now))
    }

    /// Releases the job for another attempt: `running → pending`. Its message counts as lost at `resend_at`.
    pub fn release(&self, resend_at: Timestamp) -> Transition {
        self.end(State::Pending { sent: true, resend_at })
    }
}
