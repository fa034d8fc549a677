//! An export job and its life:
//!
//! ```text
//!             claim              complete              expire
//!  pending ──────────▶ running ───────────▶ succeeded ────────▶ expired
//!     ▲                 │ │ ▲ ▲
//!     └──── release ────┘ │ │ └─ claim, once the lease is over
//!                         │ └─── claim by a redrive ──┐
//!                         └─ fail ─▶ failed ──────────┘ (only when its attempts were used up)
//! ```
//!
//! No other transition exists. A transition is a function from one stage to the next; the jobs table carries it out as
//! one conditional write that checks the state it leaves. A job that was claimed is another type than one that was only
//! read: finishing a job without a claim does not compile. What the sweep may do with a job that nobody works on is
//! [`Job::sweep`]: the same transitions, without a claim.

use jiff::{SignedDuration, Timestamp};

use super::{ExportFile, ExportRequest, JobId, OrgId, Progress, Status, Subject, failure::Failure, range::days_after};

/// How long a finished file is kept, in days of 24 hours. The bucket's lifecycle rule has the same number.
pub const FILE_KEPT_DAYS: i32 = 90;

/// One request for one CSV, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The job's own id.
    pub id: JobId,
    /// The organization whose usage it exports.
    pub org: OrgId,
    /// What was asked for.
    pub request: ExportRequest,
    /// Who asked.
    pub subject: Subject,
    /// When it was accepted; whole seconds.
    pub created_at: Timestamp,
    /// What the reader of the file ought to know about the range.
    pub warnings: Vec<String>,
    /// The number of claims so far. The value after a claim is that claim's fencing token.
    pub fence: u64,
    /// Where it stands.
    pub state: State,
}

/// Where a job stands, with what belongs to that state alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Waits for a worker.
    Pending {
        /// Whether its message was put on the queue.
        sent: bool,
        /// When its message is given up for lost and sent again or, if it was not sent yet, sent.
        resend_at: Timestamp,
    },
    /// Held by the invocation that has the current fencing token.
    Running {
        /// Until when the claim holds.
        lease_until: Timestamp,
        /// How far its holder has said it is.
        progress: Option<Progress>,
    },
    /// The file is complete.
    Succeeded {
        /// When it was completed.
        completed_at: Timestamp,
        /// The file's facts.
        file: ExportFile,
    },
    /// Ended without a file.
    Failed {
        /// When it was given up.
        completed_at: Timestamp,
        /// Why.
        failure: Failure,
        /// Whether its attempts were used up, so that with more of them it might have succeeded. A redrive of its dead
        /// letter may then run it again.
        exhausted: bool,
    },
    /// The file was there and its time is over.
    Expired {
        /// When it was completed.
        completed_at: Timestamp,
        /// The facts of the file that was.
        file: ExportFile,
    },
}

/// A worker invocation's wish to run a job.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// The present time.
    pub now: Timestamp,
    /// The end of the lease: no later than the invocation's deadline.
    pub lease_until: Timestamp,
    /// When the message that asks for the job was put on the queue, by the queue's clock.
    pub sent_at: Timestamp,
}

/// Why a job could not be claimed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimRefused {
    /// Another invocation holds it.
    #[error("another invocation holds the job until {until}")]
    Held {
        /// The end of that lease.
        until: Timestamp,
    },
    /// It has ended.
    #[error("the job has ended: {0}")]
    Ended(Status),
}

/// A job that this invocation holds. Only this type can be completed, failed or released.
#[derive(Debug)]
#[must_use = "a claimed job that is neither finished nor released stays running until its lease is over"]
pub struct ClaimedJob(Job);

/// What the sweep does with a job that nobody works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Swept {
    /// It had no message, and its time to be sent has come: the job, with the next time to look.
    Sent(Job),
    /// Its message is lost: the job, with the next time to look, is sent again.
    Resent(Job),
    /// Its worker is lost: `running → pending`, and it is sent again.
    Released(Job),
    /// Its worker is lost, and it has been tried often enough: `running → failed`.
    Failed(Job),
    /// Its file's time is over: `succeeded → expired`.
    Expired(Job),
}

