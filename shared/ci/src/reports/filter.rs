//! The runs that a report covers.

use jiff::Timestamp;
use postgres::to_system_time;
use tokio_postgres::types::Type;

use crate::sql::Parameters;

/// The runs that a report covers. `None` filters nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
pub struct Filter {
    /// Only this service
    #[cfg_attr(feature = "openapi", param(min_length = 1, max_length = 1024))]
    pub service: Option<String>,
    /// Only this command
    #[cfg_attr(feature = "openapi", param(min_length = 1, max_length = 1024))]
    pub command: Option<String>,
    /// Only this environment
    #[cfg_attr(feature = "openapi", param(min_length = 1, max_length = 1024))]
    pub environment: Option<String>,
    /// Only runs that began at or after this RFC 3339 timestamp, or on or after this UTC day
    #[cfg_attr(
        feature = "openapi",
        param(
            value_type = Option<String>,
            pattern = r"^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2}))?$",
            example = "2025-11-08"
        )
    )]
    pub from: Option<Timestamp>,
    /// Only runs that began before this RFC 3339 timestamp, or on or before this UTC day
    #[cfg_attr(
        feature = "openapi",
        param(
            value_type = Option<String>,
            pattern = r"^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2}))?$",
            example = "2025-11-30"
        )
    )]
    pub to: Option<Timestamp>,
}

impl Filter {
    /// Returns the conditions of the fields that are set, after adding their values to the parameters.
    pub(super) fn conditions<'a>(&'a self, parameters: &mut Parameters<'a>) -> Conditions {
        let mut conditions = Conditions::default();
        let texts = [("service", &self.service), ("command", &self.command), ("environment", &self.environment)];
        for (column, value) in texts {
            if let Some(value) = value {
                conditions.add(format!("{column} = {}", parameters.text(value)));
            }
        }
        for (comparison, value) in [(">=", self.from), ("<", self.to)] {
            if let Some(value) = value {
                let value = parameters.push(Type::TIMESTAMPTZ, to_system_time(value));
                conditions.add(format!("started_at {comparison} {value}"));
            }
        }
        conditions
    }
}

/// Conditions that must all hold.
#[derive(Debug, Default)]
pub(super) struct Conditions(Vec<String>);

impl Conditions {
    pub(super) fn add(&mut self, condition: String) {
        self.0.push(condition);
    }

    /// Returns them as one condition.
    pub(super) fn all(&self) -> String {
        if self.0.is_empty() { "true".to_owned() } else { self.0.join(" and ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_fields_that_are_set_are_conditions() {
        let all = |filter: &Filter| {
            let mut parameters = Parameters::default();
            let conditions = filter.conditions(&mut parameters).all();
            (conditions, parameters.typed().len())
        };
        assert_eq!(all(&Filter::default()), ("true".to_owned(), 0));
        let at = Some(Timestamp::UNIX_EPOCH);
        let name = || Some("name".to_owned());
        let filter = Filter { command: name(), to: at, ..Filter::default() };
        assert_eq!(all(&filter), ("command = $1 and started_at < $2".to_owned(), 2));
        let filter = Filter { service: name(), command: name(), environment: name(), from: at, to: at };
        let expected = "service = $1 and command = $2 and environment = $3 and started_at >= $4 and started_at < $5";
        assert_eq!(all(&filter), (expected.to_owned(), 5));
    }
}
