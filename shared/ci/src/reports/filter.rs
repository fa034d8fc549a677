//! Which runs a report is about.

use std::time::SystemTime;

use jiff::Timestamp;
use tokio_postgres::types::ToSql;

use postgres::instant;

/// The runs that a report covers. An absent field filters nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
pub struct Filter {
    /// Only this service
    pub service: Option<String>,
    /// Only this command
    pub command: Option<String>,
    /// Only this environment
    pub environment: Option<String>,
    /// Only runs that began at or after this RFC 3339 timestamp, or on or after this UTC day
    #[cfg_attr(feature = "openapi", param(value_type = Option<String>))]
    pub from: Option<Timestamp>,
    /// Only runs that began before this RFC 3339 timestamp, or on or before this UTC day
    #[cfg_attr(feature = "openapi", param(value_type = Option<String>))]
    pub to: Option<Timestamp>,
}

/// The condition of a filter's parameters, which are the first five of a query.
pub(super) const CONDITION: &str = "($1::text is null or service = $1)
    and ($2::text is null or command = $2)
    and ($3::text is null or environment = $3)
    and ($4::timestamptz is null or started_at >= $4)
    and ($5::timestamptz is null or started_at < $5)";

/// A filter as the driver takes it.
pub(super) struct Bound<'a> {
    filter: &'a Filter,
    from: Option<SystemTime>,
    to: Option<SystemTime>,
}

impl Filter {
    pub(super) fn bind(&self) -> Bound<'_> {
        Bound { filter: self, from: self.from.map(instant), to: self.to.map(instant) }
    }
}

impl Bound<'_> {
    /// The parameters of a query: those of [`CONDITION`], then `more`.
    pub(super) fn with<'b>(&'b self, more: &[&'b (dyn ToSql + Sync)]) -> Vec<&'b (dyn ToSql + Sync)> {
        let Filter { service, command, environment, .. } = self.filter;
        let own: [&(dyn ToSql + Sync); 5] = [service, command, environment, &self.from, &self.to];
        own.into_iter().chain(more.iter().copied()).collect()
    }
}
