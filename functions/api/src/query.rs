//! Query parameters, read strictly: a misspelt filter that is ignored gives a wrong answer.

use std::{convert::Infallible, fmt::Display, mem, str::FromStr};

use axum::{extract::FromRequestParts, http::request::Parts};
use domain::request::FieldError;

use crate::problem::Problem;

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 100;

/// The parameters of a query. Reading one makes it known; [`finish`](Self::finish) names every mistake at once.
#[derive(Debug)]
pub(crate) struct Query {
    unread: Vec<(String, String)>,
    known: Vec<&'static str>,
    errors: Vec<FieldError>,
}

impl Query {
    pub(crate) fn parse(query: &str) -> Self {
        let unread = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Self { unread, known: Vec::new(), errors: Vec::new() }
    }

    /// Leaves out parameters without a value, which a browser sends for the empty fields of a form.
    pub(crate) fn without_empty(mut self) -> Self {
        self.unread.retain(|(_, value)| !value.is_empty());
        self
    }

    /// Returns the value of a parameter that was not read yet, the first one if there are several.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        self.unread.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// Reports whether one of these parameters is given. It does not read them.
    pub(crate) fn has_any(&self, names: &[&str]) -> bool {
        self.unread.iter().any(|(given, _)| names.contains(&given.as_str()))
    }

    /// Reads an optional parameter; `None` if it is absent or wrong.
    pub(crate) fn optional<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Option<T> {
        self.optional_with(name, str::parse)
    }

    /// Reads an optional parameter with a parser of its own; `None` if it is absent or wrong.
    pub(crate) fn optional_with<T, E: Display>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let value = self.take(name)?;
        self.check(name, parse(&value))
    }

    /// Reads a required parameter; `None` if it is absent or wrong. `expected` describes its value.
    pub(crate) fn required<T, E: Display>(
        &mut self,
        name: &'static str,
        expected: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let value = self.take(name);
        self.check(name, value.ok_or_else(|| format!("is required: {expected}")))
            .and_then(|value| self.check(name, parse(&value)))
    }

    /// Reads `limit`, the maximum number of entries of a page.
    pub(crate) fn limit(&mut self) -> usize {
        self.limit_up_to(MAX_LIMIT).unwrap_or(DEFAULT_LIMIT)
    }

    /// Reads `limit` for a list whose pages have another maximum; `None` if it is absent or wrong.
    pub(crate) fn limit_up_to(&mut self, max: usize) -> Option<usize> {
        self.optional_with("limit", |text| match text.parse() {
            Ok(limit) if (1..=max).contains(&limit) => Ok(limit),
            _ => Err(format!("must be a whole number from 1 to {max}")),
        })
    }

    /// Returns the value of a result, or records its error as a mistake in the parameter.
    pub(crate) fn check<T, E: Display>(&mut self, name: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(name, error)).ok()
    }

    /// Records a mistake in a parameter.
    pub(crate) fn add(&mut self, name: &str, detail: impl Display) {
        self.errors.push(FieldError { pointer: format!("/query/{name}"), detail: detail.to_string() });
    }

    /// Returns what was read from the parameters.
    ///
    /// # Errors
    /// All mistakes, those in unknown parameters last.
    pub(crate) fn finish<T>(mut self, value: Option<T>) -> Result<T, Problem> {
        for (name, _) in mem::take(&mut self.unread) {
            let known = self.known.join(", ");
            self.add(&name, format!("is not a parameter of this route; the parameters are {known}"));
        }
        match value {
            Some(value) if self.errors.is_empty() => Ok(value),
            _ => Err(Problem::invalid(self.errors)),
        }
    }

    /// Takes the value of a parameter, the first one if there are several, which is a mistake.
    fn take(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        let (found, unread): (Vec<_>, Vec<_>) =
            mem::take(&mut self.unread).into_iter().partition(|(given, _)| given == name);
        self.unread = unread;
        if found.len() > 1 {
            self.add(name, "must be given once");
        }
        found.into_iter().next().map(|(_, value)| value)
    }
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use domain::{Status, instant::parse as parse_instant};

    use super::*;

    fn read(query: &str) -> Result<(Option<Status>, usize), Vec<String>> {
        let mut query = Query::parse(query);
        let status = query.optional("status");
        let limit = query.limit();
        let start = query.required("start", "an instant", parse_instant);
        query.finish(start.map(|_| (status, limit))).map_err(|problem| problem.pointers())
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let start = "start=2024-01-01T00:00:00%2B01:00";
        assert_eq!(read(start), Ok((None, 50)));
        assert_eq!(read(&format!("limit=7&{start}&status=failed")), Ok((Some(Status::Failed), 7)));
        for (query, pointers) in [
            ("", &["/query/start"][..]),
            ("start=&limit=0", &["/query/limit", "/query/start"]),
            (
                "cursor=a&status=&limit=101&Start=b",
                &["/query/status", "/query/limit", "/query/start", "/query/cursor", "/query/Start"],
            ),
            (&format!("{start}&{start}&limit=1&limit=1"), &["/query/limit", "/query/start"]),
            (&format!("{start}&%FF=1"), &["/query/\u{fffd}"]),
        ] {
            assert_eq!(read(query).unwrap_err(), pointers, "{query}");
        }
    }
}
