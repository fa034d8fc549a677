//! The changes as CSV.

use axum::{
    http::{HeaderMap, header},
    response::{IntoResponse as _, Response},
};
use domain::{
    Job, OrgId,
    changes::{Adjustment, Change, Level},
};
use objects::ExportObject;

use super::{Against, BY_HAND};
use crate::problem::{Kind, Problem};

/// Maximum size of an adjustment. An answer of a function may have 6 MB.
const MAX_BYTES: usize = 5 << 20;

/// The lines of an adjustment.
pub(super) struct Csv(Adjustment);

/// Reports whether the first of the accepted types that this route has is CSV. JSON is the default.
pub(super) fn wants_csv(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types = accepted
        .flat_map(|value| value.split(','))
        .map(|range| range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    types.find(|name| ["text/csv", "application/json", "*/*"].contains(&name.as_str())).as_deref() == Some("text/csv")
}

impl Csv {
    pub(super) fn new(org: OrgId) -> Self {
        Self(Adjustment::new(org))
    }

    pub(super) fn add(&mut self, change: &Change) -> Result<(), Problem> {
        self.0.add(change);
        if self.0.length() <= MAX_BYTES {
            return Ok(());
        }
        let detail = format!("The adjustment is larger than 5 MiB, the most that an answer may have. {BY_HAND}");
        Err(Problem::new(Kind::ChangesTooLarge, detail))
    }

    /// Returns the answer, whose name tells both jobs.
    pub(super) fn answer(mut self, old: &Job, against: Against, level: Level) -> Response {
        let name = ExportObject::of(old).name(old.request());
        let name = name.trim_start_matches("usage-").trim_end_matches(".csv");
        let against = against.to_string();
        let tail = against.get(against.len().saturating_sub(8)..).unwrap_or(&against);
        let level = if level == Level::Row { "" } else { "-days" };
        let headers = [
            (header::CONTENT_TYPE, ExportObject::CONTENT_TYPE.to_owned()),
            (header::CONTENT_DISPOSITION, format!("attachment; filename=\"adjustment-{name}-{tail}{level}.csv\"")),
            (header::VARY, "Accept".to_owned()),
        ];
        (headers, self.0.take()).into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_first_type_that_is_known_counts() {
        let wants = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            wants_csv(&headers)
        };
        for csv in ["text/csv", "TEXT/CSV; charset=utf-8", "text/html, text/csv;q=0.9, */*"] {
            assert!(wants(csv), "{csv}");
        }
        for json in ["", "*/*", "application/json", "application/json, text/csv", "*/*, text/csv", "text/plain"] {
            assert!(!wants(json), "{json}");
        }
        assert!(!wants_csv(&HeaderMap::new()));
    }
}
