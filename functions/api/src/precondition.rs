//! The header `If-Match`, by which a change names the version that it changes.

use axum::http::{HeaderMap, header};

use crate::problem::{Kind, Problem};

/// Returns the entity tag of a version.
pub(crate) fn tag(version: u32) -> String {
    format!("\"{version}\"")
}

/// Returns the version that `If-Match` names.
///
/// # Errors
/// When the header is missing, or is not one entity tag of this resource.
pub(crate) fn version(headers: &HeaderMap) -> Result<u32, Problem> {
    let mut values = headers.get_all(header::IF_MATCH).iter();
    let Some(value) = values.next() else {
        let detail = "Read what is there, change it, and send it with the header If-Match and the ETag that you read, so \
                      that no change of others is lost.";
        return Err(Problem::new(Kind::IfMatchRequired, detail));
    };
    let version = value.to_str().ok().and_then(|value| value.trim().strip_prefix('"')?.strip_suffix('"'));
    let version = version.and_then(|version| version.parse().ok()).filter(|_| values.next().is_none());
    version
        .ok_or_else(|| Problem::invalid_field("/header/If-Match", "must be the one ETag that was read, such as \"3\""))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn one_tag_names_a_version() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::IF_MATCH, HeaderValue::from_str(value).unwrap());
            }
            version(&headers).map_err(|problem| problem.pointers())
        };
        assert_eq!(read(&[&tag(7)]), Ok(7));
        assert_eq!(read(&["\"0\""]), Ok(0));
        assert_eq!(read(&[]), Err(vec![]));
        for wrong in ["", "*", "7", "W/\"7\"", "\"7\", \"8\"", "\"-1\"", "\"a\"", "\"99999999999\""] {
            assert_eq!(read(&[wrong]), Err(vec!["/header/If-Match".to_owned()]), "{wrong}");
        }
        assert_eq!(read(&["\"7\"", "\"7\""]), Err(vec!["/header/If-Match".to_owned()]));
    }
}
