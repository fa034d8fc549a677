//! `cargo +nightly fuzz run copy`, in `shared`: no bytes make the reader panic, and what it accepts has the digits that a
//! slow reader finds.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../../tests/engine/naive.rs"]
mod naive;

use copy::{CopyError, CountType, Decoder};

const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

// The first byte says how counts are sent and where the stream is cut; its top bit puts a header before the rest.
fuzz_target!(|input: &[u8]| {
    let Some((choice, rest)) = input.split_first() else { return };
    let is_numeric = [1, 2, 4].map(|bit| choice & bit != 0);
    let counts = is_numeric.map(|numeric| if numeric { CountType::Numeric } else { CountType::Int8 });
    let stream = if choice & 128 == 0 { rest.to_vec() } else { [HEADER, rest].concat() };
    let cut = stream.len() * usize::from(choice >> 3 & 15) / 15;

    let mut rows = Vec::new();
    let mut decoder = Decoder::new(counts);
    let mut read = |piece: &[u8]| {
        decoder.read(piece, |row| {
            let (minus, cost) = (if row.cost_total < 0 { "-" } else { "" }, row.cost_total.unsigned_abs());
            let cost = format!("{minus}{}.{:04}", cost / 10_000, cost % 10_000);
            let model = row.model_id.map(|id| u128::from_be_bytes(*id));
            rows.push((row.bucket_start, model, row.counts.map(|count| count.to_string()), cost));
            Ok::<_, CopyError>(())
        })
    };
    let accepted = read(&stream[..cut]).and_then(|()| read(&stream[cut..])).and_then(|()| decoder.finish());
    if accepted.is_err() {
        return;
    }
    let slow = naive::read(&stream, is_numeric).expect("the slow reader accepts what the reader accepts");
    assert_eq!(rows.len(), slow.len());
    for ((bucket_start, model_id, counts, cost_total), slow) in rows.into_iter().zip(slow) {
        assert_eq!(
            (bucket_start, model_id, counts, cost_total),
            (slow.bucket_start, slow.model_id, slow.counts, slow.cost_total)
        );
    }
});
