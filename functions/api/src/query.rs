//! Query parameters, read strictly: a misspelt filter that is ignored gives a wrong answer.

use axum::{extract::FromRequestParts, http::request::Parts};
use shared::domain::request::FieldError;

use crate::problem::Problem;

/// The parameters of a query, each of which has a value and stands there once.
#[derive(Debug)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Takes the known parameters out, in the order of `known`.
    pub(crate) fn take<const N: usize>(self, known: [&str; N]) -> Result<[Option<String>; N], Problem> {
        let mut values = [const { None }; N];
        let mut errors = Vec::new();
        for (name, value) in self.0 {
            let detail = match known.iter().position(|known| *known == name) {
                None => format!("is not a parameter of this route; the parameters are {}", known.join(", ")),
                Some(at) if values[at].is_none() => {
                    values[at] = Some(value);
                    continue;
                }
                Some(_) => "must be given once".to_owned(),
            };
            errors.push(FieldError { pointer: format!("/query/{name}"), detail });
        }
        if errors.is_empty() { Ok(values) } else { Err(Problem::invalid(errors)) }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::from_request_parts(parts, state).await;
        let query = query.map_err(|error| Problem::invalid_field("/query", error.body_text()))?;
        Ok(Self(query.0))
    }
}
