//! An export job and its states:
//!
//! ```text
//!             claim              complete              expire
//!  pending ──────────▶ running ───────────▶ succeeded ────────▶ expired
//!     ▲                 │ │ ▲ ▲
//!     └──── release ────┘ │ │ └─ claim, once the lease has expired
//!                         │ └─── claim by a redrive ──┐
//!                         └─ fail ─▶ failed ──────────┘ (only when its attempts were used up)
//! ```
//!
//! No other transition exists. Each is a method that returns a [`Transition`]: the new state, and the version that the
//! stored job must still have. The jobs table writes a transition in one conditional write and has no other way to
//! change a state. A claimed job has a type of its own, [`ClaimedJob`], so that finishing a job without a claim does
//! not compile. [`Job::sweep`] makes the transitions of a job that no invocation works on.

mod new_job;
mod transition;

use jiff::Timestamp;

pub use self::{
    new_job::{NewJob, Submission},
    transition::{Claim, ClaimRefused, ClaimedJob, SweepAction, Swept, Transition, Version},
};
use super::{ExportFile, ExportRequest, Failure, Hold, JobId, Note, OrgId, Progress, Status, Subject};

/// A request for one CSV, and its state. Comes from [`NewJob`], from a [`Transition`], or from a store by
/// [`restore`](Self::restore). A job's state cannot be set:
///
/// ```compile_fail
/// use domain::{Job, JobParts};
///
/// fn forge(parts: JobParts) -> Job {
///     Job(parts)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job(JobParts);

/// The fields of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobParts {
    /// The job's own id.
    pub id: JobId,
    /// The organization whose usage is exported.
    pub org: OrgId,
    /// The requested export.
    pub request: ExportRequest,
    /// The number of the version, from 1 on, among the organization's exports of the same month and granularity and of all
    /// models. `None` for other exports, and for jobs that were created before versions were counted.
    pub version: Option<u32>,
    /// Why the export was made.
    pub note: Option<Note>,
    /// The initiator.
    pub subject: Subject,
    /// The time of acceptance, in whole seconds.
    pub created_at: Timestamp,
    /// The request that created the job; absent from jobs of before version 0.2.
    pub request_id: Option<String>,
    /// Warnings about the range, for readers of the file.
    pub warnings: Vec<String>,
    /// The number of claims so far. The value after a claim is that claim's fencing token.
    pub fence: u64,
    /// The number of claims before the last redrive; 0 without one.
    pub claims_before_redrive: u64,
    /// The legal hold on the file; `None` without one.
    pub hold: Option<Hold>,
    /// The state.
    pub state: State,
}

/// The state of a job, with the fields of that state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Waits for a worker.
    Pending {
        /// `true` once the job's message was put on the queue.
        sent: bool,
        /// The time at which a sent message counts as lost, or an unsent one is to be sent.
        resend_at: Timestamp,
    },
    /// Held by the invocation that has the current fencing token, which renews its lease.
    Running {
        /// The end of the lease.
        lease_until: Timestamp,
        /// The progress last reported by its holder.
        progress: Option<Progress>,
    },
    /// The file is complete.
    Succeeded {
        /// The time of completion.
        completed_at: Timestamp,
        /// The time at which the file expires.
        expires_at: Timestamp,
        /// The facts of the file.
        file: ExportFile,
        /// The fencing token of the attempt that stored the file. Each attempt stores at a key of its own, and this one
        /// is the job's.
        attempt: u64,
    },
    /// Ended without a file.
    Failed {
        /// The time of the failure.
        completed_at: Timestamp,
        /// The reason.
        failure: Failure,
        /// `true` if only the attempts were used up. A redrive of the dead letter may then run the job again.
        exhausted: bool,
    },
    /// The file has expired.
    Expired {
        /// The time of completion.
        completed_at: Timestamp,
        /// The time at which the file expired.
        expires_at: Timestamp,
        /// The facts of the expired file.
        file: ExportFile,
        /// The fencing token of the attempt that stored the file.
        attempt: u64,
    },
}

impl Job {
    /// Restores a job from a store.
    pub const fn restore(parts: JobParts) -> Self {
        Self(parts)
    }

    /// Returns the fields of the job.
    pub fn into_parts(self) -> JobParts {
        self.0
    }

    /// Returns the job's id.
    pub const fn id(&self) -> JobId {
        self.0.id
    }

    /// Returns the organization whose usage is exported.
    pub const fn org(&self) -> OrgId {
        self.0.org
    }

