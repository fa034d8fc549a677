//! The verified caller of a route, and the organization of the route.

use std::sync::Arc;

use auth::{Access, Caller, Forbidden, Permission};
use axum::{
    extract::{FromRequestParts, MatchedPath, RawPathParams},
    http::{header, request::Parts},
};
use domain::{Action, AuditRecord, JobId, Month, OrgId, Origin, Subject};
use jiff::Timestamp;
use jobs::Counted;
use sha2::{Digest as _, Sha256};

use crate::{
    context::Context,
    metrics::Seen,
    problem::{Kind, Problem},
};

/// A part of a request that its route or the handler should have provided.
#[derive(Debug, thiserror::Error)]
#[error("the request has no {0}")]
pub(crate) struct MissingPart(pub(crate) &'static str);

/// A verified caller at a route of an organization. The organization is available only through
/// [`require`](Self::require), so no handler can forget to ask for a permission.
#[derive(Debug)]
pub(crate) struct OrgScope {
    context: Arc<Context>,
    caller: Caller,
    org: OrgId,
    job: Option<String>,
    period: Option<String>,
    origin: Origin,
}

impl OrgScope {
    /// Creates the scope of a page, whose visitor is a verified session's. `job` is that of the page's address.
    pub(crate) fn of_page(
        context: Arc<Context>,
        caller: Caller,
        org: OrgId,
        job: Option<String>,
        origin: Origin,
    ) -> Self {
        Self { context, caller, org, job, period: None, origin }
    }

    /// Adds the month of a page's address.
    pub(crate) fn of_period(self, period: Option<String>) -> Self {
        Self { period, ..self }
    }

    /// Reports whether the caller has `permission` in the organization, for what a page offers. What it does requires it.
    pub(crate) fn may(&self, permission: Permission) -> bool {
        self.caller.authorize(permission, self.org).is_ok()
    }

    /// Returns the organization of the route if the caller has `permission` in it. Records a platform administrator's
    /// call in an organization of others first.
    pub(crate) async fn require(&self, permission: Permission) -> Result<OrgId, Problem> {
        self.require_all(&[permission]).await
    }

    /// Returns the organization of the route if the caller has each of these permissions in it. Records a call in an
    /// organization of others once.
    pub(crate) async fn require_all(&self, permissions: &[Permission]) -> Result<OrgId, Problem> {
        let mut access = Access::Own;
        for permission in permissions {
            access = self.caller.authorize(*permission, self.org).map_err(|error| denied(error, &self.caller))?;
        }
        if access == Access::CrossOrganization {
            let job = self.job.as_deref().and_then(|job| job.parse().ok());
            self.context.jobs.record(&self.audit(Action::CrossOrganizationAccess, job)).await?;
        }
        Ok(self.org)
    }

    /// Counts a call of the organization.
    ///
    /// # Errors
    /// When its calls of this day are used up.
    pub(crate) async fn count(&self, counted: Counted) -> Result<(), Problem> {
        let limits = self.context.daily_limits;
        Ok(self.context.jobs.count(self.org, counted, limits, Timestamp::now()).await?)
    }

    /// Creates the audit record of an action of the caller, now.
    pub(crate) fn audit(&self, action: Action, job: Option<JobId>) -> AuditRecord {
        let origin = self.origin.clone();
        AuditRecord { at: Timestamp::now(), action, subject: self.subject(), org: self.org, job, origin }
    }

    /// Returns the job of the route.
    pub(crate) fn job(&self) -> Result<JobId, Problem> {
        let job = self.job.as_deref().ok_or(MissingPart("jobId")).map_err(Problem::internal)?;
        job.parse().map_err(|error| Problem::invalid_field("/path/jobId", error))
    }

    /// Returns the month of the route.
    pub(crate) fn period(&self) -> Result<Month, Problem> {
        let period = self.period.as_deref().ok_or(MissingPart("period")).map_err(Problem::internal)?;
        period.parse().map_err(|error| Problem::invalid_field("/path/period", error))
    }

    /// Returns the caller as jobs and audit records name them.
    pub(crate) fn subject(&self) -> Subject {
        self.caller.subject().clone()
    }
}

impl FromRequestParts<Arc<Context>> for OrgScope {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, context: &Arc<Context>) -> Result<Self, Problem> {
        let caller = context.verifier.verify(bearer_token(parts)?).await?;
        let path = RawPathParams::from_request_parts(parts, context).await;
        let path = path.map_err(|error| Problem::invalid_field("/path", error.body_text()))?;
        let parameter = |wanted: &str| path.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.to_owned());
        let org = parameter("orgId").ok_or(MissingPart("orgId")).map_err(Problem::internal)?;
        let org = org.parse().map_err(|error| Problem::invalid_field("/path/orgId", error))?;
        let job = parameter("jobId");
        let period = parameter("period");
        seen(parts, &caller, Some(org));
        let origin = origin(parts)?;
        Ok(Self { context: context.clone(), caller, org, job, period, origin })
    }
}

