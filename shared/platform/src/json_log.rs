//! The JSON format of the log: one flat object per event.
//!
//! Lambda filters lines by `level` and takes their time from `timestamp`. It treats lines without a `timestamp` in RFC
//! 3339 as `INFO`, whatever their level, so both are at the top level. The fields of the event and of its spans are
//! beside them, so that queries and metric filters name each field directly, such as `$.job_id`.

use std::fmt;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormattedFields,
        format::{FormatFields, JsonFields, Writer},
    },
    registry::LookupSpan,
};

use crate::process::{Process, process};

/// Formats events as JSON. An event's field takes precedence over its spans' fields of the same name, and an inner
/// span's over an outer's.
#[derive(Debug)]
pub(crate) struct JsonLine;

impl<S> FormatEvent<S, JsonFields> for JsonLine
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Map::new();
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(fields) = span.extensions().get::<FormattedFields<JsonFields>>() {
                line.extend(parse(fields)?);
            }
        }
        let mut fields = String::new();
        context.format_fields(Writer::new(&mut fields), event)?;
        line.extend(parse(&fields)?);
        if let Some(Process { service, version, .. }) = process() {
            line.insert("service".to_owned(), (*service).into());
            line.insert("version".to_owned(), (*version).into());
        }
        line.insert("timestamp".to_owned(), Timestamp::now().to_string().into());
        line.insert("level".to_owned(), event.metadata().level().as_str().into());
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// Parses fields that [`JsonFields`] formatted; a span without fields has an empty text.
fn parse(fields: &str) -> Result<Map<String, Value>, fmt::Error> {
    if fields.is_empty() { Ok(Map::new()) } else { serde_json::from_str(fields).map_err(|_| fmt::Error) }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    use tracing::{error, info, info_span, subscriber::with_default};

    use super::*;

    #[derive(Debug, Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(log: impl FnOnce()) -> Vec<Value> {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .fmt_fields(JsonFields::new())
            .event_format(JsonLine)
            .finish();
        with_default(subscriber, log);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    #[test]
    fn a_line_has_what_lambda_filters_by() {
        let before = Timestamp::now();
        let lines = logged(|| error!("a message\nof \"two\" lines"));
        assert_eq!(lines.len(), 1);
        assert_eq!(
            (&lines[0]["level"], &lines[0]["message"]),
            (&"ERROR".into(), &"a message\nof \"two\" lines".into())
        );
        let time: Timestamp = lines[0]["timestamp"].as_str().unwrap().parse().unwrap();
        assert!(before <= time && time <= Timestamp::now(), "{time}");
    }

    #[test]
    fn fields_of_event_and_spans_are_at_the_top_level() {
        let lines = logged(|| {
            let _outer = info_span!("message", job_id = "outer", receives = 3, empty = tracing::field::Empty).entered();
            let _bare = info_span!("bare").entered();
            let inner = info_span!("job", job_id = "inner", rows = 1);
            inner.record("rows", 2);
            let _inner = inner.entered();
            info!(bytes = 4_u64, level = "none", rows = tracing::field::display(5), "done");
        });
        let mut line = lines[0].clone();
        line.as_object_mut().unwrap().remove("timestamp");
        let wanted = serde_json::json!({
            "level": "INFO", "message": "done", "job_id": "inner", "receives": 3, "bytes": 4, "rows": "5",
        });
        assert_eq!(line, wanted);
    }
}