    /// Returns the request that created the job, as the log names it.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// Returns the requested export.
    pub const fn request(&self) -> &ExportRequest {
        &self.0.request
    }

    /// Returns the initiator.
    pub const fn subject(&self) -> &Subject {
        &self.0.subject
    }

    /// Returns the time of acceptance.
    pub const fn created_at(&self) -> Timestamp {
        self.0.created_at
    }

    /// Returns the number of the version of its month.
    pub const fn version_of_month(&self) -> Option<u32> {
        self.0.version
    }

    /// Returns why the export was made.
    pub const fn note(&self) -> Option<&Note> {
        self.0.note.as_ref()
    }

    /// Returns the warnings about the range.
    pub fn warnings(&self) -> &[String] {
        &self.0.warnings
    }

    /// Returns the number of claims so far.
    pub const fn fence(&self) -> u64 {
        self.0.fence
    }

    /// Returns the number of claims since the last redrive, or of all claims without one.
    pub const fn attempts(&self) -> u64 {
        self.0.fence.saturating_sub(self.0.claims_before_redrive)
    }

    /// Returns the legal hold on the file.
    pub const fn hold(&self) -> Option<&Hold> {
        self.0.hold.as_ref()
    }

    /// Returns the state.
    pub const fn state(&self) -> &State {
        &self.0.state
    }

    /// Returns the version of the job as it was read, which a transition requires of the stored job.
    pub const fn version(&self) -> Version {
        Version::Read { status: self.state().name(), fence: self.fence(), due_at: self.due_at() }
    }

    /// Reports whether the stored job `self` has the version that a transition expects.
    pub fn has(&self, expected: Version) -> bool {
        match expected {
            Version::Read { .. } => self.version() == expected,
            Version::Held { fence } => matches!(self.state(), State::Running { .. }) && self.fence() == fence,
        }
    }

    /// Returns the status at `now`. A file past its expiry counts as expired, even if the sweep has not recorded it
    /// yet, unless it is held.
    pub fn status(&self, now: Timestamp) -> Status {
        match self.state() {
            State::Succeeded { expires_at, .. } if *expires_at <= now && self.0.hold.is_none() => Status::Expired,
            state => state.name(),
        }
    }

    /// Returns the time at which the file expires or expired; `None` while there is no file.
    pub const fn expires_at(&self) -> Option<Timestamp> {
        match self.state() {
            State::Succeeded { expires_at, .. } | State::Expired { expires_at, .. } => Some(*expires_at),
            State::Pending { .. } | State::Running { .. } | State::Failed { .. } => None,
        }
    }

    /// Reports whether the job counts against its organization's cap of unfinished jobs. Jobs of the service itself do
    /// not.
    pub fn is_open(&self) -> bool {
        self.state().name().is_unfinished() && !self.subject().is_system()
    }

    /// Returns the time at which the sweep has to look at the job; `None` once no transition is left to the sweep.
    pub const fn due_at(&self) -> Option<Timestamp> {
        match self.state() {
            State::Pending { resend_at, .. } => Some(*resend_at),
            State::Running { lease_until, .. } => Some(*lease_until),
            State::Succeeded { expires_at, .. } if self.0.hold.is_none() => Some(*expires_at),
            State::Succeeded { .. } | State::Failed { .. } | State::Expired { .. } => None,
        }
    }
}

impl State {
    /// Returns the state's name.
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

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;

    use super::*;
    use crate::{Granularity, Retention, TimeRange, Totals, instant::days_after};

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    const RETENTION: Retention = Retention { rollups_months: 13, files_days: 90 };

    fn new_job(subject: Subject, created_at: Timestamp) -> Job {
        let range = TimeRange::new(NOW, days_after(NOW, 31)).unwrap();
        let request = ExportRequest { range, granularity: Granularity::Daily, models: None };
        let nil = uuid::Uuid::nil();
        let submission = Submission {
            id: nil.into(),
            org: nil.into(),
            request,
            note: None,
            subject,
            at: created_at,
            request_id: "r".to_owned(),
        };
        NewJob::queued(submission, at(900), RETENTION).into_job()
    }

    fn job() -> Job {
        new_job(Subject::new("https://issuer.example", "ada"), NOW)
    }

