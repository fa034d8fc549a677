//! The rows of the work that waits: jobs, messages, usage, the month's exports.

use std::fmt::Write as _;

use super::{
    facts::{Answer, Facts, Month, MonthlyRun, Queue},
    verdict::{Row, count, span},
};

/// The time for which a job may be due. The sweep comes every 15 minutes at most.
const MAX_DUE_SECONDS: i64 = 1200;
/// The time for which a message or an event may wait, as their alarms have it.
const MAX_WAIT_SECONDS: i64 = 900;
/// The time after the end of a month by which its exports have ended.
const MONTH_LATE_SECONDS: i64 = 12 * 3600;

/// The dead letters of a queue: their origin, and their section of the runbook.
type Letters = (&'static str, &'static str);

/// The queues of the page: logical id, label, and the dead letters of those that have them.
const QUEUES: [(&str, &str, Option<Letters>); 9] = [
    ("ExportsQueue", "queue", None),
    ("ExportsDeadLetterQueue", "dead letters", Some(("of exports", "deadlettersalarm"))),
    ("EventsQueue", "events to tell", None),
    ("EventsDeadLetterQueue", "events not told", Some(("of events", "eventsdeadlettersalarm"))),
    ("DeliveriesQueue", "copies to make", None),
    ("DeliveriesDeadLetterQueue", "copies not made", Some(("of deliveries", "deliveriesdeadlettersalarm"))),
    ("TelemetryQueue", "CI queue", None),
    ("TelemetryDeadLetterQueue", "CI dead letters", Some(("of CI's documents", "telemetrydeadlettersalarm"))),
    ("SchedulesDeadLetterQueue", "lost schedules", Some(("of schedules", "schedulesdeadlettersalarm"))),
];

/// Judges the jobs that the sweep has to act on.
pub(super) fn due(facts: &Facts) -> Row {
    Row::of("due jobs", "The table of jobs", &facts.due, |row, due| {
        if due.jobs == 0 {
            return row.text("none");
        }
        let (jobs, oldest) = (count(due.jobs, "job"), span(due.oldest_seconds));
        let row = row.text(format!("{jobs}, the oldest for {oldest}"));
        if due.oldest_seconds <= MAX_DUE_SECONDS {
            return row;
        }
        let verb = if due.jobs == 1 { "is" } else { "are" };
        row.needs(
            format!("{jobs} {verb} due, the oldest for {oldest}: no worker takes it, or no sweep."),
            "jobsstuckalarm",
        )
    })
}

/// Judges the queues and their dead letters.
pub(super) fn queues(facts: &Facts) -> Vec<Row> {
    let unknown = Answer::Unasked("not known".to_owned());
    let rows = QUEUES.iter().map(|(id, label, letters)| {
        let answer = facts.queues.get(*id).unwrap_or(&unknown);
        Row::of(label, &format!("The queue {id}"), answer, |row, queue| match letters {
            Some((of, anchor)) => dead_letters(row, queue, of, anchor),
            None => waiting(row, queue, *id == "ExportsQueue"),
        })
    });
    rows.collect()
}

fn waiting(row: Row, queue: &Queue, is_of_exports: bool) -> Row {
    let mut text = format!("{} waiting, {} in work", queue.waiting, queue.in_work);
    if queue.delayed > 0 {
        let _ = write!(text, ", {} for later", queue.delayed);
    }
    // CloudWatch keeps the last age for a while after the queue is empty.
    let oldest = queue.oldest_seconds.filter(|_| queue.waiting + queue.in_work > 0);
    let Some(oldest) = oldest else { return row.text(text) };
    let row = row.text(format!("{text}, the oldest for {}", span(oldest)));
    if is_of_exports && oldest > MAX_WAIT_SECONDS {
        return row.needs(format!("Exports have waited for a worker for {}.", span(oldest)), "queueagealarm");
    }
    row
}

fn dead_letters(row: Row, queue: &Queue, of: &str, anchor: &str) -> Row {
    let letters = queue.waiting + queue.in_work + queue.delayed;
    if letters == 0 {
        return row.text("none");
    }
    let verb = if letters == 1 { "is" } else { "are" };
    let sentence = format!("{} {verb} in the dead-letter queue {of}.", count(letters, "message"));
    row.text(count(letters, "message")).needs(sentence, anchor)
}

