//! Sessions in the jobs table, and the cookie that names one.

use auth::{Caller, StoredCaller};
use jiff::{SignedDuration, Timestamp};
use jobs::{JobsTable, Place};
use serde::{Deserialize, Serialize};

use super::{cookie, secret::Secret};
use crate::{problem::Problem, scope::pseudonym};

/// Maximum time of a session. It ends with the token at the latest.
const MAX_LIFETIME: SignedDuration = SignedDuration::from_hours(8);

/// The time for which an ended session is kept, so that its page can say when it ended, and so that a form that was filled in
/// before is still good after the next sign-in.
pub(super) const KEPT_AFTER: SignedDuration = SignedDuration::from_hours(24);

/// A session. It holds what the token said, not the token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Session {
    caller: StoredCaller,
    /// What each form of the session carries.
    pub(super) form_token: Secret,
    pub(super) began: Timestamp,
    pub(super) ends: Timestamp,
}

/// The value of a session's cookie: the pseudonym of its subject, and its secret.
#[derive(Debug, Clone)]
pub(super) struct Ticket {
    pseudonym: String,
    secret: Secret,
}

impl Session {
    /// Returns a session of a person who signed in now, whose token ends at this time.
    pub(super) fn begin(caller: &Caller, token_ends: i64, form_token: Secret, now: Timestamp) -> Self {
        let longest = now.saturating_add(MAX_LIFETIME).unwrap_or(Timestamp::MAX);
        let ends = Timestamp::from_second(token_ends).map_or(longest, |ends| ends.min(longest));
        Self { caller: caller.into(), form_token, began: now, ends }
    }

    pub(super) fn caller(&self) -> Caller {
        self.caller.clone().into()
    }

    /// Keeps the session under a new ticket.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub(super) async fn keep(&self, jobs: &JobsTable) -> Result<Ticket, Problem> {
        let ticket = Ticket { pseudonym: pseudonym(&self.caller()), secret: Secret::new()? };
        let until = self.ends.saturating_add(KEPT_AFTER).unwrap_or(Timestamp::MAX);
        jobs.keep(&ticket.place(), self, until).await?;
        Ok(ticket)
    }
}

impl Ticket {
    /// Reads the ticket of a request.
    pub(super) fn of(headers: &axum::http::HeaderMap) -> Option<Self> {
        const PSEUDONYM_LENGTH: usize = 16;
        let (pseudonym, secret) = cookie::read(headers, cookie::SESSION)?.split_once('.')?;
        let is_one = pseudonym.len() == PSEUDONYM_LENGTH && pseudonym.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_one {
            return None;
        }
        Some(Self { pseudonym: pseudonym.to_owned(), secret: Secret::parse(secret)? })
    }

    /// Returns the value of the cookie.
    pub(super) fn cookie(&self) -> String {
        format!("{}.{}", self.pseudonym, self.secret.as_str())
    }

    /// Returns the session, which may have ended by time. `None` if there is none, or if it was ended by a person.
    ///
    /// # Errors
    /// When the table does not answer.
    pub(super) async fn session(&self, jobs: &JobsTable, now: Timestamp) -> Result<Option<Session>, Problem> {
        Ok(jobs.kept(&self.place(), now).await?)
    }

    /// Ends the session, and returns it.
    ///
    /// # Errors
    /// When the table does not confirm it.
    pub(super) async fn end(&self, jobs: &JobsTable, now: Timestamp) -> Result<Option<Session>, Problem> {
        Ok(jobs.take(&self.place(), now).await?)
    }

    fn place(&self) -> Place {
        Place::of_session(&self.pseudonym, &self.secret.digest())
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};

    use super::*;

    fn ticket(value: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::from_str(&format!("__Host-session={value}")).unwrap());
        Ticket::of(&headers).map(|ticket| ticket.cookie())
    }

    #[test]
    fn a_ticket_reads_back_and_nothing_else_is_one() {
        let secret = "a".repeat(42) + "A";
        let good = format!("0123456789abcdef.{secret}");
        assert_eq!(ticket(&good), Some(good.clone()));
        for wrong in [
            "",
            ".",
            &secret,
            &format!(".{secret}"),
            &format!("0123456789abcde.{secret}"),
            &good[1..],
            &format!("{good}a"),
        ] {
            assert_eq!(ticket(wrong), None, "{wrong}");
        }
    }
}
