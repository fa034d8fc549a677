//! Who visits a page: the sign-in by the provider, the session in a cookie, and the forms of a session.
//!
//! ```text
//!   page without a session ─▶ /finance/login ─▶ provider ─▶ /finance/callback ─▶ page
//! ```
//!
//! The browser has two cookies, each a random number: `__Host-login` binds attempts to sign in to the browser that began
//! them, and `__Host-session` names the session. All else is in the jobs table, under digests of these numbers.
//! [ADR 0018](../../../../../docs/adr/0018-sign-in-by-own-code.md) has the reasons.

mod attempt;
mod callback;
mod cookie;
mod form;
mod login;
mod logout;
mod return_path;
mod secret;
mod store;
mod visitor;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};

pub(crate) use self::{
    form::{FORM_TOKEN, Posted},
    visitor::{Visitor, no_such_page},
};
use crate::context::Context;

/// The paths of the sign-in.
const LOGIN: &str = "/finance/login";
pub(super) const CALLBACK: &str = "/finance/callback";
const LOGOUT: &str = "/finance/logout";

/// Returns the routes of the sign-in.
pub(super) fn routes() -> Router<Arc<Context>> {
    Router::new()
        .route(LOGIN, get(login::login))
        .route(CALLBACK, get(callback::callback))
        .route(LOGOUT, post(logout::logout).get(logout::signed_out))
}
