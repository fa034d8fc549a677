//! The answer of a reconciliation.

use std::num::ParseFloatError;

use domain::{
    ExportFile, JobId, Totals,
    reconciliation::{Difference, Percent, Tolerance, column_text, columns},
};
use jiff::Timestamp;
use manifest::CompletenessView;
use rust_decimal::Decimal;
use serde::Serialize;
use usage::Sums;
use utoipa::ToSchema;

use crate::problem::Problem;

/// The sums of a file beside the sums of its sources.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Reconciliation {
    /// The id of the job.
    #[schema(value_type = Uuid)]
    pub(super) job_id: JobId,
    /// `reconciled` if all columns are within the tolerance and the file, if it was verified, is intact; else
    /// `mismatch`.
    pub(super) status: ReconciliationStatus,
    /// The maximum difference of a column, in percent.
    pub(super) tolerance_percent: f64,
    /// The time of the comparison.
    #[schema(value_type = String, format = DateTime)]
    pub(super) checked_at: Timestamp,
    /// `true` if the sums of the rollups changed since the file was made.
    pub(super) changed_since_export: bool,
    /// The completeness of the present figures. That of the file is in its job.
    pub(super) completeness: CompletenessView,
    /// The sums, in the order of the file's columns.
    pub(super) columns: Vec<ColumnView>,
    /// The effect of rounding costs to four decimals, line by line; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rounding_difference: Option<RoundingView>,
    /// The result of verifying the file; present with `verify=file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<FileView>,
    /// Differences and omissions, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) notes: Vec<String>,
}

impl Reconciliation {
    /// Reports whether all sums agree.
    pub(crate) const fn agrees(&self) -> bool {
        matches!(self.status, ReconciliationStatus::Reconciled)
    }

    /// Returns the time of the comparison.
    pub(crate) const fn checked_at(&self) -> Timestamp {
        self.checked_at
    }

    /// Returns the sums of the columns.
    pub(crate) fn columns(&self) -> &[ColumnView] {
        &self.columns
    }

    /// Returns differences and omissions, in words.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// The sums of one column, as exact text in the format of the file.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ReconciledColumn)]
pub(crate) struct ColumnView {
    /// The column's name in the file.
    pub(crate) column: &'static str,
    /// The sum of the file, as recorded when it was written or, where it was verified by reading, as read from it.
    pub(crate) csv: String,
    /// The present sum of the rollups.
    pub(crate) rollup: String,
    /// The present sum of the raw events; absent unless they are kept for the whole range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) raw: Option<String>,
    /// The file's excess over the rollups, in percent of the sum of the rollups. Absent if only that sum is 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) difference_percent: Option<f64>,
    /// The rollups' excess over the raw events, in percent of the sum of the raw events. Absent if only that sum is 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) raw_difference_percent: Option<f64>,
    /// `true` if the differences are within the tolerance.
    pub(super) within_tolerance: bool,
}

/// The exact sums of costs minus the sums of the lines, whose costs are rounded: dollars with all their decimals.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RoundingDifferences)]
pub(super) struct RoundingView {
    /// That of the file; absent if it was made before the difference was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    csv: Option<String>,
    /// That of the present rollups.
    rollup: String,
    /// That of the present raw events; absent unless they are kept for the whole range.
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<String>,
}

/// The result of verifying a file.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = VerifiedFile)]
pub(super) struct FileView {
    /// The method of the verification.
    pub(super) method: Method,
    /// `true` if the file is the one that was written, by its method.
    pub(super) is_intact: bool,
    /// The checksum of the bytes; absent if they were not read, or if the file is missing or is no export.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) checksum: Option<String>,
    /// The number of rows, without the header; absent where `checksum` is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) row_count: Option<u64>,
}

/// The method of a verification. `read`: all bytes were read, and their SHA-256, rows and totals compared with the job's.
/// `store`: the file, of more than 64 MiB, was not read; the store states the same size, tag and checksum as right after
/// the upload.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = VerificationMethod)]
pub(super) enum Method {
    Read,
    Store,
}

/// The outcome of a reconciliation.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ReconciliationStatus {
    Reconciled,
    Mismatch,
}

impl RoundingView {
    /// Creates the view of the differences; `None` if all of them are zero.
    pub(super) fn new(file: &ExportFile, rollup: &Sums, raw: Option<&Sums>) -> Option<Self> {
        let of = |sums: &Sums| sums.exact_cost - sums.lines.cost_total;
        let csv = file.rounding_difference;
        let rollup = of(rollup);
        let raw = raw.map(of);
        let is_any = [csv, Some(rollup), raw].into_iter().flatten().any(|difference| !difference.is_zero());
        let text = |difference: Decimal| difference.normalize().to_string();
        is_any.then(|| Self { csv: csv.map(text), rollup: text(rollup), raw: raw.map(text) })
    }
}

/// Compares the sums of each column.
pub(super) fn compare(
    csv: &Totals,
    rollup: &Totals,
    raw: Option<&Totals>,
    tolerance: Tolerance,
) -> Result<Vec<ColumnView>, Problem> {
    let raw = raw.map(columns);
    let pairs = columns(csv).into_iter().zip(columns(rollup)).enumerate();
    let compared = pairs.map(|(index, ((column, csv), (_, rollup)))| {
        let raw = raw.map(|raw| raw[index].1);
        let difference = Difference::new(csv, rollup);
        let raw_difference = raw.map(|raw| Difference::new(rollup, raw));
        let percent = |difference: Difference| difference.percent().as_ref().map(number::<Percent>).transpose();
        Ok(ColumnView {
            column,
            csv: column_text(column, csv),
            rollup: column_text(column, rollup),
            raw: raw.map(|raw| column_text(column, raw)),
            difference_percent: percent(difference)?,
            raw_difference_percent: raw_difference.map(percent).transpose()?.flatten(),
            within_tolerance: difference.is_within(tolerance)
                && raw_difference.is_none_or(|difference| difference.is_within(tolerance)),
        })
    });
    compared.collect()
}

/// Converts a number of few digits into a JSON number.
pub(super) fn number<T: ToString>(exact: &T) -> Result<f64, Problem> {
    exact.to_string().parse().map_err(|error: ParseFloatError| Problem::internal(error))
}
