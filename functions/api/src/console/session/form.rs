//! Forms of pages, and the proof that they are ours.
//!
//! Three things have to be right: the cookie, which browsers do not send with forms of other sites (`SameSite`); the headers
//! by which browsers say where a form is from; and the token of the session, which only its own pages contain.

use std::sync::Arc;

use axum::{
    body::to_bytes,
    extract::{FromRequest, FromRequestParts as _, Request},
    http::{HeaderMap, header},
};

use super::visitor::{NoVisitor, Visitor};
use crate::{
    context::Context,
    problem::{Kind, Problem},
};

/// The field with the session's token.
pub(crate) const FORM_TOKEN: &str = "form_token";

/// Maximum length of a form, in bytes.
const MAX_BYTES: usize = 64 << 10;

const SITE: &str = "sec-fetch-site";

/// A form that was sent from a page of the visitor's own session.
#[derive(Debug)]
pub(crate) struct Posted {
    pub(crate) visitor: Visitor,
    /// The fields in their order, without the token.
    pub(crate) fields: Vec<(String, String)>,
}

impl FromRequest<Arc<Context>> for Posted {
    type Rejection = NoVisitor;

    async fn from_request(request: Request, context: &Arc<Context>) -> Result<Self, NoVisitor> {
        let (mut parts, body) = request.into_parts();
        check_origin(&parts.headers, context.login()?.origin())?;
        let visitor = Visitor::from_request_parts(&mut parts, context).await?;
        let fields = fields(&parts.headers, body).await?;
        let (tokens, fields): (Vec<_>, Vec<_>) = fields.into_iter().partition(|(name, _)| name == FORM_TOKEN);
        match tokens.as_slice() {
            [(_, token)] => visitor.check_form(Some(token))?,
            _ => visitor.check_form(None)?,
        }
        Ok(Self { visitor, fields })
    }
}

/// Checks that a request is from a page of ours, by what the browser says. Browsers since 2023 send `Sec-Fetch-Site`, those
/// of before an `Origin`.
///
/// # Errors
/// When it is from elsewhere, or does not say where it is from.
pub(crate) fn check_origin(headers: &HeaderMap, own: &str) -> Result<(), Problem> {
    let only = |name| {
        let mut values = headers.get_all(name).iter();
        (values.next(), values.next())
    };
    let is_right = |(value, second): (Option<&axum::http::HeaderValue>, _), wanted: &str| match (value, second) {
        (None, _) => None,
        (Some(value), None::<&axum::http::HeaderValue>) => Some(value == wanted),
        (Some(_), Some(_)) => Some(false),
    };
    let site = is_right(only(SITE), "same-origin");
    let origin = is_right(only(header::ORIGIN.as_str()), own);
    match (site, origin) {
        (Some(true), None | Some(true)) | (None, Some(true)) => Ok(()),
        _ => {
            let sentence =
                "The form was not sent from a page of this service. Load the page again and repeat what you did.";
            Err(Problem::new(Kind::FormRefused, sentence))
        }
    }
}

async fn fields(headers: &HeaderMap, body: axum::body::Body) -> Result<Vec<(String, String)>, Problem> {
    const FORM: &str = "application/x-www-form-urlencoded";
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case(FORM)) {
        return Err(Problem::new(Kind::UnsupportedMediaType, "Load the page again and use its form."));
    }
    let body = to_bytes(body, MAX_BYTES).await;
    let body = body.map_err(|_| Problem::new(Kind::BodyTooLarge, "Send a form of at most 64 KiB."))?;
    Ok(form_urlencoded::parse(&body).into_owned().collect())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    const OWN: &str = "https://costs.example.com";

    fn is_ours(sent: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        check_origin(&headers, OWN).is_ok()
    }

    #[test]
    fn a_form_says_that_it_is_from_a_page_of_ours() {
        assert!(is_ours(&[(SITE, "same-origin")]));
        assert!(is_ours(&[("origin", OWN)]));
        assert!(is_ours(&[(SITE, "same-origin"), ("origin", OWN)]));
        for elsewhere in [
            &[][..],
            &[(SITE, "same-site")],
            &[(SITE, "cross-site")],
            &[(SITE, "none")],
            &[(SITE, "")],
            &[("origin", "null")],
            &[("origin", "https://costs.example.com.evil.example")],
            &[("origin", "http://costs.example.com")],
            &[("origin", "https://costs.example.com:8443")],
            &[(SITE, "cross-site"), ("origin", OWN)],
            &[(SITE, "same-origin"), ("origin", "https://evil.example")],
            &[(SITE, "same-origin"), ("origin", "null")],
            &[(SITE, "same-origin"), (SITE, "same-origin")],
            &[("origin", OWN), ("origin", OWN)],
            &[("referer", "https://costs.example.com/finance")],
        ] {
            assert!(!is_ours(elsewhere), "{elsewhere:?}");
        }
    }
}
