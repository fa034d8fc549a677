//! `GET /finance/callback`: the way back from the provider.

use std::sync::Arc;

use auth::{LoginError, SignedIn};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use jiff::Timestamp;

use super::{
    attempt::Begun,
    cookie, login,
    return_path::ReturnPath,
    secret::Secret,
    store::{KEPT_AFTER, Session, Ticket},
};
use crate::{
    context::Context,
    metrics::{SignIn, count},
    problem::{Kind, Problem},
    scope::{pseudonym, seen},
};

/// The answers of a provider that would have to ask the person, by OpenID Connect Core 1.0, section 3.1.2.6.
const ASKS: [&str; 4] = ["login_required", "interaction_required", "consent_required", "account_selection_required"];

/// What the provider answered.
#[derive(Debug, Default)]
struct Answer {
    state: Option<String>,
    code: Option<String>,
    issuer: Option<String>,
    error: Option<String>,
}

/// Finishes the sign-in: the attempt, the code, the tokens, a new session.
pub(super) async fn callback(State(context): State<Arc<Context>>, parts: Parts) -> Result<Response, Problem> {
    match finish(&context, &parts).await {
        Ok(response) => Ok(response),
        Err(problem) => {
            count(SignIn::Failed);
            Err(problem)
        }
    }
}

async fn finish(context: &Context, parts: &Parts) -> Result<Response, Problem> {
    let answer = Answer::read(parts.uri.query().unwrap_or_default())?;
    let begun = attempt(context, &parts.headers, &answer).await?;
    context.login()?.check_issuer(answer.issuer.as_deref()).await?;
    if let Some(error) = &answer.error {
        if begun.is_silent && ASKS.contains(&error.as_str()) {
            return login::begin(context, &parts.headers, begun.to, false).await;
        }
        return Err(declined(error, &begun.to));
    }
    let code =
        answer.code.ok_or_else(|| failed("The provider's answer has neither a code nor an error.", &begun.to))?;
    let signed_in = context.login()?.finish(&context.verifier, &begun.attempt, &code).await?;
    seen(parts, &signed_in.caller, None);
    welcome(context, &parts.headers, &signed_in, &begun.to).await
}

/// Takes the attempt that the answer is of. It must be one of this browser's, and can be taken once.
async fn attempt(context: &Context, headers: &HeaderMap, answer: &Answer) -> Result<Begun, Problem> {
    let unknown = || {
        let sentence = "This sign-in was finished before, took longer than ten minutes, or was begun in another browser. \
                        Begin again.";
        failed(sentence, &ReturnPath::first())
    };
    let state = answer.state.as_deref().ok_or_else(unknown)?;
    let browser = cookie::read(headers, cookie::LOGIN).and_then(Secret::parse).ok_or_else(unknown)?;
    Begun::take(&context.jobs, state, &browser).await?.ok_or_else(unknown)
}

/// Begins a session with a ticket of its own, ends the one of before, and sends the browser to its page.
async fn welcome(
    context: &Context,
    headers: &HeaderMap,
    signed_in: &SignedIn,
    to: &ReturnPath,
) -> Result<Response, Problem> {
    let now = Timestamp::now();
    let before = match Ticket::of(headers) {
        Some(ticket) => ticket.end(&context.jobs, now).await?,
        None => None,
    };
    // Pages that are open in other tabs have forms of the session before. They stay good for the same person.
    let is_same = |before: &Session| before.caller().subject() == signed_in.caller.subject();
    let form_token = match before.filter(is_same) {
        Some(before) => before.form_token,
        None => Secret::new()?,
    };
    let session = Session::begin(&signed_in.caller, signed_in.token_ends, form_token, now);
    // Otherwise the page would send the browser here again, and so on.
    if session.ends <= now {
        return Err(failed("The sign-in that the provider gave you has ended already. Begin again.", to));
    }
    let ticket = session.keep(&context.jobs).await?;
    count(SignIn::SignedIn(pseudonym(&signed_in.caller)));
    // Longer than the session, so that its end can be told from no session at all.
    let cookie =
        cookie::set_session(&ticket.cookie(), session.ends.duration_since(now).as_secs() + KEPT_AFTER.as_secs())?;
    let location = to.as_str().to_owned();
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, location)], [(header::SET_COOKIE, cookie)]).into_response())
}

impl Answer {
    /// Reads the query. Providers add parameters of their own; one of these that is there twice is a mistake.
    fn read(query: &str) -> Result<Self, Problem> {
        let mut answer = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let member = match &*name {
                "state" => &mut answer.state,
                "code" => &mut answer.code,
                "iss" => &mut answer.issuer,
                "error" => &mut answer.error,
                _ => continue,
            };
            if member.replace(value.into_owned()).is_some() {
                return Err(failed("The provider's answer has a parameter twice. Begin again.", &ReturnPath::first()));
            }
        }
        Ok(answer)
    }
}

/// The cause of a failed sign-in, for the log.
#[derive(Debug, thiserror::Error)]
#[error("the provider answered {0}")]
struct Declined(String);

/// Returns the problem of a provider that signed nobody in. Its own words are not shown: anybody can write them into a link.
fn declined(error: &str, to: &ReturnPath) -> Problem {
    let name: String =
        error.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '_').take(60).collect();
    let sentence = match error {
        "access_denied" => {
            "The sign-in was cancelled, or your account may not use this service. Try again, or ask the administrator of \
             your accounts."
        }
        "temporarily_unavailable" | "server_error" => {
            "The provider of your account has a fault. Try again in a minute."
        }
        _ => {
            "The provider of your account did not sign you in. Try again; if that does not help, contact platform \
             engineering and give them the request below."
        }
    };
    failed(sentence, to).because(Declined(name))
}

fn failed(sentence: &str, to: &ReturnPath) -> Problem {
    Problem::new(Kind::SignInFailed, sentence).sign_in_at(to.sign_in())
}

impl From<LoginError> for Problem {
    fn from(error: LoginError) -> Self {
        let sentence = match &error {
            LoginError::Unavailable(_) => {
                let sentence = "The provider of your account does not answer. Try again in a minute.";
                return Self::new(Kind::Unavailable, sentence).sign_in_at(ReturnPath::first().sign_in()).because(error);
            }
            LoginError::Secret(_) | LoginError::Random(_) => return Self::internal(error),
            LoginError::Refused(_) | LoginError::RefusedByProvider(_) => {
                "The provider's answer is not one to this sign-in. Begin again."
            }
            LoginError::Token(_) => {
                "Your account is not set up for this service. Contact platform engineering and give them the request below."
            }
        };
        failed(sentence, &ReturnPath::first()).because(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_each_parameter_once() {
        let answer = Answer::read("code=a%2B&state=b&iss=c&session_state=d&scope=e").unwrap();
        assert_eq!(answer.code.as_deref(), Some("a+"));
        assert_eq!((answer.state.as_deref(), answer.issuer.as_deref(), answer.error), (Some("b"), Some("c"), None));
        for twice in ["state=a&state=a", "code=a&state=b&code=c", "iss=a&iss=b", "error=a&error=b"] {
            assert!(Answer::read(twice).is_err(), "{twice}");
        }
    }
}
