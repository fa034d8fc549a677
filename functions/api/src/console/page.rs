//! A request for a page: its visitor, its organization and its language; and the forms that pages send.

use std::sync::Arc;

use auth::{Caller, Permission};
use axum::{
    extract::{FromRequest, FromRequestParts, RawPathParams, Request},
    http::request::Parts,
    response::{Html, IntoResponse as _, Response},
};
use domain::Origin;
use jiff::Timestamp;
use maud::Markup;

use super::{
    session::{Posted, Visitor, no_such_page},
    shell::{Place, Session, Shell, without_language},
    texts::Language,
};
use crate::{
    context::Context,
    problem::Problem,
    query::Query,
    scope::{OrgScope, origin},
};

/// A page of an organization, for a visitor. It gives the organization only for a permission, as [`OrgScope`] does.
#[derive(Debug)]
pub(crate) struct Page {
    pub(super) scope: OrgScope,
    pub(super) shell: Shell,
    pub(super) query: Query,
}

/// A page of no organization.
#[derive(Debug)]
pub(crate) struct Lobby {
    pub(super) shell: Shell,
    pub(super) query: Query,
    pub(super) caller: Caller,
    pub(super) origin: Origin,
}

/// A form that was sent from a page of an organization.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(super) page: Page,
    pub(super) form: Form,
}

/// A form that was sent from a page of no organization.
#[derive(Debug)]
pub(crate) struct SentFromLobby {
    pub(super) lobby: Lobby,
    pub(super) form: Form,
}

/// The fields of a form.
#[derive(Debug)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Returns the text of a field; empty if it is not there.
    pub(super) fn text(&self, name: &str) -> String {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone()).unwrap_or_default()
    }
}

impl Page {
    async fn of(visitor: &Visitor, parts: &mut Parts, context: &Arc<Context>) -> Result<Self, Problem> {
        let Lobby { mut shell, query, .. } = Lobby::of(visitor, parts).await?;
        let path = RawPathParams::from_request_parts(parts, context).await.map_err(|_| no_such_page())?;
        let parameter = |wanted: &str| path.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.to_owned());
        let org = parameter("orgId").and_then(|org| org.parse().ok()).ok_or_else(no_such_page)?;
        let scope = visitor.scope(org, parameter("jobId"))?.of_period(parameter("period"));
        if let Some(session) = &mut shell.session {
            session.org = Some(org);
            session.reads_audit = scope.may(Permission::ReadAudit);
        }
        Ok(Self { scope, shell, query })
    }
}

impl Lobby {
    async fn of(visitor: &Visitor, parts: &mut Parts) -> Result<Self, Problem> {
        let Ok(mut query) = Query::from_request_parts(parts, &()).await;
        // The shell reads it.
        let _ = query.optional::<Language>("lang");
        let mut shell = Shell::of(parts);
        shell.session = Some(Session::of(visitor));
        Ok(Self { shell, query, caller: visitor.caller().clone(), origin: origin(parts)? })
    }
}

impl FromRequestParts<Arc<Context>> for Page {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, context: &Arc<Context>) -> Result<Self, Response> {
        let visitor = Visitor::from_request_parts(parts, context).await.map_err(|nobody| nobody.into_response())?;
        Self::of(&visitor, parts, context).await.map_err(Problem::into_response)
    }
}

impl FromRequestParts<Arc<Context>> for Lobby {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, context: &Arc<Context>) -> Result<Self, Response> {
        let visitor = Visitor::from_request_parts(parts, context).await.map_err(|nobody| nobody.into_response())?;
        Self::of(&visitor, parts).await.map_err(Problem::into_response)
    }
}

impl FromRequest<Arc<Context>> for Sent {
    type Rejection = Response;

    async fn from_request(request: Request, context: &Arc<Context>) -> Result<Self, Response> {
        let (mut parts, visitor, form) = posted(request, context).await?;
        let page = Page::of(&visitor, &mut parts, context).await.map_err(Problem::into_response)?;
        Ok(Self { page, form })
    }
}

impl FromRequest<Arc<Context>> for SentFromLobby {
    type Rejection = Response;

    async fn from_request(request: Request, context: &Arc<Context>) -> Result<Self, Response> {
        let (mut parts, visitor, form) = posted(request, context).await?;
        let lobby = Lobby::of(&visitor, &mut parts).await.map_err(Problem::into_response)?;
        Ok(Self { lobby, form })
    }
}

/// Reads a form of the visitor's own session.
async fn posted(request: Request, context: &Arc<Context>) -> Result<(Parts, Visitor, Form), Response> {
    let (parts, body) = request.into_parts();
    let request = Request::from_parts(parts.clone(), body);
    let posted = Posted::from_request(request, context).await.map_err(|nobody| nobody.into_response())?;
    Ok((parts, posted.visitor, Form(posted.fields)))
}

impl Shell {
    /// Creates the frame of a request without a visitor.
    pub(super) fn of(parts: &Parts) -> Self {
        let named = Language::named(&parts.uri);
        Self {
            language: named.unwrap_or_else(|| Language::preferred(&parts.headers)),
            is_named: named.is_some(),
            target: without_language(parts.uri.path(), parts.uri.query().unwrap_or_default()),
            now: Timestamp::now(),
            session: None,
        }
    }

    /// Answers with a page.
    pub(super) fn answer(&self, title: &str, place: Place, content: &Markup) -> Html<String> {
        Html(self.page(title, place, content))
    }
}

impl Session {
    fn of(visitor: &Visitor) -> Self {
        let caller = visitor.caller();
        Self {
            subject: caller.subject().clone(),
            form_token: visitor.form_token().to_owned(),
            ends_at: visitor.ends_at(),
            org: None,
            can_choose: caller.administers_platform() || caller.organizations().len() > 1,
            reads_audit: false,
            is_of_platform: caller.administers_platform(),
        }
    }
}