    fn file() -> ExportFile {
        ExportFile {
            software: None,
            checksum: "sha256:00".to_owned(),
            bytes: 1,
            row_count: 0,
            totals: Totals::default(),
            rounding_difference: None,
            completeness: None,
            days: None,
            tag: None,
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn claimed(job: &Job, claim: Claim) -> ClaimedJob {
        job.claim(claim).unwrap().into_next()
    }

    fn claim(now: i64, until: i64) -> Claim {
        Claim { now: at(now), lease_until: at(until), sent_at: NOW }
    }

    #[test]
    fn a_claim_takes_the_next_fencing_token() {
        let first = claimed(&job(), claim(0, 60));
        assert_eq!((first.job().fence(), first.job().status(NOW)), (1, Status::Running));
        let second = claimed(first.release(at(900)).next(), claim(1, 61));
        assert_eq!(second.job().fence(), 2);
    }

    #[test]
    fn a_fresh_lease_refuses_and_a_stale_one_is_taken_over() {
        let held = claimed(&job(), claim(0, 60));
        assert_eq!(held.job().claim(claim(59, 120)).unwrap_err(), ClaimRefused::Held { until: at(60) });
        assert_eq!(claimed(held.job(), claim(60, 120)).job().fence(), 2);
    }

    #[test]
    fn an_ended_job_cannot_be_claimed() {
        let done = claimed(&job(), claim(0, 60)).complete(file(), at(5), RETENTION).into_next();
        assert_eq!(done.claim(claim(100, 200)).unwrap_err(), ClaimRefused::Ended(Status::Succeeded));
        let failed = claimed(&job(), claim(0, 60)).fail(Failure::UsageInvalid, false, at(5)).into_next();
        let redrive = Claim { sent_at: at(50), ..claim(100, 200) };
        assert_eq!(failed.claim(redrive).unwrap_err(), ClaimRefused::Ended(Status::Failed));
    }

    #[test]
    fn exhausted_attempts_are_claimed_again_by_a_redrive_alone() {
        let failed = claimed(&job(), claim(0, 60)).fail(Failure::UsageUnavailable, true, at(50)).into_next();
        for (sent_at, redrive) in [(at(0), false), (at(50), false), (at(51), true)] {
            let claimed = failed.claim(Claim { sent_at, ..claim(100, 200) });
            assert_eq!(claimed.is_ok(), redrive, "{sent_at}");
        }
    }

    #[test]
    fn a_file_expires_to_the_second() {
        let done = claimed(&job(), claim(0, 60)).complete(file(), at(5), RETENTION).into_next();
        let expiry = done.expires_at().unwrap();
        assert_eq!(expiry, at(5 + 90 * 86_400));
        assert_eq!(done.status(expiry.checked_sub(1.second()).unwrap()), Status::Succeeded);
        assert_eq!(done.status(expiry), Status::Expired);

        let retention = Retention { files_days: 1, ..RETENTION };
        let done = claimed(&job(), claim(0, 60)).complete(file(), at(5), retention).into_next();
        assert_eq!((done.expires_at(), done.due_at()), (Some(at(5 + 86_400)), Some(at(5 + 86_400))));
    }

    #[test]
    fn a_held_file_does_not_expire_until_it_is_released() {
        let done = claimed(&job(), claim(0, 60)).complete(file(), at(5), RETENTION).into_next();
        let expiry = 5 + 90 * 86_400;
        let hold = Hold {
            version: 1,
            at: at(10),
            reason: "a proceeding".parse().unwrap(),
            subject: Subject::system("tests"),
            protection: crate::hold::Protection::Copy,
        };
        let held = done.with_hold(hold.clone(), at(10)).unwrap().into_next();
        assert_eq!((held.status(at(expiry)), held.due_at()), (Status::Succeeded, None));
        assert_eq!(held.sweep(at(2 * expiry), 2, at(0)), None);
        // A sweep that has read the job before changes nothing: the version is another.
        let swept = done.sweep(at(expiry), 2, at(0)).unwrap();
        assert!(!held.has(swept.transition.expected()));

        let released = held.without_hold().unwrap().into_next();
        assert_eq!(released.status(at(expiry)), Status::Expired);
        let expired = released.sweep(at(expiry), 2, at(0)).unwrap();
        assert_eq!(expired.action, SweepAction::Expire);
        assert_eq!(released.without_hold(), None);
        // What has expired, or has no file, cannot be held.
        assert_eq!(done.with_hold(hold.clone(), at(expiry)), None);
        assert_eq!(expired.transition.into_next().with_hold(hold.clone(), at(0)), None);
        assert_eq!(job().with_hold(hold, at(10)), None);
    }

    #[test]
    fn a_job_does_not_end_before_it_began() {
        let job = new_job(Subject::system("tests"), at(10));
        let done = claimed(&job, claim(0, 60)).complete(file(), at(5), RETENTION).into_next();
        assert!(matches!(done.state(), State::Succeeded { completed_at, .. } if *completed_at == at(10)));
    }

    #[test]
    fn a_job_of_the_service_counts_against_no_cap() {
        assert!(job().is_open());
        let scheduled = new_job(Subject::system("monthly-export"), NOW);
        assert!(!scheduled.is_open());

        let change = |job: &Job| {
            let first = claimed(job, claim(0, 60));
            let failed = first.fail(Failure::UsageUnavailable, true, at(50));
            let redrive = Claim { sent_at: at(90), ..claim(100, 200) };
            let again = failed.next().claim(redrive).unwrap();
            (first.release(at(60)).open_jobs_change(), failed.open_jobs_change(), again.open_jobs_change())
        };
        assert_eq!(change(&job()), (0, -1, 1));
        assert_eq!(change(&scheduled), (0, 0, 0));
    }

    #[test]
    fn a_transition_expects_the_version_that_it_leaves() {
        let first = job().claim(claim(0, 60)).unwrap();
        let version = |status, fence, due_at| Version::Read { status, fence, due_at };
        assert_eq!(first.expected(), version(Status::Pending, 0, Some(at(900))));
        assert_eq!(first.next().version(), version(Status::Running, 1, Some(at(60))));
        let held = first.into_next();
        let done = held.complete(file(), at(5), RETENTION);
        assert_eq!(done.expected(), Version::Held { fence: 1 });

        // The holder may have renewed its lease; nobody else may have taken the job.
        let renewed = claimed(&job(), claim(0, 90));
        assert!(renewed.job().has(done.expected()) && !renewed.job().has(held.job().version()));
        for other in [held.release(at(60)).into_next(), claimed(held.job(), claim(60, 120)).job().clone()] {
            assert!(!other.has(done.expected()), "{other:?}");
        }
    }

    #[test]
    fn only_a_pending_job_is_marked_unsent() {
        let first = claimed(&job(), claim(0, 60));
        assert_eq!(first.job().mark_unsent(at(5)), None);
        let unsent = job().mark_unsent(at(5)).unwrap().into_next();
        assert_eq!(unsent.state(), &State::Pending { sent: false, resend_at: at(5) });
    }

    #[test]
    fn the_sweep_touches_only_what_is_due() {
        let sweep = |job: &Job, now| {
            let Swept { action, transition } = job.sweep(at(now), 2, at(5000))?;
            Some((action, transition.next().state().name(), transition.next().due_at()))
        };
        let pending = job();
        assert_eq!(sweep(&pending, 899), None);
        assert_eq!(sweep(&pending, 900), Some((SweepAction::Resend, Status::Pending, Some(at(5000)))));

        let deferred = pending.mark_unsent(at(1200)).unwrap().into_next();
        assert_eq!(sweep(&deferred, 1199), None);
        assert_eq!(sweep(&deferred, 1200), Some((SweepAction::Send, Status::Pending, Some(at(5000)))));

        let first = claimed(&pending, claim(0, 60));
        assert_eq!(sweep(first.job(), 59), None);
        assert_eq!(sweep(first.job(), 60), Some((SweepAction::Release, Status::Pending, Some(at(5000)))));

        let second = claimed(first.job(), claim(60, 120));
        assert_eq!(sweep(second.job(), 120), Some((SweepAction::Fail, Status::Failed, None)));

        // A redrive gets all attempts again.
        let failed = second.fail(Failure::WorkerLost, true, at(70)).into_next();
        let redrive = |job: &Job, now| claimed(job, Claim { sent_at: at(80), ..claim(now, now + 60) });
        let third = redrive(&failed, 80);
        assert_eq!((third.job().fence(), third.job().attempts()), (3, 1));
        assert_eq!(sweep(third.job(), 140), Some((SweepAction::Release, Status::Pending, Some(at(5000)))));
        let fourth = redrive(third.job(), 140);
        assert_eq!(sweep(fourth.job(), 200), Some((SweepAction::Fail, Status::Failed, None)));

        let done = second.complete(file(), at(70), RETENTION).into_next();
        let expiry = 70 + 90 * 86_400;
        assert_eq!(sweep(&done, expiry - 1), None);
        assert_eq!(sweep(&done, expiry), Some((SweepAction::Expire, Status::Expired, None)));
    }
}
