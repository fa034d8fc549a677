//! The names that a filter can choose from.

use std::time::Duration;

use postgres::LimitedReads;
use tokio_postgres::{Client, types::Type};

use super::{Filter, ReportError, one_more_than};
use crate::sql::Parameters;

/// The names of one column, in the order of the database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// The names, at most as many as were asked for.
    pub names: Vec<String>,
    /// `true` if there are more.
    pub more: bool,
}

/// The names that runs in a range have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of `CiRun`")]
pub struct Choices {
    pub services: Names,
    pub commands: Names,
    pub environments: Names,
}

/// Reads at most `limit` services, commands and environments of the runs in the range of a filter. Each column has the
/// names that go with the filter's names of the other two, so that each choice finds runs.
///
/// The server ends the statement after `timeout`.
///
/// # Errors
/// When the database fails.
pub async fn choices(
    client: &Client,
    filter: &Filter,
    limit: usize,
    timeout: Duration,
) -> Result<Choices, ReportError> {
    let range = Filter { service: None, command: None, environment: None, ..filter.clone() };
    let mut parameters = Parameters::default();
    let in_range = range.conditions(&mut parameters).all();
    let rows = parameters.push(Type::INT8, one_more_than(limit));
    let names = [("service", &filter.service), ("command", &filter.command), ("environment", &filter.environment)];
    let mut columns = Vec::new();
    for (column, _) in names {
        let mut conditions = vec!["true".to_owned()];
        for (other, name) in names.into_iter().filter(|(other, _)| *other != column) {
            if let Some(name) = name {
                conditions.push(format!("{other} = {}", parameters.text(name)));
            }
        }
        let condition = conditions.join(" and ");
        columns.push(format!(
            "array(select distinct {column} from series where {condition} order by {column} limit {rows}) as {column}"
        ));
    }
    let query = format!(
        "with series as materialized (select distinct service, command, environment from ci_runs where {in_range})
         select {}",
        columns.join(", ")
    );
    let snapshot = LimitedReads::begin(client, timeout).await?;
    let rows = snapshot.query_typed(&query, &parameters.typed()).await?;
    let row = rows.first().ok_or(ReportError::Row("ci_runs"))?;
    let read = |column: &str| -> Result<Names, ReportError> {
        let mut names: Vec<String> = row.try_get(column)?;
        let more = names.len() > limit;
        names.truncate(limit);
        Ok(Names { names, more })
    };
    Ok(Choices { services: read("service")?, commands: read("command")?, environments: read("environment")? })
}
