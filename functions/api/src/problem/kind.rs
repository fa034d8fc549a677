//! The kinds of problem.

use axum::http::StatusCode;

/// The kinds of problem. Clients may rely on the `type` of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    InvalidRequest,
    InvalidToken,
    MissingToken,
    Forbidden,
    NoSuchRoute,
    NoSuchPage,
    SessionOver,
    SignInFailed,
    FormRefused,
    NoSuchJob,
    NoSuchChange,
    NoBooking,
    NoSuchKey,
    NotSigned,
    ExportNotReady,
    ExportFailed,
    ExportExpired,
    MethodNotAllowed,
    BodyTooLarge,
    UnsupportedMediaType,
    IdempotencyKeyReused,
    TooManyOpenJobs,
    DailyLimit,
    FileTooLarge,
    LedgerFull,
    NoSuchVersion,
    SettingsChanged,
    SettingsFull,
    TargetsChanged,
    TargetsFull,
    TargetsUnusable,
    IfMatchRequired,
    NotComparable,
    ChangesTooLarge,
    TookTooLong,
    Internal,
    Unavailable,
}

impl Kind {
    /// Returns the last part of the type, the status and the title.
    pub(super) const fn parts(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::InvalidRequest => ("invalid-request", StatusCode::BAD_REQUEST, "The request is not valid"),
            Self::InvalidToken => ("invalid-token", StatusCode::UNAUTHORIZED, "The token is not valid"),
            Self::MissingToken => ("missing-token", StatusCode::UNAUTHORIZED, "A token is needed"),
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN, "The token does not allow this"),
            Self::NoSuchRoute => ("no-such-route", StatusCode::NOT_FOUND, "There is no such route"),
            Self::NoSuchPage => ("no-such-page", StatusCode::NOT_FOUND, "There is no such page"),
            Self::SessionOver => ("session-over", StatusCode::FORBIDDEN, "You are not signed in"),
            Self::SignInFailed => ("sign-in-failed", StatusCode::BAD_REQUEST, "You could not be signed in"),
            Self::FormRefused => ("form-refused", StatusCode::FORBIDDEN, "The form was not accepted"),
            Self::NoSuchJob => ("no-such-job", StatusCode::NOT_FOUND, "There is no such export job"),
            Self::NoSuchChange => ("no-such-change", StatusCode::NOT_FOUND, "There is no such change"),
            Self::NoBooking => ("no-booking", StatusCode::NOT_FOUND, "Nothing was booked for this month"),
            Self::NoSuchKey => ("no-such-key", StatusCode::NOT_FOUND, "There is no such key"),
            Self::NotSigned => ("not-signed", StatusCode::NOT_FOUND, "Manifests are not signed"),
            Self::ExportNotReady => ("export-not-ready", StatusCode::NOT_FOUND, "The export is not ready yet"),
            Self::ExportFailed => ("export-failed", StatusCode::NOT_FOUND, "The export failed"),
            Self::ExportExpired => ("export-expired", StatusCode::NOT_FOUND, "The export's file has expired"),
            Self::MethodNotAllowed => {
                ("method-not-allowed", StatusCode::METHOD_NOT_ALLOWED, "The method is not allowed here")
            }
            Self::BodyTooLarge => ("body-too-large", StatusCode::PAYLOAD_TOO_LARGE, "The body is too large"),
            Self::UnsupportedMediaType => {
                ("unsupported-media-type", StatusCode::UNSUPPORTED_MEDIA_TYPE, "The content type is not supported")
            }
            Self::IdempotencyKeyReused => {
                ("idempotency-key-reused", StatusCode::CONFLICT, "The idempotency key was used for another request")
            }
            Self::TooManyOpenJobs => {
                ("too-many-open-jobs", StatusCode::TOO_MANY_REQUESTS, "Too many exports are unfinished")
            }
            Self::DailyLimit => {
                ("daily-limit", StatusCode::TOO_MANY_REQUESTS, "The organization's calls of this day are used up")
            }
            Self::FileTooLarge => ("file-too-large", StatusCode::CONFLICT, "The file is too large to verify"),
            Self::LedgerFull => ("ledger-full", StatusCode::CONFLICT, "There is no room for another entry"),
            Self::NoSuchVersion => ("no-such-version", StatusCode::NOT_FOUND, "There is no such version"),
            Self::SettingsChanged => {
                ("settings-changed", StatusCode::PRECONDITION_FAILED, "Others changed the settings meanwhile")
            }
            Self::SettingsFull => ("settings-full", StatusCode::CONFLICT, "There is no room for another version"),
            Self::TargetsChanged => {
                ("targets-changed", StatusCode::PRECONDITION_FAILED, "Others changed the targets meanwhile")
            }
            Self::TargetsFull => ("targets-full", StatusCode::CONFLICT, "There is no room for another version"),
            Self::TargetsUnusable => ("targets-unusable", StatusCode::CONFLICT, "The targets of CI cannot be used"),
            Self::IfMatchRequired => {
                ("if-match-required", StatusCode::PRECONDITION_REQUIRED, "The header If-Match is needed")
            }
            Self::NotComparable => ("not-comparable", StatusCode::CONFLICT, "The figures cannot be compared"),
            Self::ChangesTooLarge => {
                ("changes-too-large", StatusCode::CONFLICT, "The adjustment is too large for an answer")
            }
            Self::TookTooLong => ("took-too-long", StatusCode::SERVICE_UNAVAILABLE, "The answer took too long"),
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong on our side"),
            Self::Unavailable => {
                ("unavailable", StatusCode::SERVICE_UNAVAILABLE, "A part of the service does not answer")
            }
        }
    }
}
