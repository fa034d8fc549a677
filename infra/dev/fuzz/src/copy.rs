//! The reader of PostgreSQL's binary COPY format: what it accepts has the digits that a slow reader finds.

use copy::{CopyError, CountType, Decoder, naive};

const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// The first byte of the input says how counts are sent and where the stream is cut; its top bit puts a header before
/// the rest.
pub(crate) fn copy(input: &[u8]) {
    let Some((choice, rest)) = input.split_first() else { return };
    let is_numeric = [1, 2, 4].map(|bit| choice & bit != 0);
    let counts = is_numeric.map(|numeric| if numeric { CountType::Numeric } else { CountType::Int8 });
    let stream = if choice & 128 == 0 { rest.to_vec() } else { [HEADER, rest].concat() };
    let cut = stream.len() * usize::from(choice >> 3 & 15) / 15;

    let mut rows = Vec::new();
    let mut decoder = Decoder::new(counts);
    let mut read = |piece: &[u8]| {
        decoder.read(piece, |row| {
            let (counts, cost) = row.measures.into_parts();
            let minus = if cost.rounded < 0 { "-" } else { "" };
            let digits = cost.rounded.unsigned_abs();
            rows.push(naive::Row {
                bucket_start: row.bucket_start,
                model_id: row.model_id.map(|id| u128::from_be_bytes(*id)),
                counts: counts.map(|count| count.to_string()),
                cost_total: format!("{minus}{}.{:04}", digits / 10_000, digits % 10_000),
                remainder: cost.remainder.to_string(),
            });
            Ok::<_, CopyError>(())
        })
    };
    let accepted = read(&stream[..cut]).and_then(|()| read(&stream[cut..])).and_then(|()| decoder.finish());
    if accepted.is_err() {
        return;
    }
    let slow = naive::read(&stream, is_numeric).expect("the slow reader accepts what the reader accepts");
    assert_eq!(rows, slow);
}
