use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::EventKind;

fn pointers(body: Value) -> Vec<String> {
    Settings::from_json(&body).unwrap_err().into_iter().map(|error| error.pointer).collect()
}

fn whole() -> Value {
    json!({
        "schedule": {"kind": "monthly", "day": 3, "granularity": "hourly"},
        "delivery": {"bucket": "acme-costs", "prefix": "usage/", "accountId": "123456789012", "region": "eu-central-1"},
        "tolerancePercent": 0.5,
        "finalAfterDays": 2,
        "webhook": {"url": "https://finance.example.com/hooks", "events": ["period.final", "export.succeeded"]},
    })
}

#[test]
fn settings_are_read_whole_and_default_where_left_out() {
    assert_eq!(Settings::from_json(&json!({})), Ok(Settings::default()));
    let settings = Settings::from_json(&whole()).unwrap();
    assert_eq!(settings.schedule, Some(Schedule { when: When::Day(3), granularity: Granularity::Hourly }));
    assert_eq!(settings.tolerance.to_string(), "0.5");
    assert_eq!(settings.final_after_days, 2);
    let webhook = settings.webhook.clone().unwrap();
    assert_eq!(webhook.events.into_iter().collect::<Vec<_>>(), [EventKind::ExportSucceeded, EventKind::PeriodFinal]);
    let stored = serde_json::to_value(&settings).unwrap();
    assert_eq!(serde_json::from_value::<Settings>(stored).unwrap(), settings);
}

#[test]
fn every_mistake_is_named_at_once() {
    let body = json!({
        "version": 3,
        "schedule": {"kind": "weekly", "day": 29, "granularity": "yearly", "zone": "UTC"},
        "delivery": {"bucket": "Acme", "prefix": "a", "accountId": 12, "region": "Frankfurt", "role": "x"},
        "tolerancePercent": 101,
        "finalAfterDays": 16,
        "webhook": {"url": "http://10.0.0.1", "events": ["export.succeeded", "export.succeeded", "all"], "secret": "x"},
    });
    assert_eq!(
        pointers(body),
        [
            "/version",
            "/schedule/zone",
            "/schedule/kind",
            "/schedule/day",
            "/schedule/granularity",
            "/delivery/role",
            "/delivery/bucket",
            "/delivery/prefix",
            "/delivery/accountId",
            "/delivery/region",
            "/tolerancePercent",
            "/finalAfterDays",
            "/webhook/secret",
            "/webhook/url",
            "/webhook/events/1",
            "/webhook/events/2",
        ]
    );
}

#[test]
fn each_wrong_shape_is_refused() {
    for (body, pointers_of) in [
        (json!(null), &[""][..]),
        (json!([]), &[""]),
        (json!({"schedule": null}), &["/schedule"]),
        (json!({"schedule": {}}), &["/schedule/kind", "/schedule/day"]),
        (json!({"schedule": {"kind": "monthly", "day": 0}}), &["/schedule/day"]),
        (json!({"schedule": {"kind": "monthly", "day": 1.5}}), &["/schedule/day"]),
        (json!({"schedule": {"kind": "monthly", "day": "final"}}), &["/schedule/day"]),
        (json!({"delivery": {}}), &["/delivery/bucket", "/delivery/accountId"]),
        (json!({"delivery": []}), &["/delivery"]),
        (json!({"tolerancePercent": "1"}), &["/tolerancePercent"]),
        (json!({"tolerancePercent": null}), &["/tolerancePercent"]),
        (json!({"finalAfterDays": -1}), &["/finalAfterDays"]),
        (json!({"finalAfterDays": 1.0}), &["/finalAfterDays"]),
        (json!({"webhook": {"url": 1, "events": []}}), &["/webhook/url", "/webhook/events"]),
        (json!({"webhook": {"url": "https://a.example", "events": "all"}}), &["/webhook/events"]),
    ] {
        assert_eq!(pointers(body.clone()), pointers_of, "{body}");
    }
}

#[test]
fn a_day_is_not_before_the_month_can_be_final() {
    let settings = |day: Value, days: u8| json!({"schedule": {"kind": "monthly", "day": day}, "finalAfterDays": days});
    assert!(Settings::from_json(&settings(json!(6), 5)).is_ok());
    assert!(Settings::from_json(&settings(json!("whenFinal"), 15)).is_ok());
    assert_eq!(pointers(settings(json!(5), 5)), ["/schedule/day"]);
}

#[test]
fn who_waits_for_late_usage_gets_the_file_when_it_is_final() {
    let own = |body: Value| Settings::from_json(&body).unwrap().own_schedule();
    assert_eq!(own(json!({})), None);
    assert_eq!(
        own(json!({"finalAfterDays": 3})),
        Some(Schedule { when: When::WhenFinal, granularity: Granularity::Daily })
    );
    assert!(matches!(own(whole()), Some(Schedule { when: When::Day(3), .. })));
}

proptest! {
    #[test]
    fn no_body_makes_the_reader_panic(text in "[\\[\\]{}\":,a-zA-Z0-9 .+-]{0,80}") {
        if let Ok(body) = serde_json::from_str(&text) {
            let _ = Settings::from_json(&body);
        }
    }
}
