//! The export's engine against the plain ways to do what it does: no stack is needed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, also in what it calls")]

mod stream;

use copy::{CopyError, CountType, Decoder, FormatError, NumericError, ValueError, naive};
use domain::OrgId;
use engine::csv::{Chunk, CsvError, CsvWriter};
use jiff::Timestamp;
use proptest::prelude::*;
use rust_decimal::Decimal;
use tests::reference::{self, UsageRow};
use uuid::Uuid;

const ORG: Uuid = Uuid::from_u128(0x123e_4567_e89b_12d3_a456_4266_1417_4000);

#[derive(Debug)]
#[expect(dead_code, reason = "shown when a test fails")]
enum Error {
    Copy(CopyError),
    Csv(CsvError),
}

impl From<CopyError> for Error {
    fn from(error: CopyError) -> Self {
        Self::Copy(error)
    }
}

impl From<CsvError> for Error {
    fn from(error: CsvError) -> Self {
        Self::Csv(error)
    }
}

/// The engine's lines of a stream that comes in pieces.
fn lines<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, counts: [CountType; 3]) -> Result<Chunk, Error> {
    let mut decoder = Decoder::new(counts);
    let mut writer = CsvWriter::new(OrgId::from(ORG));
    let mut chunk = Chunk::new();
    for piece in pieces {
        decoder.read(piece, |row| Ok::<_, Error>(writer.write(row, &mut chunk)?))?;
    }
    decoder.finish()?;
    Ok(chunk)
}

/// The plain way's lines, without the header, their sums, and what rounding leaves out of the cost.
fn plain(rows: &[UsageRow]) -> (Vec<u8>, tests::Sums, Decimal) {
    let mut csv = reference::CsvWriter::new(ORG);
    rows.iter().for_each(|row| csv.write(row));
    let rounding_difference = csv.rounding_difference();
    let (mut bytes, _, sums) = csv.finish();
    bytes.drain(..tests::rollup::HEADER.len());
    (bytes, sums, rounding_difference)
}

/// A number of any length: as many are short as long.
fn number(random: &mut fastrand::Rng, longest: u32) -> i64 {
    let digits = random.u32(0..=longest);
    let most = 10_i64.pow(digits);
    random.i64(-(most - 1)..most)
}

fn random_row(random: &mut fastrand::Rng, before: Option<&UsageRow>) -> UsageRow {
    let hour = match before {
        Some(before) if random.u8(..) > 0 => before.bucket_start.as_second() / 3600,
        _ => random.i64(0..500_000),
    };
    UsageRow {
        bucket_start: Timestamp::from_second(hour * 3600).unwrap(),
        model_id: (random.u8(..) > 0).then(|| Uuid::from_u128(random.u128(..))),
        request_count: number(random, 18).into(),
        tokens_total: number(random, 18).into(),
        error_count: number(random, 5).into(),
        cost_total: random_cost(random),
    }
}

/// One in four costs has more decimals than a line; one of these lies in the middle of two lines.
fn random_cost(random: &mut fastrand::Rng) -> Decimal {
    match random.u8(0..16) {
        0..12 => Decimal::new(number(random, 18), random.u32(0..=4)),
        12..15 => Decimal::new(number(random, 18), random.u32(5..=20)),
        _ => Decimal::new(number(random, 17) / 10 * 10 + 5, 5),
    }
}

#[test]
fn millions_of_random_rows_are_the_same_to_the_byte() {
    const ROWS: usize = 2_000_000;
    const BATCH: usize = 50_000;
    let work = |seed: u64| {
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..ROWS / BATCH / 2 {
            let mut rows: Vec<UsageRow> = Vec::with_capacity(BATCH);
            for _ in 0..BATCH {
                rows.push(random_row(&mut random, rows.last()));
            }
            let counts = if random.bool() { [CountType::Int8; 3] } else { [CountType::Numeric; 3] };
            let chunk = lines(stream::of(&rows, counts).iter().map(Vec::as_slice), counts).unwrap();
            let (expected, sums, rounding_difference) = plain(&rows);
            assert!(chunk.bytes() == expected, "seed {seed}: {}", first_difference(chunk.bytes(), &expected));
            let totals = chunk.sums().totals().unwrap();
            assert_eq!(chunk.sums().rows, BATCH as u64);
            assert_eq!(chunk.sums().rounding_difference(), Ok(rounding_difference), "seed {seed}");
            assert_eq!(
                (totals.request_count, totals.tokens_total, totals.error_count, totals.cost_total),
                (sums.request_count, sums.tokens_total, sums.error_count, sums.cost_total)
            );
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| work(1));
        scope.spawn(|| work(2));
    });
}

