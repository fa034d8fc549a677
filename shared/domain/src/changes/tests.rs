use std::collections::BTreeMap;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::OrgId;

/// The rows of a file: seconds of the bucket, place of the model (none last), counts and cost.
type Rows = BTreeMap<(i64, u8), [i128; 4]>;

/// The place of rows without a model.
const NONE: u8 = 9;

fn org() -> OrgId {
    Uuid::from_u128(7).into()
}

fn model(place: u8) -> String {
    if place == NONE { String::new() } else { Uuid::from_u128(place.into()).to_string() }
}

/// Writes a file without the code under test.
fn file(rows: &Rows) -> String {
    let mut text =
        "bucket_start,organization_id,model_id,request_count,tokens_total,error_count,cost_total\n".to_owned();
    for ((bucket, place), [requests, tokens, errors, cost]) in rows {
        let bucket = jiff::Timestamp::from_second(*bucket).unwrap();
        let cost = Decimal::from_i128_with_scale(*cost, 4);
        text.push_str(&format!("{bucket},{},{},{requests},{tokens},{errors},{cost}\n", org(), model(*place)));
    }
    text
}

/// Compares two files given in pieces of this size. Returns the adjustment, and the merge at its end.
fn compare(old: &str, new: &str, level: Level, piece: usize) -> Result<(String, Vec<Change>, Merge), ChangeError> {
    let mut merge = Merge::new(org(), level);
    let mut adjustment = Adjustment::new(org());
    let mut changes = Vec::new();
    let (mut old, mut new) = (old.as_bytes().chunks(piece), new.as_bytes().chunks(piece));
    loop {
        match merge.step()? {
            Step::Change(change) => {
                adjustment.add(&change);
                changes.push(change);
            }
            Step::Need(which) => {
                let pieces = if which == Which::Old { &mut old } else { &mut new };
                match pieces.next() {
                    Some(bytes) => merge.push(which, bytes),
                    None => merge.end(which)?,
                }
            }
            Step::Done => return Ok((adjustment.take(), changes, merge)),
        }
    }
}

/// Adds an adjustment to rows, without the code under test: a row of zeros is no row.
fn apply(rows: &Rows, adjustment: &str) -> Rows {
    let mut sums = rows.clone();
    for line in adjustment.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let bucket = fields[0].parse::<jiff::Timestamp>().unwrap().as_second();
        let place = (0..=NONE).find(|place| model(*place) == fields[2]).unwrap();
        let cost = fields[6].parse::<Decimal>().unwrap();
        assert_eq!(cost.scale(), 4, "{line}");
        let values =
            [fields[3].parse().unwrap(), fields[4].parse().unwrap(), fields[5].parse().unwrap(), cost.mantissa()];
        let sum = sums.entry((bucket, place)).or_default();
        for (sum, value) in sum.iter_mut().zip(values) {
            *sum += value;
        }
    }
    without_zeros(&sums)
}

fn without_zeros(rows: &Rows) -> Rows {
    rows.iter().filter(|(_, row)| **row != [0; 4]).map(|(key, row)| (*key, *row)).collect()
}

fn rows() -> impl Strategy<Value = Rows> {
    let value = prop_oneof![-3_i128..4, any::<i64>().prop_map(i128::from)];
    // Three days of hours, and models of which some are rare.
    prop::collection::btree_map((0_i64..72, 0..=NONE), prop::array::uniform4(value), 0..40)
        .prop_map(|rows| rows.into_iter().map(|((hour, place), row)| ((hour * 3600, place), row)).collect())
}

