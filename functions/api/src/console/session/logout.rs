//! `/finance/logout`: ends the session, here and at the provider.

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    http::header,
    response::{Html, IntoResponse as _, Response},
};
use jiff::Timestamp;
use platform::log::Causes;

use super::{LOGOUT, cookie, form::Posted, return_path::ReturnPath};
use crate::{
    console::shell::Shell,
    context::Context,
    metrics::{SignIn, count},
    problem::Problem,
    scope::pseudonym,
};

/// `POST`: ends the session here. The page that says so goes on to the provider, which ends its own session.
///
/// It is a page with a `Refresh` and no redirect: browsers apply `form-action` to redirects after a form, too.
pub(super) async fn logout(
    State(context): State<Arc<Context>>,
    Extension(shell): Extension<Shell>,
    posted: Posted,
) -> Result<Response, Problem> {
    let Posted { visitor, .. } = posted;
    visitor.ticket.end(&context.jobs, Timestamp::now()).await?;
    count(SignIn::SignedOut(pseudonym(visitor.caller())));
    // Who signs out has done so, whatever the provider says.
    let onwards = context.login()?.end_address(LOGOUT).await.unwrap_or_else(|error| {
        tracing::warn!(error = %Causes(&error), "session not ended at the provider");
        None
    });
    let mut response = page(&shell);
    response.headers_mut().insert(header::SET_COOKIE, cookie::forget_session()?);
    if let Some(address) = onwards {
        let refresh = format!("0; url={address}").try_into().map_err(Problem::internal)?;
        response.headers_mut().insert(header::REFRESH, refresh);
    }
    Ok(response)
}

/// `GET`: the page to which the provider sends the browser back.
pub(super) async fn signed_out(Extension(shell): Extension<Shell>) -> Response {
    page(&shell)
}

fn page(shell: &Shell) -> Response {
    Html(shell.signed_out(&ReturnPath::first().sign_in())).into_response()
}
