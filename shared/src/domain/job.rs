//! An export job and its life:
//!
//! ```text
//!             claim              complete              expire
//!  pending ──────────▶ running ───────────▶ succeeded ────────▶ expired
//!     ▲                 │ │ ▲
//!     └──── release ────┘ │ └─ claim, once the lease is over
//!                         └─ fail ─▶ failed
//! ```
//!
//! No other transition exists. A transition is a function from one stage to the next; the jobs table carries it out as
//! one conditional write that checks the state it leaves. A job that was claimed is another type than one that was only
//! read: finishing a job without a claim does not compile.

use jiff::Timestamp;

use super::{ExportFile, ExportRequest, JobId, OrgId, Status, Subject, range::days_after};

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
    Pending,
    /// Held by the invocation that has the current fencing token.
    Running {
        /// Until when the claim holds.
        lease_until: Timestamp,
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
        /// What happened and what to do, for a finance user.
        error: String,
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

impl Job {
    /// A new job: pending, never claimed.
    pub fn new(id: JobId, org: OrgId, request: ExportRequest, subject: Subject, now: Timestamp) -> Self {
        let warnings = request.range.warnings(now);
        Self { id, org, request, subject, created_at: whole_second(now), warnings, fence: 0, state: State::Pending }
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

    /// The job as held by a new claim, with the next fencing token.
    ///
    /// # Errors
    /// When another lease still holds, or the job has ended.
    pub fn claim(&self, claim: Claim) -> Result<ClaimedJob, ClaimRefused> {
        match self.state {
            State::Pending => {}
            State::Running { lease_until } if lease_until <= claim.now => {}
            State::Running { lease_until } => return Err(ClaimRefused::Held { until: lease_until }),
            State::Succeeded { .. } | State::Failed { .. } | State::Expired { .. } => {
                return Err(ClaimRefused::Ended(self.state.name()));
            }
        }
        let state = State::Running { lease_until: claim.lease_until };
        Ok(ClaimedJob(Self { fence: self.fence + 1, state, ..self.clone() }))
    }
}

impl ClaimedJob {
    /// The job as it stands while held.
    pub const fn job(&self) -> &Job {
        &self.0
    }

    /// The job with its file: `running → succeeded`.
    pub fn complete(&self, file: ExportFile, now: Timestamp) -> Job {
        self.become_state(State::Succeeded { completed_at: self.end(now), file })
    }

    /// The job given up: `running → failed`. `error` is what its user reads.
    pub fn fail(&self, error: String, now: Timestamp) -> Job {
        self.become_state(State::Failed { completed_at: self.end(now), error })
    }

    /// The job given back for another attempt: `running → pending`.
    pub fn release(&self) -> Job {
        self.become_state(State::Pending)
    }

    fn become_state(&self, state: State) -> Job {
        Job { state, ..self.0.clone() }
    }

    /// A job does not end before it began, whatever two machines' clocks say.
    fn end(&self, now: Timestamp) -> Timestamp {
        whole_second(now).max(self.0.created_at)
    }
}

impl State {
    /// The state's name.
    pub const fn name(&self) -> Status {
        match self {
            Self::Pending => Status::Pending,
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
    use crate::domain::{Granularity, TimeRange, Totals};

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn job() -> Job {
        let range = TimeRange::new(NOW, days_after(NOW, 31)).unwrap();
        let request = ExportRequest { range, granularity: Granularity::Daily, models: None };
        let subject = Subject { issuer: "https://issuer.example".to_owned(), name: "ada".to_owned() };
        Job::new(JobId::now(), OrgId::from(uuid::Uuid::nil()), request, subject, NOW)
    }

    fn file() -> ExportFile {
        ExportFile { checksum: "sha256:00".to_owned(), bytes: 1, row_count: 0, totals: Totals::default() }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn claim(now: i64, until: i64) -> Claim {
        Claim { now: at(now), lease_until: at(until) }
    }

    #[test]
    fn a_claim_takes_the_next_fencing_token() {
        let first = job().claim(claim(0, 60)).unwrap();
        assert_eq!((first.job().fence, first.job().status(NOW)), (1, Status::Running));
        let second = first.release().claim(claim(1, 61)).unwrap();
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
        let failed = job().claim(claim(0, 60)).unwrap().fail("no".to_owned(), at(5));
        assert_eq!(failed.claim(claim(100, 200)).unwrap_err(), ClaimRefused::Ended(Status::Failed));
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
}
