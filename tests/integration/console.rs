//! What the pages read: sums of lines as a file prints them, and the present bookings of several months. The pages
//! themselves are looked at in a browser, by the suite `console`.

use std::time::Duration;

use domain::{Action, AuditRecord, Booking, Measures, Month, Origin, Subject, Totals, instant::day_of};
use jiff::Timestamp;
use jobs::new_job_id;
use postgres::LimitedReads;
use rust_decimal::Decimal;
use serde_json::json;
use tests::{Rollup, Stack, Sums, Table, csv_file::CsvRow};
use usage::breakdown;
use uuid::Uuid;

fn sums(totals: &Totals) -> Sums {
    let Measures { request_count, tokens_total, error_count, cost_total } = *totals;
    Sums { request_count, tokens_total, error_count, cost_total }
}

#[tokio::test]
async fn the_sums_of_a_page_are_those_of_the_file() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let models = [None, Some(Uuid::from_u128(1)), Some(Uuid::from_u128(2))];
    let month = Month::last_complete(Timestamp::now());
    let previous = month.previous();
    let day = |month: Month, day: u32| format!("{month}-{day:02}T00:00:00Z");
    // Half of a ten-thousandth goes to the even neighbour at each line: the sum of lines is not the rounded sum.
    let mut rollups = Vec::new();
    for (number, cost) in
        ["0.00005", "0.00015", "0.00025", "1.99995", "-0.00005", "9999999999.99994"].into_iter().enumerate()
    {
        let number = u32::try_from(number).unwrap();
        let model = models[number as usize % 3];
        rollups.push(Rollup::new(&day(month, number + 1), model, [i64::MAX, 7, 1], cost));
    }
    rollups.push(Rollup::new(&day(previous, 28), None, [3, 2, 1], "5.00005"));
    org.insert(Table::Daily, &rollups).await;
    let export = org.export(&json!({"period": month.to_string()})).await;
    let file = export.file();

    let reads = LimitedReads::begin(&stack.database.client, Duration::from_secs(10)).await.unwrap();
    let months = breakdown::months(&reads, org.id.into(), previous.previous(), month).await.unwrap();
    let [(first, before), (second, of_month)] = months.as_slice() else { panic!("two months have usage: {months:?}") };
    assert_eq!((*first, *second), (previous, month));
    assert_eq!(before.cost_total.to_string(), "5.0000");
    assert_eq!(sums(of_month), file.sums());

    let days = breakdown::days(&reads, org.id.into(), month.range().unwrap()).await.unwrap();
    let line = |row: &CsvRow| (row.bucket_start.to_string(), row.cost_total.parse::<Decimal>().unwrap());
    let of_file: Vec<_> = file.rows.iter().map(line).collect();
    let shown: Vec<_> = days.iter().map(|(day, totals)| (format!("{day}T00:00:00Z"), totals.cost_total)).collect();
    assert_eq!(shown, of_file);
    assert_eq!(days[0].0, day_of(month.start()));

    let of_models = breakdown::models(&reads, org.id.into(), month.range().unwrap()).await.unwrap();
    let ids: Vec<_> = of_models.iter().map(|(model, _)| model.map(domain::ModelId::uuid)).collect();
    assert_eq!(ids, [models[1], models[2], None]);
    let total = of_models.iter().try_fold(Totals::default(), |sum, (_, totals)| sum.try_add(*totals)).unwrap();
    assert_eq!(sums(&total), file.sums());
}

#[tokio::test]
async fn the_present_booking_of_each_month_is_found() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let month = |text: &str| text.parse::<Month>().unwrap();
    for (of, reference) in [
        ("2025-12", "too early"),
        ("2026-01", "first"),
        ("2026-01", "second"),
        ("2026-03", "third"),
        ("2026-04", "too late"),
    ] {
        let job = new_job_id();
        let at = Timestamp::now();
        let subject = Subject::new("https://issuer.example", "ada");
        let origin = Origin::of_service("tests");
        let (action, id) = (Action::Book, Some(job));
        let record = AuditRecord { at, action, subject: subject.clone(), org: org.id.into(), job: id, origin };
        let booking = Booking {
            version: 0,
            job,
            reference: reference.parse().unwrap(),
            checksum: format!("sha256:{:064}", 0),
            cost_total: "1".parse().unwrap(),
            at,
            subject,
        };
        stack.jobs.book(org.id.into(), month(of), booking, &record).await.unwrap();
    }
    let present = stack.jobs.present_bookings(org.id.into(), month("2026-01"), month("2026-03")).await.unwrap();
    let found: Vec<_> = present
        .iter()
        .map(|(month, booking)| (month.to_string(), booking.version, booking.reference.to_string()))
        .collect();
    let expected = [("2026-01", 2, "second"), ("2026-03", 1, "third")];
    assert_eq!(found, expected.map(|(month, version, reference)| (month.to_owned(), version, reference.to_owned())));
    let other = stack.organization();
    assert!(stack.jobs.present_bookings(other.id.into(), month("2026-01"), month("2026-03")).await.unwrap().is_empty());
}
