//! The visitor of a page: whoever has a session.

use std::sync::Arc;

use auth::Caller;
use axum::{
    extract::FromRequestParts,
    http::{Method, request::Parts},
    response::{IntoResponse, Redirect, Response},
};
use domain::{OrgId, Origin};
use jiff::Timestamp;

use super::{
    return_path::ReturnPath,
    store::{Session, Ticket},
};
use crate::{
    context::Context,
    problem::{Kind, Problem},
    scope::{OrgScope, origin, pseudonym, seen},
};

/// A verified session, and what its person may do. Extracting it is the only way to get one, so no page can forget to ask.
///
/// Without a session, a `GET` is sent to the sign-in and comes back, and a form gets a page that says so: the browser keeps
/// what was filled in.
#[derive(Debug)]
pub(crate) struct Visitor {
    context: Arc<Context>,
    caller: Caller,
    session: Session,
    pub(super) ticket: Ticket,
    origin: Origin,
}

/// The answer to somebody without a session.
#[derive(Debug)]
pub(crate) enum NoVisitor {
    /// Go and sign in.
    SignIn(String),
    /// A problem, also that the session is over.
    Problem(Problem),
}

impl Visitor {
    /// Returns who visits, with the organizations and permissions of the token that the session began with.
    pub(crate) const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Returns the text that each form of the session carries in the field [`FORM_TOKEN`](super::form::FORM_TOKEN).
    pub(crate) fn form_token(&self) -> &str {
        self.session.form_token.as_str()
    }

    /// Returns the end of the session.
    pub(crate) const fn ends_at(&self) -> Timestamp {
        self.session.ends
    }

    /// Returns the scope of an organization's page, by whose `require` the page asks for its permission as a route does;
    /// `job` is that of the page's address, if it has one.
    ///
    /// # Errors
    /// When the organization is none of the visitor's: as if there was no such page, whatever exists.
    pub(crate) fn scope(&self, org: OrgId, job: Option<String>) -> Result<OrgScope, Problem> {
        if !self.caller.may_enter(org) {
            return Err(no_such_page().because(Elsewhere { pseudonym: pseudonym(&self.caller), org }));
        }
        Ok(OrgScope::of_page(self.context.clone(), self.caller.clone(), org, job, self.origin.clone()))
    }

    /// Checks that a form is one of this session's.
    ///
    /// # Errors
    /// When its token is another.
    pub(crate) fn check_form(&self, token: Option<&str>) -> Result<(), Problem> {
        if token.is_some_and(|token| self.session.form_token.is(token)) {
            return Ok(());
        }
        let sentence = "The form is not one of your present session. Load the page again and repeat what you did.";
        Err(Problem::new(Kind::FormRefused, sentence))
    }
}

/// The cause of a refused page, for the log.
#[derive(Debug, thiserror::Error)]
#[error("{pseudonym} visited the organization {org} of others")]
struct Elsewhere {
    pseudonym: String,
    org: OrgId,
}

/// Returns the problem of a page that is not there, or not for this visitor.
pub(crate) fn no_such_page() -> Problem {
    Problem::new(Kind::NoSuchPage, "Check the address, or begin at /finance.")
}

impl FromRequestParts<Arc<Context>> for Visitor {
    type Rejection = NoVisitor;

    async fn from_request_parts(parts: &mut Parts, context: &Arc<Context>) -> Result<Self, NoVisitor> {
        let now = Timestamp::now();
        let ticket = Ticket::of(&parts.headers);
        let session = match &ticket {
            Some(ticket) => ticket.session(&context.jobs, now).await?,
            None => None,
        };
        match ticket.zip(session) {
            Some((ticket, session)) if session.ends > now => {
                let caller = session.caller();
                seen(parts, &caller, None);
                Ok(Self { context: context.clone(), caller, session, ticket, origin: origin(parts)? })
            }
            Some((_, session)) => Err(NoVisitor::at(parts, Some(session.ends))),
            None => Err(NoVisitor::at(parts, None)),
        }
    }
}

impl NoVisitor {
    fn at(parts: &Parts, ended: Option<Timestamp>) -> Self {
        // What a script asks for cannot go elsewhere to sign in: its page does.
        let is_navigation = parts.headers.get("sec-fetch-mode").is_none_or(|mode| mode == "navigate");
        if is_navigation && matches!(parts.method, Method::GET | Method::HEAD) {
            return Self::SignIn(ReturnPath::of(&parts.uri).sign_in());
        }
        let sentence = match ended {
            Some(at) => format!("Your session ended at {} UTC. Sign in again", at.strftime("%H:%M")),
            None => "Nobody is signed in. Sign in".to_owned(),
        };
        let sentence = format!("{sentence} in another tab, then send the form again: the browser has kept it.");
        let first = ReturnPath::first().sign_in();
        Self::Problem(Problem::new(Kind::SessionOver, sentence).sign_in_at(first))
    }
}

impl From<Problem> for NoVisitor {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl IntoResponse for NoVisitor {
    fn into_response(self) -> Response {
        match self {
            Self::SignIn(path) => Redirect::to(&path).into_response(),
            Self::Problem(problem) => problem.into_response(),
        }
    }
}