/// Returns the origin of a request at a route, as audit records name it.
pub(crate) fn origin(parts: &Parts) -> Result<Origin, Problem> {
    let origin = parts.extensions.get::<Origin>().ok_or(MissingPart("origin")).map_err(Problem::internal)?;
    let route = parts.extensions.get::<MatchedPath>().ok_or(MissingPart("route")).map_err(Problem::internal)?;
    let operation = Some(format!("{} {}", parts.method, route.as_str()));
    Ok(Origin { operation, ..origin.clone() })
}

/// A verified caller who may read CI telemetry, which belongs to the platform. Extracting it checks the permission, so
/// no handler can forget to.
#[derive(Debug)]
pub(crate) struct CiReader(Caller);

impl CiReader {
    /// Checks the permission of a verified caller.
    pub(crate) fn of(caller: Caller) -> Result<Self, Problem> {
        caller.authorize_on_platform(Permission::ReadCi).map_err(|error| denied(error, &caller))?;
        Ok(Self(caller))
    }

    /// Reports whether the caller may see the people behind the runs.
    pub(crate) fn sees_persons(&self) -> bool {
        self.0.authorize_on_platform(Permission::ReadCiPersons).is_ok()
    }
}

impl FromRequestParts<Arc<Context>> for CiReader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, context: &Arc<Context>) -> Result<Self, Problem> {
        let caller = context.verifier.verify(bearer_token(parts)?).await?;
        seen(parts, &caller, None);
        Self::of(caller)
    }
}

/// A verified caller who may answer changes in CI telemetry, and change what it is judged by. Extracting it checks the
/// permission.
#[derive(Debug)]
pub(crate) struct CiWriter {
    caller: Caller,
    origin: Origin,
}

impl CiWriter {
    /// Checks the permission of a verified caller.
    pub(crate) fn of(caller: Caller, origin: Origin) -> Result<Self, Problem> {
        caller.authorize_on_platform(Permission::WriteCi).map_err(|error| denied(error, &caller))?;
        Ok(Self { caller, origin })
    }

    /// Returns the caller as records name them.
    pub(crate) const fn subject(&self) -> &Subject {
        self.caller.subject()
    }

    /// Returns a name of the caller that is always the same and names no person, for the log.
    pub(crate) fn pseudonym(&self) -> String {
        pseudonym(&self.caller)
    }

    /// Creates the audit record of an action of the caller, now. It is in the trail of the platform.
    pub(crate) fn audit(&self, action: Action) -> AuditRecord {
        let (subject, origin) = (self.caller.subject().clone(), self.origin.clone());
        AuditRecord { at: Timestamp::now(), action, subject, org: OrgId::PLATFORM, job: None, origin }
    }
}

impl FromRequestParts<Arc<Context>> for CiWriter {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, context: &Arc<Context>) -> Result<Self, Problem> {
        let caller = context.verifier.verify(bearer_token(parts)?).await?;
        seen(parts, &caller, None);
        Self::of(caller, origin(parts)?)
    }
}

/// The cause of a denied call, for the log.
#[derive(Debug, thiserror::Error)]
#[error("the token of {pseudonym} does not grant {permission}")]
struct Denied {
    pseudonym: String,
    permission: Permission,
}

/// Creates the problem of a denied call.
fn denied(error: Forbidden, caller: &Caller) -> Problem {
    Problem::from(error).because(Denied { pseudonym: pseudonym(caller), permission: error.0 })
}

/// Keeps who called for the log.
pub(crate) fn seen(parts: &Parts, caller: &Caller, org: Option<OrgId>) {
    if let Some(seen) = parts.extensions.get::<Seen>() {
        seen.caller(pseudonym(caller), org);
    }
}

/// Returns a name of the caller that is always the same and names no person.
pub(crate) fn pseudonym(caller: &Caller) -> String {
    let Subject { issuer, name, .. } = caller.subject();
    let digest = Sha256::digest(format!("{issuer}\n{name}"));
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the token of the one `Authorization: Bearer …` header.
fn bearer_token(parts: &Parts) -> Result<&str, Problem> {
    let missing =
        || Problem::new(Kind::MissingToken, "Send a token of the issuer in the header Authorization: Bearer ….");
    let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(missing()) };
    let (scheme, token) = value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(missing)?;
    if scheme.eq_ignore_ascii_case("Bearer") && !token.trim().is_empty() { Ok(token.trim()) } else { Err(missing()) }
}
