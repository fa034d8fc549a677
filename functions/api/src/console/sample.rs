//! What tests of several pages need.

use std::io::Write as _;

use domain::Subject;
use flate2::{Compression, write::GzEncoder};

use super::{
    shell::{Session, Shell},
    texts::Language,
};

/// The frame of a page in English, for an administrator of an organization.
pub(super) fn shell() -> Shell {
    Shell {
        language: Language::English,
        is_named: false,
        target: "/finance".to_owned(),
        now: "2026-11-26T01:43:00Z".parse().unwrap(),
        session: Some(Session {
            subject: Subject::new("https://issuer.example", "finance.user@example.com"),
            form_token: "token".to_owned(),
            ends_at: "2026-11-26T08:00:00Z".parse().unwrap(),
            org: Some("123e4567-e89b-12d3-a456-426614174000".parse().unwrap()),
            can_choose: false,
            reads_audit: true,
            is_of_platform: false,
        }),
    }
}

/// Returns the size of a text as it is sent, compressed by gzip.
pub(super) fn gzip(text: &str) -> usize {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap().len()
}
