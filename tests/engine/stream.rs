//! The stream that PostgreSQL would send for some rows, written from the format's documentation.

use copy::CountType;
use rust_decimal::Decimal;
use tests::reference::UsageRow;

/// Signature, flags, and the length of no extension.
pub(crate) const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// The stream, a row in each piece, as the server sends it.
pub(crate) fn of(rows: &[UsageRow], counts: [CountType; 3]) -> Vec<Vec<u8>> {
    let rows = rows.iter().map(|row| tuple(row, counts));
    std::iter::once(HEADER.to_vec()).chain(rows).chain([(-1_i16).to_be_bytes().to_vec()]).collect()
}

fn tuple(row: &UsageRow, counts: [CountType; 3]) -> Vec<u8> {
    let since_2000 = row.bucket_start.as_microsecond() - 946_684_800_000_000;
    let mut fields = vec![Some(since_2000.to_be_bytes().to_vec()), row.model_id.map(|id| id.as_bytes().to_vec())];
    for (count, kind) in [row.request_count, row.tokens_total, row.error_count].into_iter().zip(counts) {
        fields.push(Some(match kind {
            CountType::Int8 => i64::try_from(count).unwrap().to_be_bytes().to_vec(),
            CountType::Numeric => numeric(count),
        }));
    }
    fields.push(Some(numeric(row.cost_total)));
    let mut bytes = 6_i16.to_be_bytes().to_vec();
    for field in fields {
        bytes.extend(field.as_ref().map_or(-1, |field| field.len() as i32).to_be_bytes());
        bytes.extend(field.unwrap_or_default());
    }
    bytes
}

/// By way of its text: the digits in groups of four on both sides of the point, without zeros at either end.
fn numeric(number: Decimal) -> Vec<u8> {
    let text = number.abs().to_string();
    let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
    let whole = format!("{whole:0>width$}", width = whole.len().next_multiple_of(4));
    let decimals = format!("{decimals:0<width$}", width = decimals.len().next_multiple_of(4));
    let mut weight = (whole.len() / 4) as i16 - 1;
    let groups = format!("{whole}{decimals}");
    let groups = groups.as_bytes().chunks(4).map(|group| std::str::from_utf8(group).unwrap());
    let mut digits: Vec<u16> = groups.map(|group| group.parse().unwrap()).collect();
    while digits.last() == Some(&0) {
        digits.pop();
    }
    while digits.first() == Some(&0) {
        digits.remove(0);
        weight -= 1;
    }
    if digits.is_empty() {
        weight = 0;
    }
    let sign = if number.is_sign_negative() && !number.is_zero() { 0x4000 } else { 0 };
    let words = [digits.len() as u16, weight.cast_unsigned(), sign, number.scale() as u16];
    words.iter().chain(&digits).flat_map(|word| word.to_be_bytes()).collect()
}
