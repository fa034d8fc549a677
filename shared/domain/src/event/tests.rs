use rust_decimal::Decimal;

use super::*;
use crate::{
    Claim, ClaimedJob, ExportFile, ExportRequest, Failure, NewJob, Retention, Subject, Submission, completeness::Reason,
};

const RETENTION: Retention = Retention { rollups_months: 13, files_days: 90 };

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn job(subject: Subject, range: (&str, &str), models: Option<Vec<crate::ModelId>>) -> Job {
    let range = TimeRange::new(range.0.parse().unwrap(), range.1.parse().unwrap()).unwrap();
    let request = ExportRequest { range, granularity: Granularity::Daily, models };
    let [id, org] = [1, 2].map(Uuid::from_u128);
    let submission = Submission {
        id: id.into(),
        org: org.into(),
        request,
        note: None,
        subject,
        at: at(0),
        request_id: "r".to_owned(),
    };
    NewJob::queued(submission, at(900), RETENTION).into_job()
}

const JANUARY: (&str, &str) = ("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z");

fn ada() -> Subject {
    Subject::new("https://issuer.example", "ada@example.com")
}

fn claimed(job: &Job) -> ClaimedJob {
    job.claim(Claim { now: at(0), lease_until: at(60), sent_at: at(1_000_000) }).unwrap().into_next()
}

fn completed(job: &Job, reasons: Option<Vec<ReasonCode>>) -> Job {
    let completeness = reasons.map(|codes| Completeness {
        reasons: codes.into_iter().map(Reason::of_range).collect(),
        ..Completeness::default()
    });
    let totals = Totals::new([3, 30, 1], Decimal::new(12_345, 4));
    let file = ExportFile {
        software: None,
        checksum: "sha256:00".to_owned(),
        bytes: 1,
        row_count: 4,
        totals,
        rounding_difference: None,
        completeness,
        tag: None,
        days: None,
    };
    claimed(job).complete(file, at(30), RETENTION).into_next()
}

fn kinds(job: &Job) -> Vec<(EventKind, FigureState)> {
    Event::of_end(job).into_iter().map(|event| (event.kind, event.state)).collect()
}

#[test]
fn a_scheduled_month_is_final_with_its_figures_and_nothing_else_is() {
    use EventKind::{ExportSucceeded, PeriodFinal};
    let monthly = || Subject::system("monthly-export");
    let month = |subject| job(subject, JANUARY, None);
    let states = [
        (Some(vec![]), FigureState::Final),
        (Some(vec![ReasonCode::HoursWaiting]), FigureState::Provisional),
        (Some(vec![ReasonCode::AfterWatermark, ReasonCode::RangeNotOver]), FigureState::Open),
        (Some(vec![ReasonCode::CountedElsewhere]), FigureState::Unknown),
        (None, FigureState::Unknown),
    ];
    for (reasons, state) in states {
        let found = kinds(&completed(&month(monthly()), reasons.clone()));
        let expected = match state {
            FigureState::Final => vec![(ExportSucceeded, state), (PeriodFinal, state)],
            _ => vec![(ExportSucceeded, state)],
        };
        assert_eq!(found, expected, "{reasons:?}");
        assert_eq!(kinds(&completed(&month(ada()), reasons)), [(ExportSucceeded, state)], "a person's export");
    }
    let short = job(monthly(), ("2024-01-01T00:00:00Z", "2024-01-31T00:00:00Z"), None);
    assert_eq!(kinds(&completed(&short, Some(vec![]))).len(), 1);
}

#[test]
fn a_file_of_some_models_is_no_month() {
    let events = Event::of_end(&completed(&job(ada(), JANUARY, Some(vec![Uuid::nil().into()])), None));
    assert_eq!((events[0].period, events[0].model_count), (None, Some(1)));
    let events = Event::of_end(&completed(&job(ada(), JANUARY, None), None));
    assert_eq!((events[0].period, events[0].model_count), (Some("2024-01".parse().unwrap()), None));
}

#[test]
fn only_the_end_of_a_job_is_an_event_and_each_end_has_an_id_of_its_own() {
    let pending = job(ada(), JANUARY, None);
    let first = claimed(&pending);
    assert_eq!((Event::of_end(&pending), Event::of_end(first.job())), (vec![], vec![]));
    let failed = first.fail(Failure::WorkerLost, true, at(20)).into_next();
    let [event] = <[Event; 1]>::try_from(Event::of_end(&failed)).unwrap();
    assert_eq!((event.kind, event.occurred_at, event.totals), (EventKind::ExportFailed, at(20), None));
    assert!(event.error.as_ref().is_some_and(|error| error.contains("code: worker_lost")));
    assert_eq!(Event::of_end(&failed), std::slice::from_ref(&event), "the same each time");

    let again = completed(&failed, Some(vec![]));
    let succeeded = &Event::of_end(&again)[0];
    let failed_again = claimed(&failed).fail(Failure::WorkerLost, true, at(40)).into_next();
    assert_ne!(Event::of_end(&failed_again)[0].id, event.id, "a redrive that fails, too, is another event");
    assert_ne!(succeeded.id, event.id);
    let swept = again.sweep(at(100 * 86_400), 5, at(0)).unwrap().transition.into_next();
    assert_eq!(Event::of_end(&swept), []);
}

#[test]
fn each_restatement_is_an_event_with_the_present_figures() {
    let booked = completed(&job(ada(), JANUARY, None), Some(vec![]));
    let month = "2024-01".parse().unwrap();
    let event = |since: i64, checksum: &str| {
        let totals = Totals::new([3, 30, 1], Decimal::new(25, 1));
        let restated = Restated { since: at(since), checksum: checksum.to_owned(), row_count: 5, totals };
        Event::restated(&booked, month, &restated, at(since + 7))
    };
    let first = event(100, "sha256:a");
    assert_eq!(
        (first.kind, first.state, first.period),
        (EventKind::PeriodRestated, FigureState::Restated, Some(month))
    );
    assert_eq!((first.occurred_at, first.row_count), (at(107), Some(5)));
    assert_eq!(first, event(100, "sha256:a"), "the same each time");
    // Other rows of the same sums, and the same figures after they had been as booked again.
    assert!(first.id != event(100, "sha256:b").id && first.id != event(200, "sha256:a").id);
}

#[test]
fn a_detail_has_ids_and_sums_and_reads_back() {
    let events = Event::of_end(&completed(&job(ada(), JANUARY, None), Some(vec![])));
    let detail = Detail::from(&events[0]);
    let text = serde_json::to_string(&detail).unwrap();
    assert_eq!(serde_json::from_str::<Detail>(&text).unwrap(), detail);
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&text).unwrap(),
        serde_json::json!({
            "eventId": events[0].id,
            "version": 1,
            "occurredAt": "1970-01-01T00:00:30Z",
            "orgId": Uuid::from_u128(2),
            "jobId": Uuid::from_u128(1),
            "period": "2024-01",
            "granularity": "daily",
            "timeRange": {"start": "2024-01-01T00:00:00Z", "end": "2024-02-01T00:00:00Z"},
            "totals": {"requestCount": 3, "tokensTotal": 30, "errorCount": 1, "costTotal": "1.2345"},
            "rowCount": 4,
            "state": "final",
        })
    );
    assert!(!text.contains("ada"), "no name of a person");
    for kind in EventKind::ALL {
        assert_eq!(kind.name().parse(), Ok(kind));
        assert_eq!(serde_json::json!(kind), kind.name());
        assert!(UnknownEvent.to_string().contains(kind.name()));
        assert_eq!(EventKind::of_detail_type(kind.detail_type()), Some(kind));
    }
}
