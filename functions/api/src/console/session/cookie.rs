//! The two cookies. `__Host-` lets browsers take them from this host alone, with TLS, for all paths: no other host of the
//! domain can set one.

use axum::http::{HeaderMap, HeaderValue, header};

use super::secret::Secret;
use crate::problem::Problem;

/// The browser that begins to sign in.
pub(super) const LOGIN: &str = "__Host-login";
/// The session.
pub(super) const SESSION: &str = "__Host-session";

/// Returns the value of a cookie, if the request has it once. A request with two of one name is none of a browser's, as far
/// as these cookies go, so neither counts.
pub(super) fn read<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(found, _)| *found == name).map(|(_, value)| value);
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value),
        _ => None,
    }
}

/// Returns the header that sets a cookie for this many seconds; 0 removes it. Lax, so that the way back from the provider
/// has it.
fn set(name: &str, value: &str, seconds: i64) -> Result<HeaderValue, Problem> {
    let cookie = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={seconds}");
    HeaderValue::try_from(cookie).map_err(Problem::internal)
}

/// Returns the header that binds attempts to sign in to the browser.
pub(super) fn set_login(browser: &Secret, seconds: i64) -> Result<HeaderValue, Problem> {
    set(LOGIN, browser.as_str(), seconds)
}

/// Returns the header that names the session.
pub(super) fn set_session(value: &str, seconds: i64) -> Result<HeaderValue, Problem> {
    set(SESSION, value, seconds)
}

/// Returns the header that forgets the session.
pub(super) fn forget_session() -> Result<HeaderValue, Problem> {
    set(SESSION, "", 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(lines: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::COOKIE, HeaderValue::from_str(line).unwrap());
        }
        read(&headers, SESSION).map(str::to_owned)
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        assert_eq!(found(&["a=b; __Host-session=x=y;c=d"]).as_deref(), Some("x=y"));
        assert_eq!(found(&["a=b", "__Host-session=x"]).as_deref(), Some("x"));
        for none in [
            &[][..],
            &[""],
            &["__Host-session"],
            &["session=x", "__host-session=x", "x__Host-session=x", "__Host-session2=x"],
            &["a=\"__Host-session=x\""],
            &["__Host-session=x; __Host-session=y"],
            &["__Host-session=x", "__Host-session=x"],
        ] {
            assert_eq!(found(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_cookie_is_for_this_host_with_tls_and_not_for_scripts() {
        let header = set_session("a.b", 60).unwrap();
        assert_eq!(header, "__Host-session=a.b; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=60");
        assert!(set_session("a\nb", 60).is_err());
        assert!(forget_session().unwrap().to_str().unwrap().ends_with("Max-Age=0"));
    }
}
