//! Filters of an organization's jobs.

use std::{fmt, str::FromStr};

use serde::Serialize;
use uuid::Uuid;

use super::{Job, Month, Status, Subject};

/// The kind of a job's initiator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum JobOrigin {
    /// The monthly run, also where a person started it.
    Schedule,
    /// A request to this API.
    User,
}

/// Text that is not an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not an origin; use one of: schedule, user")]
pub struct UnknownOrigin;

impl JobOrigin {
    /// Returns the origin of a job with this initiator. Every job has one, so the origin of older jobs is known too.
    pub fn of(initiator: &Subject) -> Self {
        if initiator.is_system() { Self::Schedule } else { Self::User }
    }

    /// Returns the name used in requests and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::User => "user",
        }
    }
}

impl FromStr for JobOrigin {
    type Err = UnknownOrigin;

    fn from_str(text: &str) -> Result<Self, UnknownOrigin> {
        [Self::Schedule, Self::User].into_iter().find(|origin| origin.name() == text).ok_or(UnknownOrigin)
    }
}

impl fmt::Display for JobOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The wanted jobs of an organization: those that fulfil every condition that is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JobFilter {
    /// The status.
    pub status: Option<Status>,
    /// The calendar month that the job's range is; see [`TimeRange::is_of`](super::TimeRange::is_of).
    pub period: Option<Month>,
    /// The initiator, as answers name it; see [`Subject::id`].
    pub initiated_by: Option<Uuid>,
    /// The kind of the initiator.
    pub origin: Option<JobOrigin>,
}

impl JobFilter {
    /// Creates the filter of one status.
    pub fn of_status(status: Status) -> Self {
        Self { status: Some(status), ..Self::default() }
    }

    /// Reports whether a job fulfils the conditions other than the status, which the store's index fulfils.
    pub fn matches_but_for_status(&self, job: &Job) -> bool {
        let Self { status: _, period, initiated_by, origin } = *self;
        period.is_none_or(|month| job.request().range.is_of(month))
            && initiated_by.is_none_or(|id| job.subject().id() == id)
            && origin.is_none_or(|origin| JobOrigin::of(job.subject()) == origin)
    }

    /// Reports whether there is a condition other than the status.
    pub const fn looks_at_each_job(&self) -> bool {
        self.period.is_some() || self.initiated_by.is_some() || self.origin.is_some()
    }
}

impl fmt::Display for JobFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, period, initiated_by, origin } = self;
        f.write_str(status.map_or("all", Status::name))?;
        if let Some(month) = period {
            write!(f, " period={month}")?;
        }
        if let Some(id) = initiated_by {
            write!(f, " by={id}")?;
        }
        if let Some(origin) = origin {
            write!(f, " origin={origin}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_known_by_the_initiator() {
        let person = Subject {
            issuer: "https://issuer.example".to_owned(),
            name: "monthly-export".to_owned(),
            is_of_further_issuer: false,
        };
        assert_eq!(JobOrigin::of(&person), JobOrigin::User);
        assert_eq!(JobOrigin::of(&Subject::system("monthly-export")), JobOrigin::Schedule);
        for origin in [JobOrigin::Schedule, JobOrigin::User] {
            assert_eq!(origin.name().parse(), Ok(origin));
        }
        assert_eq!("system".parse::<JobOrigin>(), Err(UnknownOrigin));
    }

    #[test]
    fn filters_that_differ_have_different_names() {
        let id = Uuid::nil();
        let filters = [
            JobFilter::default(),
            JobFilter::of_status(Status::Failed),
            JobFilter { period: Some("2024-01".parse().unwrap()), ..JobFilter::default() },
            JobFilter { period: Some("2024-02".parse().unwrap()), ..JobFilter::default() },
            JobFilter { initiated_by: Some(id), ..JobFilter::default() },
            JobFilter { origin: Some(JobOrigin::User), ..JobFilter::default() },
            JobFilter { origin: Some(JobOrigin::User), ..JobFilter::of_status(Status::Failed) },
        ];
        let names: std::collections::BTreeSet<String> = filters.iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), filters.len());
    }
}
