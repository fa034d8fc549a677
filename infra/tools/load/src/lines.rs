//! The lines of a file, in batches: read and checked on a thread of its own, in constant memory.

use std::io::{BufRead, BufReader, Read};

use jiff::Timestamp;
use tokio::sync::mpsc::Sender;

use crate::{
    cli::Format,
    event::{Event, FIELDS, Fields, Reason},
};

/// The longest line: some fifty times as long as an event.
pub(crate) const MAX_LINE_BYTES: usize = 16 << 10;
/// The events that are stored at a time: some ten megabytes. The more there are, the fewer packed rows are opened twice.
const BATCH: usize = 100_000;
/// The lines that are told of at a time. They hold their text: a file full of them is not for memory.
const MAX_TOLD: usize = 1000;

/// The counts of a batch of lines.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) events: Vec<Event>,
    pub(crate) rejected: Vec<Rejected>,
    /// Lines whose events the table will keep aside; they are among the events.
    pub(crate) aside: Vec<Rejected>,
    /// Lines read, without empty ones and the header.
    pub(crate) lines: u64,
}

/// A line that is no event, or whose event is kept aside.
#[derive(Debug)]
pub(crate) struct Rejected {
    pub(crate) number: u64,
    pub(crate) reason: Reason,
    pub(crate) line: Vec<u8>,
}

/// The reason why the rest of a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinesError {
    #[error("could not read line {0}")]
    Read(u64, #[source] std::io::Error),
    #[error("has no header line; it names the columns, such as {}", FIELDS.join(","))]
    NoHeader,
    #[error(
        "names column {0:?} in its header, which events do not have; --ignore-unknown-fields takes it all the same"
    )]
    UnknownColumn(String),
    #[error("names column {0} twice in its header")]
    ColumnTwice(&'static str),
    #[error("names no column {0} in its header")]
    NoColumn(&'static str),
}

/// Sends batches until the end of the file, or until nobody takes them.
pub(crate) fn read(
    file: impl Read,
    format: Format,
    ignore_unknown: bool,
    batches: &Sender<Batch>,
) -> Result<(), LinesError> {
    let mut file = BufReader::with_capacity(256 << 10, file);
    let mut line = Vec::with_capacity(1024);
    let mut number = 0;
    let mut columns = None;
    let mut batch = Batch::default();
    while next(&mut file, &mut line, &mut number)? {
        if line.is_empty() {
            continue;
        }
        if format == Format::Csv && columns.is_none() {
            columns = Some(header(&line, ignore_unknown)?);
            continue;
        }
        batch.lines += 1;
        let event = match &columns {
            _ if line.len() > MAX_LINE_BYTES => Err(Reason::TooLong(MAX_LINE_BYTES)),
            None => Event::from_json(&line, ignore_unknown),
            Some(columns) => from_csv(&line, columns),
        };
        match event {
            Ok(event) => {
                if event.is_ahead(Timestamp::now()) {
                    let reason = Reason::Ahead(event.occurred_at);
                    batch.aside.push(Rejected { number, reason, line: line.clone() });
                }
                batch.events.push(event);
            }
            Err(reason) => batch.rejected.push(Rejected { number, reason, line: line.clone() }),
        }
        let told = batch.rejected.len() + batch.aside.len();
        let full = batch.events.len() >= BATCH || told >= MAX_TOLD;
        if full && batches.blocking_send(std::mem::take(&mut batch)).is_err() {
            return Ok(());
        }
    }
    if format == Format::Csv && columns.is_none() {
        return Err(LinesError::NoHeader);
    }
    let _ = batches.blocking_send(batch);
    Ok(())
}

/// Reads a line, without its end; of one that is too long, its beginning. False at the end of the file.
fn next(file: &mut impl BufRead, line: &mut Vec<u8>, number: &mut u64) -> Result<bool, LinesError> {
    line.clear();
    *number += 1;
    let limit = MAX_LINE_BYTES as u64 + 1;
    let failed = |error| LinesError::Read(*number, error);
    if file.by_ref().take(limit).read_until(b'\n', line).map_err(failed)? == 0 {
        return Ok(false);
    }
    if line.len() > MAX_LINE_BYTES && !line.ends_with(b"\n") {
        let mut rest = Vec::new();
        loop {
            rest.clear();
            let read = file.by_ref().take(limit).read_until(b'\n', &mut rest).map_err(failed)?;
            if read == 0 || rest.ends_with(b"\n") {
                break;
            }
        }
        return Ok(true);
    }
    while line.last().is_some_and(u8::is_ascii_whitespace) {
        line.pop();
    }
    if *number == 1 && line.starts_with(b"\xef\xbb\xbf") {
        line.drain(..3);
    }
    Ok(true)
}

/// Which of [`FIELDS`] each column is.
fn header(line: &[u8], ignore_unknown: bool) -> Result<Vec<Option<usize>>, LinesError> {
    let record = record(line).map_err(|_| LinesError::NoHeader)?;
    let mut columns = Vec::new();
    for name in &record {
        let index = FIELDS.iter().position(|field| *field == name.trim());
        match index {
            None if !ignore_unknown => return Err(LinesError::UnknownColumn(name.to_owned())),
            Some(index) if columns.contains(&Some(index)) => return Err(LinesError::ColumnTwice(FIELDS[index])),
            _ => columns.push(index),
        }
    }
    // An event needs no model; all events of a file without the column would have none, which nobody means.
    match (0..FIELDS.len()).find(|index| !columns.contains(&Some(*index))) {
        Some(missing) => Err(LinesError::NoColumn(FIELDS[missing])),
        None => Ok(columns),
    }
}

fn from_csv(line: &[u8], columns: &[Option<usize>]) -> Result<Event, Reason> {
    // Without a quote, a comma is an end of a value. A reader for each line would take longer than all else.
    if !line.contains(&b'"') {
        let line = std::str::from_utf8(line).map_err(|error| Reason::Csv(error.to_string()))?;
        return from_values(line.split(','), columns);
    }
    from_values(record(line)?.iter(), columns)
}

fn from_values<'a>(values: impl Iterator<Item = &'a str>, columns: &[Option<usize>]) -> Result<Event, Reason> {
    let mut fields = Fields::default();
    let mut found = 0;
    for value in values {
        if let Some(Some(index)) = columns.get(found) {
            fields.values[*index] = Some(value);
        }
        found += 1;
    }
    if found != columns.len() {
        return Err(Reason::Width { found, expected: columns.len() });
    }
    Event::from_fields(&fields)
}