fn first_difference(found: &[u8], expected: &[u8]) -> String {
    let lines = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect::<Vec<_>>();
    let found = lines(found);
    let expected = lines(expected);
    let differing = found.iter().zip(&expected).find(|(found, expected)| found != expected);
    format!("{} lines and {}; {differing:?}", found.len(), expected.len())
}

/// Each row states a cost of any scale, half to even, and the file's exact cost is that of its rows.
#[test]
fn costs_of_any_scale_are_rounded_once_for_each_line() {
    for (cost, text) in [
        ("0.00005", "0.0000"),
        ("0.00015", "0.0002"),
        ("0.00025", "0.0002"),
        ("-0.00005", "0.0000"),
        ("-0.00015", "-0.0002"),
        ("-0.00025", "-0.0002"),
        ("0.000050000000000000000001", "0.0001"),
        ("-0.000050000000000000000001", "-0.0001"),
        ("0.99995", "1.0000"),
        ("-9999.99995", "-10000.0000"),
        ("0.0000499999999999999999", "0.0000"),
        ("1234567890.123449999", "1234567890.1234"),
    ] {
        let cost_total = Decimal::from_str_exact(cost).unwrap();
        let row = UsageRow { cost_total, ..random_row(&mut fastrand::Rng::with_seed(4), None) };
        let counts = [CountType::Int8; 3];
        let chunk = lines(stream::of(&[row], counts).iter().map(Vec::as_slice), counts).unwrap();
        let line = std::str::from_utf8(chunk.bytes()).unwrap();
        assert_eq!(line.trim_end().rsplit(',').next(), Some(text), "{cost}");
        let sums = chunk.sums();
        assert_eq!(sums.totals().unwrap().cost_total + sums.rounding_difference().unwrap(), cost_total, "{cost}");
    }
}

#[test]
fn every_end_but_the_right_one_is_an_error() {
    let mut random = fastrand::Rng::with_seed(3);
    let rows = [random_row(&mut random, None), random_row(&mut random, None)];
    let counts = [CountType::Int8, CountType::Numeric, CountType::Int8];
    let whole = stream::of(&rows, counts).concat();
    for length in 0..whole.len() {
        let error = lines([&whole[..length]], counts).unwrap_err();
        assert!(matches!(error, Error::Copy(CopyError::Format(FormatError::Truncated))), "{length}: {error:?}");
    }
    let error = lines([&whole[..], &[0]], counts).unwrap_err();
    assert!(matches!(error, Error::Copy(CopyError::Format(FormatError::Trailing))), "{error:?}");
    assert_eq!(lines([&whole[..], &[]], counts).unwrap().bytes(), plain(&rows).0);
}

fn rows() -> impl Strategy<Value = Vec<UsageRow>> {
    let cost = (any::<i64>(), 0u32..=28).prop_map(|(digits, scale)| Decimal::new(digits, scale));
    let row = (0i64..500_000, prop::option::of(any::<u128>()), any::<[i64; 3]>(), cost);
    let row = row.prop_map(|(hour, model, [requests, tokens, errors], cost_total)| UsageRow {
        bucket_start: Timestamp::from_second(hour * 3600).unwrap(),
        model_id: model.map(Uuid::from_u128),
        request_count: requests.into(),
        tokens_total: tokens.into(),
        error_count: errors.into(),
        cost_total,
    });
    prop::collection::vec(row, 0..20)
}

fn counts() -> impl Strategy<Value = [CountType; 3]> {
    prop::array::uniform3(prop::sample::select(vec![CountType::Int8, CountType::Numeric]))
}

