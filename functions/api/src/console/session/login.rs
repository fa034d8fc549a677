//! `GET /finance/login`: sends the browser to the provider.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use jiff::Timestamp;

use super::{
    attempt::{Begun, LIFETIME},
    cookie,
    return_path::ReturnPath,
    secret::Secret,
    store::Ticket,
};
use crate::{
    context::Context,
    metrics::{SignIn, count},
    problem::{Kind, Problem},
    query::Query,
};

/// Begins to sign in. `to` is the page to come back to. Whoever has a session that ended by time is not asked anything, if
/// the provider can do that.
pub(super) async fn login(
    State(context): State<Arc<Context>>,
    headers: HeaderMap,
    mut query: Query,
) -> Result<Response, Problem> {
    let to = query.optional::<ReturnPath>("to");
    let to = query.finish(Some(to))?.unwrap_or_else(ReturnPath::first);
    let is_silent = match Ticket::of(&headers) {
        Some(ticket) => ticket.session(&context.jobs, Timestamp::now()).await?.is_some(),
        None => false,
    };
    begin(&context, &headers, to, is_silent).await.inspect_err(|_| count(SignIn::Failed))
}

/// Begins an attempt, and sends the browser to the provider. A browser that has begun others, in other tabs, keeps its
/// number, so that each of them can be finished.
pub(super) async fn begin(
    context: &Context,
    headers: &HeaderMap,
    to: ReturnPath,
    is_silent: bool,
) -> Result<Response, Problem> {
    let login = context.login()?;
    let browser = match cookie::read(headers, cookie::LOGIN).and_then(Secret::parse) {
        Some(browser) => browser,
        None => Secret::new()?,
    };
    let begun = Begun::keep(&context.jobs, &browser, to, is_silent).await?;
    let address = login.address(&begun.attempt, is_silent).await?;
    let cookie = cookie::set_login(&browser, LIFETIME.as_secs())?;
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, address)], [(header::SET_COOKIE, cookie)]).into_response())
}

impl Context {
    /// Returns the way to sign in. Without one there are no pages.
    pub(super) fn login(&self) -> Result<&auth::Login, Problem> {
        self.login.as_ref().ok_or_else(|| Problem::new(Kind::NoSuchPage, "Pages are not switched on here."))
    }
}
