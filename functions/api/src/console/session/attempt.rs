//! An attempt to sign in, in the jobs table for ten minutes.
//!
//! It is there and not in a sealed cookie, since it can be taken once, which a cookie cannot, and needs no key.

use auth::Attempt;
use jiff::{SignedDuration, Timestamp};
use jobs::{JobsTable, Place};
use serde::{Deserialize, Serialize};

use super::{
    return_path::ReturnPath,
    secret::{Secret, digest},
};
use crate::problem::Problem;

/// The time in which a person signs in.
pub(super) const LIFETIME: SignedDuration = SignedDuration::from_mins(10);

/// An attempt, and what it is for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Begun {
    pub(super) attempt: Attempt,
    pub(super) to: ReturnPath,
    /// Whether the provider is to ask the person nothing.
    pub(super) is_silent: bool,
}

impl Begun {
    /// Begins an attempt of a browser.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub(super) async fn keep(
        jobs: &JobsTable,
        browser: &Secret,
        to: ReturnPath,
        is_silent: bool,
    ) -> Result<Self, Problem> {
        let attempt = Attempt::new().map_err(Problem::internal)?;
        let begun = Self { attempt, to, is_silent };
        let until = Timestamp::now().saturating_add(LIFETIME).unwrap_or(Timestamp::MAX);
        jobs.keep(&place(&begun.attempt.state, browser), &begun, until).await?;
        Ok(begun)
    }

    /// Takes the attempt of a state and a browser, once. `None` if there is none, or if it is over.
    ///
    /// # Errors
    /// When the table does not answer.
    pub(super) async fn take(jobs: &JobsTable, state: &str, browser: &Secret) -> Result<Option<Self>, Problem> {
        Ok(jobs.take(&place(state, browser), Timestamp::now()).await?)
    }
}

/// Returns the place of an attempt. Another browser does not find it, and cannot use it up.
fn place(state: &str, browser: &Secret) -> Place {
    Place::of_login(&digest(&format!("{state}\n{}", browser.as_str())))
}
