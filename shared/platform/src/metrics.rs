//! Metrics: one wide line of the log per unit of work, in CloudWatch's embedded metric format.
//!
//! CloudWatch makes the metrics from the lines, without a call and without a right. Each function has structs of its
//! metrics, derived by [`metrique`](https://docs.rs/metrique), which [`write()`] writes. Numbers are metrics in the
//! namespace `AnalyticsExports` with the dimension `Stack`. Texts are fields beside them: ids would cost money as
//! dimensions. A line has the fields of every other line of the log, so that one query finds both.

use std::{
    io::{self, Write as _},
    sync::{
        LazyLock, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use metrique::{
    CloseValue, InflectableEntry, RootEntry,
    emf::Emf,
    writer::{Entry, EntryWriter, IoStreamError, format::Format as _},
};
use tracing::{Level, error};

use crate::{
    invocation::Ids,
    log::Causes,
    process::{Process, process},
};

/// The namespace of the metrics. The template's alarms name it.
const NAMESPACE: &str = "AnalyticsExports";
/// The dimension of every metric.
const STACK: &str = "Stack";

/// Writes the metrics of a unit of work to stdout, as one line.
///
/// The line is written whatever the level of the log is: without it, an alarm on missing metrics would ring. Metrics
/// that do not apply to the unit are `None`. Programs that are no function write none.
pub fn write(level: Level, message: &'static str, metrics: impl CloseValue<Closed: InflectableEntry>) {
    let Some(process) = process() else { return };
    match line(process, level, message, metrics) {
        // One write, so that no other line begins within this one.
        Ok(line) => drop(io::stdout().lock().write_all(&line)),
        Err(error) => error!(error = %Causes(&error), message, "metrics not written"),
    }
}

fn line(
    process: &Process,
    level: Level,
    message: &'static str,
    metrics: impl CloseValue<Closed: InflectableEntry>,
) -> Result<Vec<u8>, IoStreamError> {
    /// `true` once the process has done a unit of work.
    static WARM: AtomicBool = AtomicBool::new(false);
    static FORMAT: LazyLock<Mutex<Emf>> =
        LazyLock::new(|| Mutex::new(Emf::all_validations(NAMESPACE.to_owned(), vec![vec![STACK.to_owned()]])));
    let unit = Unit {
        process,
        is_cold: !WARM.swap(true, Ordering::Relaxed),
        ids: Ids::present(),
        level,
        message,
        now: Timestamp::now(),
        metrics: RootEntry::new(metrics.close()),
    };
    let mut line = Vec::new();
    FORMAT.lock().unwrap_or_else(PoisonError::into_inner).format(&unit, &mut line)?;
    Ok(line)
}

/// A unit of work with what every line has.
struct Unit<'p, M> {
    process: &'p Process,
    is_cold: bool,
    ids: Option<Ids>,
    level: Level,
    message: &'static str,
    now: Timestamp,
    metrics: M,
}

impl<M: Entry> Entry for Unit<'_, M> {
    fn write<'a>(&'a self, writer: &mut impl EntryWriter<'a>) {
        writer.timestamp(SystemTime::UNIX_EPOCH + Duration::from_millis(self.now.as_millisecond().unsigned_abs()));
        writer.value("timestamp", &self.now.to_string());
        writer.value("level", self.level.as_str());
        writer.value("message", self.message);
        writer.value("service", self.process.service);
        writer.value("version", self.process.version);
        writer.value("cold_start", if self.is_cold { "true" } else { "false" });
        writer.value(STACK, &self.process.stack);
        if let Some(Ids { request_id, xray_trace_id }) = &self.ids {
            writer.value("requestId", request_id);
            writer.value("xrayTraceId", xray_trace_id);
        }
        self.metrics.write(writer);
    }
}

#[cfg(test)]
mod tests {
    use metrique::{unit::Millisecond, unit_of_work::metrics};
    use serde_json::{Value, json};

    use super::*;

    #[metrics(rename_all = "PascalCase", emf::dimension_sets = [[], ["Code"]])]
    struct Attempt {
        #[metrics(name = "job_id")]
        job_id: String,
        code: Option<&'static str>,
        attempts_failed: u64,
        #[metrics(unit = Millisecond)]
        export_ms: u64,
        rows: Option<u64>,
    }

    #[test]
    fn a_line_is_in_the_embedded_metric_format_and_has_the_fields_of_the_log() {
        let attempt =
            Attempt { job_id: "j\"1".to_owned(), code: Some("x"), attempts_failed: 1, export_ms: 12, rows: None };
        let process = Process { service: "worker", version: "dev", stack: "local".to_owned() };
        let before = Timestamp::now();
        let text = String::from_utf8(line(&process, Level::WARN, "attempt failed", attempt).unwrap()).unwrap();
        assert_eq!((text.lines().count(), text.ends_with('\n')), (1, true), "{text:?}");
        let line: Value = serde_json::from_str(&text).unwrap();
        for (name, value) in [
            ("level", json!("WARN")),
            ("message", json!("attempt failed")),
            ("service", json!("worker")),
            ("version", json!("dev")),
            ("Stack", json!("local")),
            ("job_id", json!("j\"1")),
            ("Code", json!("x")),
            ("AttemptsFailed", json!(1)),
            ("ExportMs", json!(12)),
        ] {
            assert_eq!(line[name], value, "{name}: {text}");
        }
        assert_eq!(line.get("Rows"), None, "a metric that does not apply is absent");
        let time: Timestamp = line["timestamp"].as_str().unwrap().parse().unwrap();
        assert!(before <= time && time <= Timestamp::now(), "{time}");
        assert_eq!(line["_aws"]["Timestamp"], time.as_millisecond());
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(directive["Namespace"], "AnalyticsExports");
        assert_eq!(directive["Dimensions"], json!([["Stack"], ["Stack", "Code"]]));
        let metrics = json!([{"Name": "AttemptsFailed"}, {"Name": "ExportMs", "Unit": "Milliseconds"}]);
        assert_eq!(directive["Metrics"], metrics, "{text}");
    }
}
