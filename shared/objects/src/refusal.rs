//! The answers of a store that will be the same the next time.

use std::error::Error;

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};

use platform::StoreError;

/// Codes of answers with a status of refusal that another attempt may not get: of a clock, a session or a connection.
const TRANSIENT_CODES: &[&str] = &[
    "BadDigest",
    "ExpiredToken",
    "IncompleteBody",
    "InternalError",
    "NoSuchUpload",
    "OperationAborted",
    "RequestTimeTooSkewed",
    "RequestTimeout",
    "SlowDown",
    "Throttling",
    "TokenRefreshRequired",
    "XAmzContentSHA256Mismatch",
];

/// Returns the error of a request, with its kind by the store's answer.
pub(super) fn failed<E>(action: &'static str, key: &str, error: SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let status = error.raw_response().map(|answer| answer.status().as_u16());
    if is_refused(status, error.code()) {
        StoreError::refused(action, key, error)
    } else {
        StoreError::new(action, key, error)
    }
}

/// Reports whether an answer of this status and code is permanent: a wrong header, right, bucket or method.
fn is_refused(status: Option<u16>, code: Option<&str>) -> bool {
    let is_permanent = matches!(status, Some(400 | 401 | 403 | 404 | 405 | 411 | 413 | 501));
    is_permanent && !code.is_some_and(|code| TRANSIENT_CODES.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_known_by_status_and_code() {
        for (status, code, refused) in [
            (Some(400), Some("InvalidRequest"), true),
            (Some(403), Some("AccessDenied"), true),
            (Some(404), Some("NoSuchBucket"), true),
            (Some(411), Some("MissingContentLength"), true),
            (Some(501), Some("NotImplemented"), true),
            (Some(403), None, true),
            (Some(400), Some("RequestTimeout"), false),
            (Some(403), Some("RequestTimeTooSkewed"), false),
            (Some(404), Some("NoSuchUpload"), false),
            (Some(408), None, false),
            (Some(429), None, false),
            (Some(500), Some("InternalError"), false),
            (Some(503), Some("SlowDown"), false),
            (None, None, false),
        ] {
            assert_eq!(is_refused(status, code), refused, "{status:?} {code:?}");
        }
    }
}