/// Asserts that the slow reader reads the same text of a stream that the engine accepts.
fn agrees_with_the_slow_reader(bytes: &[u8], counts: [CountType; 3]) {
    let Ok(chunk) = lines([bytes], counts) else { return };
    let slow = naive::read(bytes, counts.map(|count| count == CountType::Numeric))
        .expect("the slow reader accepts what the engine accepts");
    let remainders: i128 = slow.iter().map(|row| row.remainder.parse::<i128>().unwrap()).sum();
    assert_eq!(chunk.sums().measures.cost_total.remainder, remainders);
    let text = String::from_utf8(chunk.bytes().to_vec()).unwrap();
    let found: Vec<&str> = text.lines().collect();
    assert_eq!(found.len(), slow.len());
    for (found, slow) in found.iter().zip(slow) {
        let at = Timestamp::from_microsecond(slow.bucket_start + 946_684_800_000_000).unwrap();
        let model = slow.model_id.map(|id| Uuid::from_u128(id).to_string()).unwrap_or_default();
        let [requests, tokens, errors] = slow.counts;
        assert_eq!(*found, format!("{at},{ORG},{model},{requests},{tokens},{errors},{}", slow.cost_total));
    }
}

/// A numeric in its binary form, of up to 80 digits: long and short, with zeros at both ends, on both sides of the
/// point.
fn numeric() -> impl Strategy<Value = Vec<u8>> {
    let digit = prop_oneof![Just(0u16), Just(1), Just(9999), 0u16..10_000];
    let sign = prop::sample::select(vec![0u16, 0x4000]);
    (prop::collection::vec(digit, 0..=20), -8i16..=12, sign, 0u16..=16).prop_map(|(digits, weight, sign, scale)| {
        let header = [digits.len() as u16, weight.cast_unsigned(), sign, scale];
        header.iter().chain(&digits).flat_map(|word| word.to_be_bytes()).collect()
    })
}

/// A stream of one row.
fn stream_of(tokens: &[u8], cost: &[u8]) -> Vec<u8> {
    let count = 1_i64.to_be_bytes();
    let fields: [Option<&[u8]>; 6] = [Some(&count), None, Some(&count), Some(tokens), Some(&count), Some(cost)];
    let fields = fields.iter().flat_map(|field| {
        let length = field.map_or(-1, |field| field.len() as i32).to_be_bytes();
        [&length[..], field.unwrap_or_default()].concat()
    });
    stream::HEADER.iter().copied().chain(6_i16.to_be_bytes()).chain(fields).chain((-1_i16).to_be_bytes()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// The engine reads what the slow reader reads, unless it has more digits than 127 bits.
    #[test]
    fn a_numeric_is_read_to_its_last_digit_or_refused_for_what_it_is(number in numeric(), is_tokens in any::<bool>()) {
        let kind = if is_tokens { CountType::Numeric } else { CountType::Int8 };
        let tokens = if is_tokens { number.clone() } else { 1_i64.to_be_bytes().to_vec() };
        let bytes = stream_of(&tokens, &number);
        let counts = [CountType::Int8, kind, CountType::Int8];
        let slow = naive::read(&bytes, [false, is_tokens, false]);
        match lines([&bytes[..]], counts) {
            Ok(_) => agrees_with_the_slow_reader(&bytes, counts),
            Err(Error::Copy(CopyError::Value { problem: ValueError::Numeric(NumericError::TooLarge), .. })) => {
                if let Some([row]) = slow.as_deref() {
                    let digits: String = row.cost_total.chars().filter(char::is_ascii_digit).collect();
                    prop_assert!(digits.trim_start_matches('0').len() >= 39, "{} is not too large", row.cost_total);
                }
            }
            Err(error) => prop_assert!(slow.is_none(), "{error:?}"),
        }
    }
}

proptest! {
    #[test]
    fn however_it_is_cut_a_stream_is_the_same(rows in rows(), counts in counts(), sizes in prop::collection::vec(1usize..200, 1..20)) {
        let whole = stream::of(&rows, counts).concat();
        let mut rest = &whole[..];
        let mut pieces = Vec::new();
        for size in sizes.iter().cycle() {
            let (piece, later) = rest.split_at(rest.len().min(*size));
            pieces.push(piece);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        let chunk = lines(pieces, counts).unwrap();
        prop_assert_eq!(chunk.bytes(), &plain(&rows).0[..]);
        agrees_with_the_slow_reader(&whole, counts);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), counts in counts(), signed in any::<bool>()) {
        let bytes = if signed { [&stream::HEADER[..], &bytes].concat() } else { bytes };
        agrees_with_the_slow_reader(&bytes, counts);
    }

    #[test]
    fn damage_is_seen_or_means_what_it_says(
        rows in rows(),
        counts in counts(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = stream::of(&rows, counts).concat();
        for (place, byte) in damage {
            *place.get_mut(&mut bytes) = byte;
        }
        agrees_with_the_slow_reader(&bytes, counts);
    }
}