impl Job {
    /// A new job: pending, never claimed. Its message is given up for lost at `resend_at`.
    pub fn new(
        id: JobId,
        org: OrgId,
        request: ExportRequest,
        subject: Subject,
        now: Timestamp,
        resend_at: Timestamp,
    ) -> Self {
        let warnings = request.range.warnings(now);
        let state = State::Pending { sent: true, resend_at };
        Self { id, org, request, subject, created_at: whole_second(now), warnings, fence: 0, state }
    }

    /// The state's name at `now`. A file past its time counts as expired, whether or not the sweep has been there:
    /// the bucket's lifecycle does not run on the second.
    pub fn status(&self, now: Timestamp) -> Status {
        match &self.state {
            State::Succeeded { .. } if self.expires_at().is_some_and(|expiry| expiry <= now) => Status::Expired,
            state => state.name(),
        }
    }

    /// When the file is deleted; `None` while there is no file.
    pub fn expires_at(&self) -> Option<Timestamp> {
        match &self.state {
            State::Succeeded { completed_at, .. } | State::Expired { completed_at, .. } => {
                Some(days_after(*completed_at, FILE_KEPT_DAYS))
            }
            _ => None,
        }
    }

    /// Whether it counts against its organization's cap of unfinished jobs. What the service asked for by itself takes
    /// nobody's place.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Pending { .. } | State::Running { .. }) && !self.subject.is_system()
    }

    /// When the sweep has to look at it; `None` once nothing can happen to it any more.
    pub fn due_at(&self) -> Option<Timestamp> {
        match &self.state {
            State::Pending { resend_at, .. } => Some(*resend_at),
            State::Running { lease_until, .. } => Some(*lease_until),
            State::Succeeded { .. } => self.expires_at(),
            State::Failed { .. } | State::Expired { .. } => None,
        }
    }

    /// The job as held by a new claim, with the next fencing token.
    ///
    /// A job whose attempts were used up can be claimed by a redrive alone. A redrive is told by its time: it puts the
    /// message on the queue anew, after the job failed, and nothing else sends a message for a failed job.
    ///
    /// # Errors
    /// When another lease still holds, or the job has ended.
    pub fn claim(&self, claim: Claim) -> Result<ClaimedJob, ClaimRefused> {
        match self.state {
            State::Pending { .. } => {}
            State::Running { lease_until, .. } if lease_until <= claim.now => {}
            State::Running { lease_until, .. } => return Err(ClaimRefused::Held { until: lease_until }),
            // `completed_at` is a whole second, cut off: what was sent within that second may be older than the failure.
            State::Failed { completed_at, exhausted: true, .. }
                if claim.sent_at.duration_since(completed_at) >= SignedDuration::from_secs(1) => {}
            State::Succeeded { .. } | State::Failed { .. } | State::Expired { .. } => {
                return Err(ClaimRefused::Ended(self.state.name()));
            }
        }
        let state = State::Running { lease_until: claim.lease_until, progress: None };
        Ok(ClaimedJob(Self { fence: self.fence + 1, ..self.become_state(state) }))
    }

    /// A pending job whose message could not be sent, or is not to be sent yet: the sweep sends it at `send_at`.
    #[must_use]
    pub fn unsent(&self, send_at: Timestamp) -> Self {
        self.become_state(State::Pending { sent: false, resend_at: send_at })
    }

    /// What the sweep does with the job at `now`, if anything. A job gets `most_attempts` claims before the loss of its
    /// worker fails it; a message sent again is given up for lost at `resend_at`.
    pub fn sweep(&self, now: Timestamp, most_attempts: u32, resend_at: Timestamp) -> Option<Swept> {
        if self.due_at().is_none_or(|due| due > now) {
            return None;
        }
        match &self.state {
            State::Pending { sent, .. } => {
                let job = self.become_state(State::Pending { sent: true, resend_at });
                Some(if *sent { Swept::Resent(job) } else { Swept::Sent(job) })
            }
            State::Running { .. } if self.fence < u64::from(most_attempts) => {
                Some(Swept::Released(self.become_state(State::Pending { sent: true, resend_at })))
            }
            State::Running { .. } => Some(Swept::Failed(self.failed(Failure::WorkerLost, true, now))),
            State::Succeeded { completed_at, file } => {
                let state = State::Expired { completed_at: *completed_at, file: file.clone() };
                Some(Swept::Expired(self.become_state(state)))
            }
            State::Failed { .. } | State::Expired { .. } => None,
        }
    }

    fn failed(&self, failure: Failure, exhausted: bool, now: Timestamp) -> Self {
        self.become_state(State::Failed { completed_at: self.end(now), failure, exhausted })
    }

    fn become_state(&self, state: State) -> Self {
        Self { state, ..self.clone() }
    }

    /// A job does not end before it began, whatever two machines' clocks say.
    fn end(&self, now: Timestamp) -> Timestamp {
        whole_second(now).max(self.created_at)
    }
}