/// Judges the usage that waits to be counted. Where the database cannot be asked, the last refresh tells.
pub(super) fn lag(facts: &Facts) -> Row {
    let Answer::Ok(database) = &facts.database else {
        let mut row = Row::of("usage", "The database", &facts.database, |row, _| row);
        row.findings.iter_mut().for_each(|finding| finding.anchor = "database-failover".to_owned());
        return refreshed(row, facts);
    };
    let text = match database.hours {
        0 => "all counted".to_owned(),
        hours => format!("{} to count, the oldest event for {}", count(hours, "hour"), span(database.oldest_seconds)),
    };
    let row = Row::new("usage", format!("{text}; schema V{}", database.schema));
    let row = judge_lag(row, database.oldest_seconds, database.failed_hours);
    if database.standby {
        return row.needs("DATABASE_URL leads to a standby.", "database-failover");
    }
    row
}

fn refreshed(row: Row, facts: &Facts) -> Row {
    let Some(Answer::Ok(run)) = facts.runs.get("refresh") else { return row };
    let Some(last) = &run.last else { return row };
    let number = |name: &str| last.numbers.get(name).map(|number| *number as i64);
    let Some(oldest) = number("OldestDirtySeconds") else { return row };
    let text = format!("{}; the last refresh left events of {}", row.text, span(oldest));
    let failed = number("HoursFailed").and_then(|failed| u64::try_from(failed).ok()).unwrap_or(0);
    judge_lag(row.text(text), oldest, failed)
}

fn judge_lag(mut row: Row, oldest_seconds: i64, failed_hours: u64) -> Row {
    if failed_hours > 0 {
        let text = format!("{}; {} failed", row.text, count(failed_hours, "hour"));
        let sentence = format!("{} of usage could not be computed.", count(failed_hours, "hour"));
        row = row.text(text).needs(sentence, "refresherrorsalarm");
    }
    if oldest_seconds > MAX_WAIT_SECONDS {
        row = row.needs(format!("Usage has waited to be counted for {}.", span(oldest_seconds)), "refreshlagalarm");
    }
    row
}

/// Judges the exports of the last month that is over.
pub(super) fn month(facts: &Facts) -> Row {
    Row::of("month", "The table of jobs", &facts.month, |row, month| {
        let is_late = month.over_seconds > MONTH_LATE_SECONDS;
        let name = &month.month;
        match &month.run {
            None if facts.now - month.table_created < month.over_seconds => {
                row.text(format!("no run of {name}, which ended before the stack began"))
            }
            None if is_late => row
                .text(format!("no run of {name}"))
                .needs(format!("The exports of {name} were not made."), "monthlynotrunalarm"),
            None => row.text(format!("no run of {name} yet")),
            Some(run) => of_run(row, month, run, is_late),
        }
    })
}

