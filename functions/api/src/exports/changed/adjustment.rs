//! The changes as CSV.

use axum::{
    http::header,
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
