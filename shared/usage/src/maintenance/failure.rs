//! The kinds of errors of a batch of the refresh.

use postgres::DatabaseError;

/// The kind of an error, which decides how the run continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The connection is lost, which ends the run.
    Lost,
    /// Another session conflicted: the next run retries.
    Contended,
    /// The statement took too long: fewer hours, or a part of one, take less time.
    TimedOut,
    /// One of the hours is the cause: the others can be computed.
    OfAnHour,
}

impl Failure {
    pub(super) fn of(error: &DatabaseError) -> Self {
        let Some(code) = error.code() else { return Self::Lost };
        if error.ends_session() {
            return Self::Lost;
        }
        match code.code() {
            "57014" => Self::TimedOut,
            "55P03" => Self::Contended,
            code if code.starts_with("40") => Self::Contended,
            _ => Self::OfAnHour,
        }
    }
}

/// Returns the SQLSTATE of an error and a sentence that names tables, columns and constraints.
///
/// The server's own message is left out, since it may quote a row.
pub(super) fn reason(error: &DatabaseError) -> (Option<String>, String) {
    let Some(code) = error.code() else { return (None, "the database did not answer".to_owned()) };
    let code = code.code();
    let mut sentence = match code {
        "23502" => "a column that must not be null has no value",
        "23503" => "a foreign key is violated",
        "23505" => "a unique key is violated",
        "23514" => "a check constraint is violated, or no partition accepts the row",
        "23P01" => "an exclusion constraint is violated",
        "22003" => "a sum is out of the range of its column",
        "42501" => "a privilege is missing",
        "55000" => "the table accepts no writes",
        "57014" => "the events could not be summed in time",
        "P0001" => "a trigger raised an error",
        _ if code.starts_with("22") => "a value does not fit",
        _ if code.starts_with("42") => "a table, column or function is not as expected",
        _ if code.starts_with("53") => "the server lacks resources",
        _ => "the server reported an error",
    }
    .to_owned();
    for (kind, name) in [("table", error.table()), ("column", error.column()), ("constraint", error.constraint())] {
        if let Some(name) = name {
            sentence += &format!(", {kind} {name}");
        }
    }
    (Some(code.to_owned()), format!("{sentence} (SQLSTATE {code})"))
}