fn of_run(row: Row, month: &Month, run: &MonthlyRun, is_late: bool) -> Row {
    let name = &month.month;
    let end = run
        .finished_at
        .as_ref()
        .map_or_else(|| format!("began {}, not finished", run.started_at), |at| format!("finished {at}"));
    let exports = count(run.created + run.already_there, "export");
    let mut row = row.text(format!("{name}: {end}; {exports}, {} not ended well", month.unsucceeded));
    let missing = run.failed + run.waiting + month.unsucceeded;
    if is_late && missing > 0 {
        let sentence = format!("{} of {name} did not end well.", count(missing, "export"));
        row = row.needs(sentence, "monthlyincompletealarm");
    } else if is_late && run.finished_at.is_none() {
        row = row.needs(format!("The run of {name} did not finish."), "monthlynotrunalarm");
    }
    if run.provisional > 0 {
        let sentence = format!("{name} has {} of figures that are not final.", count(run.provisional, "export"));
        row = row.needs(sentence, "provisionalmonthsalarm");
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{facts::Database, sample::healthy};

    fn anchors(rows: &[Row]) -> Vec<&str> {
        rows.iter().flat_map(|row| &row.findings).map(|finding| finding.anchor.as_str()).collect()
    }

    #[test]
    fn a_job_is_stuck_when_it_stays_due() {
        let mut facts = healthy();
        for (oldest_seconds, found) in [(MAX_DUE_SECONDS, vec![]), (MAX_DUE_SECONDS + 1, vec!["jobsstuckalarm"])] {
            facts.due = Answer::Ok(crate::doctor::facts::Due { jobs: 2, oldest_seconds });
            assert_eq!(anchors(&[due(&facts)]), found, "{oldest_seconds}");
        }
        assert_eq!(
            due(&facts).findings[0].sentence,
            "2 jobs are due, the oldest for 20 min: no worker takes it, or no sweep."
        );
    }

    #[test]
    fn each_queue_of_dead_letters_has_its_section() {
        for (id, anchor) in [
            ("ExportsDeadLetterQueue", "deadlettersalarm"),
            ("EventsDeadLetterQueue", "eventsdeadlettersalarm"),
            ("DeliveriesDeadLetterQueue", "deliveriesdeadlettersalarm"),
            ("TelemetryDeadLetterQueue", "telemetrydeadlettersalarm"),
            ("SchedulesDeadLetterQueue", "schedulesdeadlettersalarm"),
        ] {
            let mut facts = healthy();
            let letters = Queue { waiting: 0, in_work: 1, delayed: 0, oldest_seconds: None };
            facts.queues.insert(id.to_owned(), Answer::Ok(letters));
            let rows = queues(&facts);
            assert_eq!(anchors(&rows), [anchor]);
            let sentence = &rows.iter().find_map(|row| row.findings.first()).unwrap().sentence;
            assert!(sentence.starts_with("1 message is in the dead-letter queue of "), "{sentence}");
        }
    }

    #[test]
    fn messages_that_are_gone_are_not_old() {
        let mut facts = healthy();
        for (waiting, oldest_seconds, found) in
            [(1, Some(901), vec!["queueagealarm"]), (1, Some(900), vec![]), (1, None, vec![]), (0, Some(5000), vec![])]
        {
            let queue = Queue { waiting, in_work: 0, delayed: 0, oldest_seconds };
            facts.queues.insert("ExportsQueue".to_owned(), Answer::Ok(queue));
            assert_eq!(anchors(&queues(&facts)), found, "{waiting} {oldest_seconds:?}");
        }
    }

    #[test]
    fn usage_lags_by_what_the_database_says_or_else_by_the_last_refresh() {
        let mut facts = healthy();
        let lagging = Database { standby: true, schema: 14, hours: 3, oldest_seconds: 901, failed_hours: 2 };
        facts.database = Answer::Ok(lagging);
        let expected = ["refresherrorsalarm", "refreshlagalarm", "database-failover"];
        assert_eq!(anchors(&[lag(&facts)]), expected);

        facts.database = Answer::Unasked("DATABASE_URL is not set".to_owned());
        assert_eq!(anchors(&[lag(&facts)]), [""; 0]);
        let Some(Answer::Ok(run)) = facts.runs.get_mut("refresh") else { panic!("the refresh") };
        let last = run.last.as_mut().unwrap();
        last.numbers.insert("OldestDirtySeconds".to_owned(), 1000.0);
        assert_eq!(anchors(&[lag(&facts)]), ["refreshlagalarm"]);
        facts.database = Answer::Failed("refused".to_owned());
        assert_eq!(anchors(&[lag(&facts)]), ["database-failover", "refreshlagalarm"]);
    }

    #[test]
    fn a_month_is_late_from_noon_unless_the_stack_is_younger() {
        let facts = |over_seconds, table_created, run, unsucceeded| {
            let mut facts = healthy();
            let month = "2026-10".to_owned();
            facts.month = Answer::Ok(Month { month, over_seconds, table_created, run, unsucceeded });
            facts
        };
        let run = |finished: bool| MonthlyRun {
            started_at: "2026-11-01T03:00:00Z".to_owned(),
            finished_at: finished.then(|| "2026-11-01T03:01:00Z".to_owned()),
            created: 4,
            already_there: 0,
            failed: 0,
            waiting: 0,
            provisional: 0,
        };
        let found = |facts: Facts| anchors(&[month(&facts)]).into_iter().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(found(facts(43_201, 0, None, 0)), ["monthlynotrunalarm"]);
        assert_eq!(found(facts(43_200, 0, None, 0)), [""; 0]);
        let young = healthy().now - 43_000;
        assert_eq!(found(facts(43_201, young, None, 0)), [""; 0]);
        assert_eq!(found(facts(43_201, 0, Some(run(true)), 0)), [""; 0]);
        assert_eq!(found(facts(43_201, 0, Some(run(true)), 1)), ["monthlyincompletealarm"]);
        assert_eq!(found(facts(43_200, 0, Some(run(true)), 1)), [""; 0]);
        assert_eq!(found(facts(43_201, 0, Some(run(false)), 0)), ["monthlynotrunalarm"]);
        let provisional = MonthlyRun { provisional: 2, ..run(true) };
        assert_eq!(found(facts(43_201, 0, Some(provisional), 0)), ["provisionalmonthsalarm"]);
    }
}