impl ClaimedJob {
    /// A claim that a test takes for granted.
    #[cfg(test)]
    pub(super) const fn assumed(job: Job) -> Self {
        Self(job)
    }

    /// The job as it stands while held.
    pub const fn job(&self) -> &Job {
        &self.0
    }

    /// The job with its file: `running → succeeded`.
    pub fn complete(&self, file: ExportFile, now: Timestamp) -> Job {
        self.0.become_state(State::Succeeded { completed_at: self.0.end(now), file })
    }

    /// The job given up: `running → failed`; `exhausted` if only its attempts were used up.
    pub fn fail(&self, failure: Failure, exhausted: bool, now: Timestamp) -> Job {
        self.0.failed(failure, exhausted, now)
    }

    /// The job given back for another attempt: `running → pending`. Its message is given up for lost at `resend_at`.
    pub fn release(&self, resend_at: Timestamp) -> Job {
        self.0.become_state(State::Pending { sent: true, resend_at })
    }
}

impl State {
    /// The state's name.
    pub const fn name(&self) -> Status {
        match self {
            Self::Pending { .. } => Status::Pending,
            Self::Running { .. } => Status::Running,
            Self::Succeeded { .. } => Status::Succeeded,
            Self::Failed { .. } => Status::Failed,
            Self::Expired { .. } => Status::Expired,
        }
    }
}

fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;

    use super::*;
    use crate::{Granularity, TimeRange, Totals};

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn job() -> Job {
        let range = TimeRange::new(NOW, days_after(NOW, 31)).unwrap();
        let request = ExportRequest { range, granularity: Granularity::Daily, models: None };
        let subject = Subject { issuer: "https://issuer.example".to_owned(), name: "ada".to_owned() };
        Job::new(JobId::now(), OrgId::from(uuid::Uuid::nil()), request, subject, NOW, at(900))
    }

    fn file() -> ExportFile {
        ExportFile {
            checksum: "sha256:00".to_owned(),
            bytes: 1,
            row_count: 0,
            totals: Totals::default(),
            rounding_difference: None,
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn claim(now: i64, until: i64) -> Claim {
        Claim { now: at(now), lease_until: at(until), sent_at: NOW }
    }

    #[test]
    fn a_claim_takes_the_next_fencing_token() {
        let first = job().claim(claim(0, 60)).unwrap();
        assert_eq!((first.job().fence, first.job().status(NOW)), (1, Status::Running));
        let second = first.release(at(900)).claim(claim(1, 61)).unwrap();
        assert_eq!(second.job().fence, 2);
    }

    #[test]
    fn a_fresh_lease_refuses_and_a_stale_one_is_taken_over() {
        let held = job().claim(claim(0, 60)).unwrap();
        assert_eq!(held.job().claim(claim(59, 120)).unwrap_err(), ClaimRefused::Held { until: at(60) });
        assert_eq!(held.job().claim(claim(60, 120)).unwrap().job().fence, 2);
    }

    #[test]
    fn an_ended_job_cannot_be_claimed() {
        let done = job().claim(claim(0, 60)).unwrap().complete(file(), at(5));
        assert_eq!(done.claim(claim(100, 200)).unwrap_err(), ClaimRefused::Ended(Status::Succeeded));
        let failed = job().claim(claim(0, 60)).unwrap().fail(Failure::UsageInvalid, false, at(5));
        let redrive = Claim { sent_at: at(50), ..claim(100, 200) };
        assert_eq!(failed.claim(redrive).unwrap_err(), ClaimRefused::Ended(Status::Failed));
    }

    #[test]
    fn exhausted_attempts_are_claimed_again_by_a_redrive_alone() {
        let failed = job().claim(claim(0, 60)).unwrap().fail(Failure::UsageUnavailable, true, at(50));
        for (sent_at, redrive) in [(at(0), false), (at(50), false), (at(51), true)] {
            let claimed = failed.claim(Claim { sent_at, ..claim(100, 200) });
            assert_eq!(claimed.is_ok(), redrive, "{sent_at}");
        }
    }

    #[test]
    fn a_file_expires_after_90_days_to_the_second() {
        let done = job().claim(claim(0, 60)).unwrap().complete(file(), at(5));
        let expiry = done.expires_at().unwrap();
        assert_eq!(expiry, at(5 + 90 * 86_400));
        assert_eq!(done.status(expiry.checked_sub(1.second()).unwrap()), Status::Succeeded);
        assert_eq!(done.status(expiry), Status::Expired);
    }

    #[test]
    fn a_job_does_not_end_before_it_began() {
        let mut job = job();
        job.created_at = at(10);
        let done = job.claim(claim(0, 60)).unwrap().complete(file(), at(5));
        assert!(matches!(done.state, State::Succeeded { completed_at, .. } if completed_at == at(10)));
    }

    #[test]
    fn what_the_service_asked_for_takes_nobodys_place() {
        let mut job = job();
        assert!(job.is_open());
        job.subject = Subject::system("monthly-export");
        assert!(!job.is_open());
    }

    #[test]
    fn the_sweep_touches_only_what_is_due() {
        let sweep = |job: &Job, now| {
            job.sweep(at(now), 2, at(5000)).map(|swept| match swept {
                Swept::Sent(job) => ("sent", job.state.name(), job.due_at()),
                Swept::Resent(job) => ("resent", job.state.name(), job.due_at()),
                Swept::Released(job) => ("released", job.state.name(), job.due_at()),
                Swept::Failed(job) => ("failed", job.state.name(), job.due_at()),
                Swept::Expired(job) => ("expired", job.state.name(), job.due_at()),
            })
        };
        let pending = job();
        assert_eq!(sweep(&pending, 899), None);
        assert_eq!(sweep(&pending, 900), Some(("resent", Status::Pending, Some(at(5000)))));

        let deferred = pending.unsent(at(1200));
        assert_eq!(sweep(&deferred, 1199), None);
        assert_eq!(sweep(&deferred, 1200), Some(("sent", Status::Pending, Some(at(5000)))));

        let first = pending.claim(claim(0, 60)).unwrap();
        assert_eq!(sweep(first.job(), 59), None);
        assert_eq!(sweep(first.job(), 60), Some(("released", Status::Pending, Some(at(5000)))));

        let second = first.job().claim(claim(60, 120)).unwrap();
        assert_eq!(sweep(second.job(), 120), Some(("failed", Status::Failed, None)));

        let done = second.complete(file(), at(70));
        let expiry = 70 + 90 * 86_400;
        assert_eq!(sweep(&done, expiry - 1), None);
        assert_eq!(sweep(&done, expiry), Some(("expired", Status::Expired, None)));
    }
}
