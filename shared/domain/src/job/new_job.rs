//! A job before it is stored.

use jiff::Timestamp;

use super::{Job, JobParts, State};
use crate::{ExportRequest, JobId, Note, OrgId, Retention, Subject, instant::whole_second};

/// An accepted request for an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The id of the job to create.
    pub id: JobId,
    /// The organization whose usage is exported.
    pub org: OrgId,
    /// The requested export.
    pub request: ExportRequest,
    /// Why it is made.
    pub note: Option<Note>,
    /// The initiator.
    pub subject: Subject,
    /// The time of acceptance.
    pub at: Timestamp,
    /// The request that was accepted, which the log names too.
    pub request_id: String,
}

/// A job that is not stored yet: pending and never claimed. The jobs table creates jobs from this type alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob(Job);

impl NewJob {
    /// Creates a job whose message is sent as soon as it is stored. The message counts as lost at `resend_at`.
    pub fn queued(submission: Submission, resend_at: Timestamp, retention: Retention) -> Self {
        Self::pending(submission, State::Pending { sent: true, resend_at }, retention)
    }

    /// Creates a job whose message the sweep sends at `send_at`.
    pub fn deferred(submission: Submission, send_at: Timestamp, retention: Retention) -> Self {
        Self::pending(submission, State::Pending { sent: false, resend_at: send_at }, retention)
    }

    fn pending(submission: Submission, state: State, retention: Retention) -> Self {
        let Submission { id, org, request, note, subject, at, request_id } = submission;
        let warnings = request.range.warnings(request.granularity, at, retention);
        let created_at = whole_second(at);
        Self(Job(JobParts {
            id,
            org,
            request,
            version: None,
            note,
            subject,
            created_at,
            request_id: Some(request_id),
            warnings,
            fence: 0,
            claims_before_redrive: 0,
            hold: None,
            state,
        }))
    }

    /// Makes the job this version of its month. The jobs table counts them.
    #[must_use]
    pub fn numbered(self, version: u32) -> Self {
        Self(Job(JobParts { version: Some(version), ..self.0.0 }))
    }

    /// Returns the job as it is to be stored.
    pub const fn job(&self) -> &Job {
        &self.0
    }

    /// Returns the job, for use once it is stored.
    pub fn into_job(self) -> Job {
        self.0
    }
}
