//! Comparisons against independent arithmetic, and bodies against their rules.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::reconciliation::column_text;

fn compare(cost: &str, amount: &str, tolerance: &str) -> (String, Option<String>, bool) {
    let comparison = Comparison {
        job: uuid::Uuid::nil().into(),
        entry: LedgerEntry {
            amount: amount.parse().unwrap(),
            reference: "JE-1017".parse().unwrap(),
            tolerance: tolerance.parse().unwrap(),
        },
        cost_total: cost.parse().unwrap(),
        at: Timestamp::UNIX_EPOCH,
        subject: Subject::system("tests"),
    };
    let difference = column_text("cost_total", comparison.difference());
    (difference, comparison.percent().map(|percent| percent.to_string()), comparison.is_within_tolerance())
}

#[test]
fn a_comparison_is_exact() {
    for (cost, amount, tolerance, difference, percent, within) in [
        ("538.9327", "523.37", "1", "15.5627", Some("2.973556"), false),
        ("523.37", "538.9327", "3", "-15.5627", Some("-2.887689"), true),
        ("101", "100", "1", "1.0000", Some("1"), true),
        ("101.0001", "100", "1", "1.0001", Some("1.0001"), false),
        ("1", "1", "0", "0.0000", Some("0"), true),
        // Of nothing there is no percentage, and nothing is tolerated but nothing.
        ("0.0001", "0", "100", "0.0001", None, false),
        ("0", "0.00", "0", "0.0000", None, true),
        // Of a credit, less credit is more.
        ("-8", "-10", "20", "2.0000", Some("20"), true),
        (
            "7922816251426433759354395.0335",
            "-999999999999999.9999",
            "100",
            "7922816252426433759354395.0334",
            Some("792281625242.643376"),
            false,
        ),
    ] {
        let found = compare(cost, amount, tolerance);
        assert_eq!(found, (difference.to_owned(), percent.map(str::to_owned), within), "{cost} and {amount}");
    }
}

#[test]
fn an_amount_has_one_form() {
    for (text, shown) in [("523.37", "523.37"), ("0", "0"), ("-0.0", "0.0"), ("-1.2500", "-1.2500"), ("007", "7")] {
        assert_eq!(text.parse::<Amount>().unwrap().to_string(), shown);
    }
    for text in [
        "",
        "523,37",
        "1,000.00",
        "1.000,00",
        "1 000",
        "+1",
        "1.",
        ".5",
        "1e3",
        "1.00001",
        "1234567890123456",
        "--1",
        "-",
        "$1",
        "1_0",
        "NaN",
        "１",
    ] {
        assert_eq!(text.parse::<Amount>(), Err(InvalidAmount), "{text}");
    }
    assert!("999999999999999.9999".parse::<Amount>().is_ok());
}

#[test]
fn an_entry_names_every_mistake() {
    let pointers = |body: Value| -> Vec<String> {
        LedgerEntry::from_json(&body, Tolerance::default())
            .unwrap_err()
            .into_iter()
            .map(|error| error.pointer)
            .collect()
    };
    let good = json!({"amount": "523.37", "currency": "USD", "reference": "JE-1017", "tolerancePercent": 1});
    let entry = LedgerEntry::from_json(&good, Tolerance::default()).unwrap();
    assert_eq!(entry.tolerance, Tolerance::default());
    assert_eq!(pointers(json!({})), ["/amount", "/currency", "/reference"]);
    for (field, wrong) in [
        ("amount", json!("523,37")),
        ("amount", json!(523.37)),
        ("currency", json!("EUR")),
        ("currency", json!("usd")),
        ("reference", json!("")),
        ("reference", json!("a\nb")),
        ("reference", json!("x".repeat(101))),
        ("reference", json!(1017)),
        ("tolerancePercent", json!("1")),
        ("tolerancePercent", json!(-1)),
        ("tolerancePercent", json!(100.5)),
        ("tolerancePercent", json!(0.000_000_1)),
        ("memo", json!("x")),
    ] {
        let mut body = good.clone();
        body[field] = wrong.clone();
        assert_eq!(pointers(body), [format!("/{field}")], "{field} {wrong}");
    }
    for (number, text) in [(json!(0.1), "0.1"), (json!(100.0), "100"), (json!(0), "0"), (json!(0.000_001), "0.000001")]
    {
        let mut body = good.clone();
        body["tolerancePercent"] = number;
        assert_eq!(LedgerEntry::from_json(&body, Tolerance::default()).unwrap().tolerance.to_string(), text);
    }
}

#[test]
fn entries_are_the_same_by_their_meaning() {
    let digest = |amount: &str, reference: &str, tolerance: &str| {
        let reference = reference.parse().unwrap();
        LedgerEntry { amount: amount.parse().unwrap(), reference, tolerance: tolerance.parse().unwrap() }.digest()
    };
    let one = digest("523.37", "JE-1017", "1");
    assert_eq!(one, digest("523.3700", "JE-1017", "1.0"));
    // The keys of kept comparisons have this digest: another value would compare them a second time.
    assert_eq!(one, "0e301a900e7c38ade7a02904992be0422526344a9a2946fc3348228f8d88e685");
    for other in [
        digest("523.38", "JE-1017", "1"),
        digest("-523.37", "JE-1017", "1"),
        digest("523.37", "JE-1018", "1"),
        digest("523.37", "JE-1017", "2"),
    ] {
        assert_ne!(one, other);
    }
}

#[test]
fn a_booking_names_every_mistake() {
    let job = "018cc251-f400-7000-8000-000000000000";
    let request = BookingRequest::from_json(&json!({"jobId": job, "reference": "JE-1017"})).unwrap();
    assert_eq!((request.job.to_string(), request.reference.to_string()), (job.to_owned(), "JE-1017".to_owned()));
    let errors = BookingRequest::from_json(&json!({"jobId": "x", "month": "2024-01"})).unwrap_err();
    let pointers: Vec<String> = errors.into_iter().map(|error| error.pointer).collect();
    assert_eq!(pointers, ["/month", "/jobId", "/reference"]);
}

proptest! {
    #[test]
    fn no_body_makes_a_reader_panic(text in "[\\[\\]{}\":,a-zA-Z0-9 .+-]{0,80}", amount in "\\PC{0,20}|-?[0-9.]{0,24}") {
        if let Ok(body) = serde_json::from_str(&text) {
            let _ = (LedgerEntry::from_json(&body, Tolerance::default()), BookingRequest::from_json(&body));
        }
        if let Ok(read) = amount.parse::<Amount>() {
            prop_assert_eq!(read.to_string().parse(), Ok(read));
        }
    }
}
