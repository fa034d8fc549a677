//! The answers of a stack on which all is well, for tests.

use super::facts::Facts;

/// Returns them, read as those of `doctor.py` are.
pub(super) fn healthy() -> Facts {
    let now = 1_795_000_000;
    let empty = r#"{"ok": {"waiting": 0, "in_work": 0, "delayed": 0, "oldest_seconds": null}}"#;
    let run = |numbers: &str| {
        let at = now - 60;
        format!(
            r#"{{"ok": {{"hours": 3,
                "last": {{"at": {at}, "level": "INFO", "version": "dev", "numbers": {{{numbers}}}}}}}}}"#
        )
    };
    let text = format!(
        r#"{{
            "name": "analytics-exports", "region": "us-east-1", "now": {now},
            "stack": {{"ok": {{"status": "UPDATE_COMPLETE", "created": 1700000000, "changed": 1790000000}}}},
            "due": {{"ok": {{"jobs": 0, "oldest_seconds": 0}}}},
            "queues": {{
                "ExportsQueue": {empty}, "ExportsDeadLetterQueue": {empty}, "EventsQueue": {empty},
                "EventsDeadLetterQueue": {empty}, "DeliveriesQueue": {empty},
                "DeliveriesDeadLetterQueue": {empty}, "TelemetryQueue": {empty},
                "TelemetryDeadLetterQueue": {empty}, "SchedulesDeadLetterQueue": {empty}
            }},
            "database": {{"ok": {{"standby": false, "schema": 14, "hours": 0, "oldest_seconds": 0, "failed_hours": 0}}}},
            "runs": {{
                "sweep": {sweep}, "refresh": {refresh}, "retention": {retention}, "reconcile": {reconcile},
                "monthly": {{"ok": {{"hours": 840, "last": null}}}}
            }},
            "month": {{"ok": {{
                "month": "2026-10", "over_seconds": 100000, "table_created": 1700000000, "unsucceeded": 0,
                "run": {{
                    "startedAt": "2026-11-01T03:00:00Z", "finishedAt": "2026-11-01T03:00:09Z",
                    "created": 3, "alreadyThere": 1, "failed": 0, "waiting": 0, "provisional": 0
                }}
            }}}},
            "ready": {{"ok": {{"status": 200, "detail": ""}}}},
            "versions": {{"api": {{"ok": {{"live": "3", "also": {{}}}}}}}},
            "alarms": {{"ok": []}}
        }}"#,
        sweep = run(r#""SweepErrors": 0"#),
        refresh = run(r#""OldestDirtySeconds": 0, "HoursFailed": 0"#),
        retention = run(r#""PartitionsAheadDays": 7"#),
        reconcile = run(r#""ReconciliationMismatches": 0"#),
    );
    serde_json::from_str(&text).unwrap()
}