/// One line as CSV. No value of an event has a line end in it, so a quote that is not closed ends with its line.
fn record(line: &[u8]) -> Result<csv::StringRecord, Reason> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(line.len().max(1))
        .from_reader(line);
    let mut record = csv::StringRecord::new();
    match reader.read_record(&mut record) {
        Ok(_) => Ok(record),
        Err(error) => Err(Reason::Csv(match error.into_kind() {
            csv::ErrorKind::Utf8 { err, .. } => err.to_string(),
            kind => format!("{kind:?}"),
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = "0192d3e4-7a10-7c55-9f21-6b8e4d2c1a90,123e4567-e89b-12d3-a456-426614174000,,2024-01-31T23:59:59Z,12,3,success,0.01";

    fn batches(text: &[u8], format: Format) -> (Vec<Batch>, Result<(), LinesError>) {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(100);
        let done = read(text, format, false, &sender);
        drop(sender);
        let batches = std::iter::from_fn(|| receiver.blocking_recv()).collect();
        (batches, done)
    }

    #[test]
    fn bad_lines_are_known_by_their_numbers_and_hold_up_no_other() {
        let long = "x".repeat(3 * MAX_LINE_BYTES);
        let header = FIELDS.join(",");
        let text = format!("\u{feff}{header}\r\n{ROW}\r\n\n{ROW},1\n{long}\n\"{ROW}\n{ROW}");
        let (batches, done) = batches(text.as_bytes(), Format::Csv);
        done.unwrap();
        let [batch] = batches.as_slice() else { panic!("{batches:?}") };
        assert_eq!((batch.lines, batch.events.len()), (5, 2));
        let rejected: Vec<(u64, String)> =
            batch.rejected.iter().map(|rejected| (rejected.number, rejected.reason.to_string())).collect();
        assert_eq!(
            rejected,
            [
                (4, "has 9 values where the header has 8".to_owned()),
                (5, "is longer than 16384 bytes".to_owned()),
                (6, "has 1 values where the header has 8".to_owned()),
            ]
        );
        assert!(batch.rejected[1].line.len() <= MAX_LINE_BYTES + 1);
    }

    #[test]
    fn columns_may_come_in_any_order_and_have_to_be_all_there() {
        let names: Vec<&str> = FIELDS.iter().rev().copied().collect();
        let values: Vec<&str> = ROW.split(',').rev().collect();
        let (batches_found, done) =
            batches(format!("{}\n{}", names.join(","), values.join(",")).as_bytes(), Format::Csv);
        done.unwrap();
        assert_eq!(batches_found[0].events[0].cost_usd.to_string(), "0.01");
        for (header, said) in [
            ("".to_owned(), "has no header line"),
            (names[1..].join(","), "names no column cost_usd"),
            (format!("{},region", names.join(",")), "names column \"region\""),
            (format!("{},status", names.join(",")), "names column status twice"),
        ] {
            let (_, done) = batches(header.as_bytes(), Format::Csv);
            let error = done.unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
    }

    #[test]
    fn an_event_of_the_future_is_told_and_still_an_event() {
        // Milliseconds that were taken for seconds.
        let ahead = ROW.replace("2024-01-31", "9999-01-31");
        let (batches, done) = batches(format!("{}\n{ROW}\n{ahead}", FIELDS.join(",")).as_bytes(), Format::Csv);
        done.unwrap();
        assert_eq!((batches[0].events.len(), batches[0].rejected.len()), (2, 0));
        let told: Vec<(u64, String)> =
            batches[0].aside.iter().map(|aside| (aside.number, aside.reason.to_string())).collect();
        let said = "occurred_at 9999-01-31T23:59:59Z is more than a day ahead; the event is kept aside in \
                    usage_events_refused";
        assert_eq!(told, [(3, said.to_owned())]);
    }

    #[test]
    fn many_lines_come_in_batches() {
        let text = format!("{}\n", "{}").repeat(MAX_TOLD + 1);
        let (batches, done) = batches(text.as_bytes(), Format::Ndjson);
        done.unwrap();
        let sizes: Vec<usize> = batches.iter().map(|batch| batch.rejected.len()).collect();
        assert_eq!(sizes, [MAX_TOLD, 1]);
    }
}
