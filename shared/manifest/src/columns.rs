//! The columns of a file, explained for its readers.

use domain::Granularity;
use serde::Serialize;
use utoipa::ToSchema;

/// A column of the file.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ManifestColumn)]
pub struct Column {
    /// The name in the file's first line.
    pub name: &'static str,
    /// The type: `timestamp` (RFC 3339, UTC), `uuid`, `integer`, or `decimal` with exactly four decimals.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The unit; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<&'static str>,
    /// The meaning.
    pub meaning: &'static str,
}

/// Returns the columns in the order of the file.
pub(super) fn columns(granularity: Granularity) -> [Column; 7] {
    let bucket = match granularity {
        Granularity::Hourly => "The start of the hour, in UTC.",
        Granularity::Daily => "The start of the day, in UTC.",
        Granularity::Monthly => "The start of the calendar month, in UTC.",
    };
    let column = |name, kind, unit, meaning| Column { name, kind, unit, meaning };
    [
        column("bucket_start", "timestamp", None, bucket),
        column("organization_id", "uuid", None, "The organization whose usage it is."),
        column("model_id", "uuid", None, "The model; empty for usage without one."),
        column("request_count", "integer", Some("requests"), "Requests, failed ones included."),
        column("tokens_total", "integer", Some("tokens"), "Tokens, both in and out."),
        column("error_count", "integer", Some("requests"), "Requests that failed."),
        column(
            "cost_total",
            "decimal",
            Some("USD"),
            "The cost, rounded once per line, half to even, to four decimals; negative for a credit.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use engine::recount::HEADER;

    use super::*;

    #[test]
    fn every_column_of_the_file_is_explained() {
        let names = columns(Granularity::Daily).map(|column| column.name);
        assert_eq!(names.join(","), HEADER);
    }
}
