//! Who calls, in which organization.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::{header, request::Parts},
};
use shared::{
    auth::{Caller, Permission},
    domain::{JobId, OrgId, Subject},
};

use crate::{
    context::Context,
    problem::{Kind, Problem},
};

/// A verified caller at a route of an organization. The organization comes out only through
/// [`require`](Self::require), so no handler can forget to ask for a permission.
#[derive(Debug)]
pub(crate) struct OrgScope {
    caller: Caller,
    org: OrgId,
    job: Option<String>,
}

impl OrgScope {
    /// The organization of the route, if the caller has `permission` in it.
    pub(crate) fn require(&self, permission: Permission) -> Result<OrgId, Problem> {
        self.caller.authorize(permission, self.org)?;
        Ok(self.org)
    }

    /// The job of the route.
    pub(crate) fn job(&self) -> Result<JobId, Problem> {
        let job = self.job.as_deref().unwrap_or_default();
        job.parse().map_err(|error| Problem::invalid_field("/path/jobId", error))
    }

    /// The caller as a job remembers them.
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
        let org = parameter("orgId").unwrap_or_default();
        let org = org.parse().map_err(|error| Problem::invalid_field("/path/orgId", error))?;
        Ok(Self { caller, org, job: parameter("jobId") })
    }
}

/// The token of the one `Authorization: Bearer …` header.
fn bearer_token(parts: &Parts) -> Result<&str, Problem> {
    let missing =
        || Problem::new(Kind::MissingToken, "Send a token of the issuer in the header Authorization: Bearer ….");
    let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(missing()) };
    let (scheme, token) = value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(missing)?;
    if scheme.eq_ignore_ascii_case("Bearer") && !token.trim().is_empty() { Ok(token.trim()) } else { Err(missing()) }
}