/// A pair of files that share many rows.
fn pair() -> impl Strategy<Value = (Rows, Rows)> {
    (rows(), rows(), prop::collection::vec(any::<bool>(), 40)).prop_map(|(old, mut new, keep)| {
        new.extend(old.iter().zip(keep).filter(|(_, keep)| *keep).map(|((key, row), _)| (*key, *row)));
        (old, new)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn an_old_file_and_its_adjustment_are_the_new_file((old, new) in pair(), piece in 1_usize..400) {
        let (adjustment, changes, merge) = compare(&file(&old), &file(&new), Level::Row, piece).unwrap();
        prop_assert_eq!(apply(&old, &adjustment), without_zeros(&new));
        prop_assert!(changes.is_sorted_by(|one, next| one.key < next.key), "the order of a file");
        let keys: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
        let Counts { added, vanished, changed, unchanged } = merge.counts();
        prop_assert_eq!(added + vanished + changed + unchanged, keys.len() as u64);
        prop_assert_eq!(added + vanished + changed, changes.len() as u64);
        for (which, rows) in [(Which::Old, &old), (Which::New, &new)] {
            let facts = merge.facts(which);
            let sum = |column: usize| rows.values().map(|row| row[column]).sum::<i128>();
            prop_assert_eq!(facts.rows, rows.len() as u64);
            prop_assert_eq!(facts.totals, Figures::new([sum(0), sum(1), sum(2)], sum(3)));
        }
    }

    #[test]
    fn days_are_the_sums_of_their_rows((old, new) in pair(), piece in 1_usize..400) {
        for (level, has_models) in [(Level::DayAndModel, true), (Level::Day, false)] {
            let by_day = |rows: &Rows| {
                let mut days = Rows::new();
                for ((bucket, place), row) in rows {
                    let place = if has_models { *place } else { NONE };
                    let sum = days.entry((bucket - bucket.rem_euclid(86_400), place)).or_default();
                    sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
                }
                days
            };
            let (adjustment, ..) = compare(&file(&old), &file(&new), level, piece).unwrap();
            // The same as of files that have a row for each day.
            let (of_days, ..) = compare(&file(&by_day(&old)), &file(&by_day(&new)), Level::Row, piece).unwrap();
            prop_assert_eq!(&adjustment, &of_days);
            prop_assert_eq!(apply(&by_day(&old), &adjustment), without_zeros(&by_day(&new)));
        }
    }

    #[test]
    fn a_file_has_no_changes_against_itself(rows in rows(), piece in 1_usize..400) {
        for level in [Level::Row, Level::DayAndModel, Level::Day] {
            let (adjustment, changes, _) = compare(&file(&rows), &file(&rows), level, piece).unwrap();
            prop_assert_eq!((adjustment.as_str(), changes.len()), (HEADER, 0));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), rows in rows()) {
        let text = file(&rows) + &String::from_utf8_lossy(&bytes);
        let _ = compare(&text, &file(&rows), Level::DayAndModel, 100);
    }
}

#[test]
fn added_vanished_and_changed_rows_are_named() {
    let old = Rows::from([((0, 1), [5, 6, 0, 10_000]), ((0, NONE), [1, 1, 1, 1]), ((86_400, 2), [2, 2, 2, 2])]);
    let new = Rows::from([((0, 1), [5, 8, 0, 5_000]), ((86_400, 2), [2, 2, 2, 2]), ((86_400, NONE), [3, 3, 0, -7])]);
    let (adjustment, changes, merge) = compare(&file(&old), &file(&new), Level::Row, 1000).unwrap();
    let kinds: Vec<ChangeKind> = changes.iter().map(|change| change.kind).collect();
    assert_eq!(kinds, [ChangeKind::Changed, ChangeKind::Vanished, ChangeKind::Added]);
    assert_eq!(merge.counts(), Counts { added: 1, vanished: 1, changed: 1, unchanged: 1 });
    assert_eq!(
        adjustment,
        format!(
            "{HEADER}1970-01-01T00:00:00Z,{0},{1},0,2,0,-0.5000\n1970-01-01T00:00:00Z,{0},,-1,-1,-1,-0.0001\n\
             1970-01-02T00:00:00Z,{0},,3,3,0,-0.0007\n",
            org(),
            model(1)
        )
    );
    assert_eq!(changes[0].difference.totals().unwrap().cost_total.to_string(), "-0.5000");
}

#[test]
fn rows_of_one_bucket_and_model_count_together() {
    let line = |requests: i64| format!("1970-01-01T00:00:00Z,{},,{requests},0,0,1.0000\n", org());
    let old = format!("{HEADER}{}{}", line(1), line(4));
    let new = format!("{HEADER}{}{}", line(2), line(3));
    let (adjustment, ..) = compare(&old, &new, Level::Row, 50).unwrap();
    assert_eq!(adjustment, HEADER);
}

#[test]
fn what_is_no_file_is_named_by_its_line() {
    let line = |bucket: &str, org: OrgId| format!("{bucket},{org},,1,0,0,1.0000\n");
    let (first, second) = (line("1970-01-01T00:00:00Z", org()), line("1970-01-02T00:00:00Z", org()));
    let stranger = line("1970-01-02T00:00:00Z", Uuid::nil().into());
    for (old, at) in [
        (String::new(), 1),
        (first.clone(), 1),
        (format!("{HEADER}{second}{first}"), 3),
        (format!("{HEADER}{first}{stranger}"), 3),
        (format!("{HEADER}{first}{}", second.trim_end()), 3),
        (format!("{HEADER}{}", first.replace("1.0000", "1.0")), 2),
        (format!("{HEADER}{}", first.replace(",1,0", ",+1,0")), 2),
        (format!("{HEADER}{}", first.replace("\n", ",\n")), 2),
        (format!("{HEADER}{}", "9".repeat(2000)), 2),
    ] {
        let error = compare(&old, HEADER, Level::Row, 64).unwrap_err();
        assert_eq!(error, ChangeError::NotAFile { which: Which::Old, source: NotAFile { line: at } }, "{old}");
    }
    let both = compare(HEADER, &first, Level::Row, 64).unwrap_err();
    assert!(matches!(both, ChangeError::NotAFile { which: Which::New, .. }));
}

#[test]
fn a_difference_that_cannot_be_exact_is_an_error() {
    let of = |count: i128| file(&Rows::from([((0, NONE), [count, 0, 0, 0])]));
    let error = compare(&of(i128::MIN), &of(1), Level::Row, 1000).unwrap_err();
    assert_eq!(error, ChangeError::Overflow(TotalOverflow { column: "request_count" }));
}

#[test]
fn a_difference_of_sums_that_cannot_be_kept_is_an_error_and_no_zero() {
    let totals = |count, cost| Totals::new([count, 0, 0], cost);
    let one = totals(7, Decimal::new(5_389_327, 4)).minus(totals(2, Decimal::new(5_233_729, 4)));
    assert_eq!(one, Ok(totals(5, Decimal::new(155_598, 4))));
    assert!(totals(0, Decimal::MAX).minus(totals(0, Decimal::MIN)).is_err());
    assert!(totals(i128::MIN, Decimal::ZERO).minus(totals(1, Decimal::ZERO)).is_err());
}
