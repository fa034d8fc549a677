//! A slow reader of the binary stream, without arithmetic: numbers become text by cutting and joining digits. The fuzz
//! target uses it too.

/// A row as text.
pub(crate) struct Row {
    pub(crate) bucket_start: i64,
    pub(crate) model_id: Option<u128>,
    pub(crate) counts: [String; 3],
    pub(crate) cost_total: String,
}

/// The rows of a whole stream, whose counts are or are not sent as numeric; `None` if it is not one.
pub(crate) fn read(bytes: &[u8], is_numeric: [bool; 3]) -> Option<Vec<Row>> {
    let rest = bytes.strip_prefix(b"PGCOPY\n\xff\r\n\0")?;
    let (flags, rest) = rest.split_at_checked(4)?;
    let (length, rest) = rest.split_at_checked(4)?;
    if flags[..2] != [0, 0] {
        return None;
    }
    let mut rest = rest.get(usize::try_from(i32::from_be_bytes(length.try_into().ok()?)).ok()?..)?;
    let mut rows = Vec::new();
    loop {
        let (count, tuple) = rest.split_at_checked(2)?;
        if count == [0xff, 0xff] {
            return tuple.is_empty().then_some(rows);
        }
        if count != [0, 6] {
            return None;
        }
        rest = tuple;
        let mut fields = Vec::new();
        for _ in 0..6 {
            let (length, after) = rest.split_at_checked(4)?;
            let length = i32::from_be_bytes(length.try_into().ok()?);
            rest = after;
            if length == -1 {
                fields.push(None);
            } else {
                let (field, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                fields.push(Some(field));
                rest = after;
            }
        }
        let count = |index: usize| match is_numeric[index] {
            false => Some(i64::from_be_bytes(fields[2 + index]?.try_into().ok()?).to_string()),
            true => numeric(fields[2 + index]?)?.strip_suffix(".0000").map(str::to_owned),
        };
        rows.push(Row {
            bucket_start: i64::from_be_bytes(fields[0]?.try_into().ok()?),
            model_id: match fields[1] {
                Some(id) => Some(u128::from_be_bytes(id.try_into().ok()?)),
                None => None,
            },
            counts: [count(0)?, count(1)?, count(2)?],
            cost_total: numeric(fields[5]?)?,
        });
    }
}

/// A numeric as text with four decimals.
fn numeric(bytes: &[u8]) -> Option<String> {
    let words: Vec<u16> =
        bytes.chunks(2).map(|word| word.try_into().map(u16::from_be_bytes).ok()).collect::<Option<_>>()?;
    let [count, weight, sign, scale, digits @ ..] = &words[..] else { return None };
    if digits.len() != usize::from(*count) || digits.iter().any(|digit| *digit > 9999) || *scale > 0x3fff {
        return None;
    }
    let digits: String = digits.iter().map(|digit| format!("{digit:04}")).collect();
    let point = (i64::from(weight.cast_signed()) + 1) * 4;
    let before = "0".repeat(usize::try_from(-point).unwrap_or(0));
    let point = usize::try_from(point).unwrap_or(0);
    let digits = format!("{before}{digits}");
    let after = "0".repeat(point.saturating_sub(digits.len()));
    let digits = format!("{digits}{after}");
    let (whole, decimals) = digits.split_at(point);
    let (whole, decimals) = (whole.trim_start_matches('0'), decimals.trim_end_matches('0'));
    if decimals.len() > 4 {
        return None;
    }
    let minus = match sign {
        0 => "",
        0x4000 if whole.is_empty() && decimals.is_empty() => "",
        0x4000 => "-",
        _ => return None,
    };
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(format!("{minus}{whole}.{decimals:0<4}"))
}
