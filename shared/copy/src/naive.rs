//! A slow reader of the binary stream for tests and the fuzz target: numbers become text by cutting and joining digits.

/// A row as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Microseconds since 2000.
    pub bucket_start: i64,
    /// The model.
    pub model_id: Option<u128>,
    /// Requests, tokens and errors.
    pub counts: [String; 3],
    /// The cost with four decimals, rounded half to even.
    pub cost_total: String,
    /// The part that rounding left out, in units of 10⁻²⁸.
    pub remainder: String,
}

/// Reads the rows of a whole stream, whose counts are or are not sent as numeric. `None` if it is no such stream.
pub fn read(bytes: &[u8], is_numeric: [bool; 3]) -> Option<Vec<Row>> {
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
        let count = |index: usize| {
            let field = fields[2 + index]?;
            if is_numeric[index] {
                let Numeric { minus, whole, decimals } = numeric(field)?;
                decimals.is_empty().then(|| format!("{minus}{whole}"))
            } else {
                Some(i64::from_be_bytes(field.try_into().ok()?).to_string())
            }
        };
        let (cost_total, remainder) = rounded(numeric(fields[5]?)?)?;
        rows.push(Row {
            bucket_start: i64::from_be_bytes(fields[0]?.try_into().ok()?),
            model_id: match fields[1] {
                Some(id) => Some(u128::from_be_bytes(id.try_into().ok()?)),
                None => None,
            },
            counts: [count(0)?, count(1)?, count(2)?],
            cost_total,
            remainder,
        });
    }
}

/// A number as text, without zeros at either end but one before the point.
struct Numeric {
    minus: &'static str,
    whole: String,
    decimals: String,
}

fn numeric(bytes: &[u8]) -> Option<Numeric> {
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
    let whole = whole.trim_start_matches('0');
    let decimals = decimals.trim_end_matches('0');
    let minus = match sign {
        0 => "",
        0x4000 if whole.is_empty() && decimals.is_empty() => "",
        0x4000 => "-",
        _ => return None,
    };
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(Numeric { minus, whole: whole.to_owned(), decimals: decimals.to_owned() })
}

/// Returns the number with four decimals, and the part that they leave out. `None` if it has more than 28 decimals.
fn rounded(Numeric { minus, whole, decimals }: Numeric) -> Option<(String, String)> {
    let decimals = format!("{decimals:0<28}");
    if decimals.len() > 28 {
        return None;
    }
    let (kept, rest) = decimals.split_at(4);
    let half = format!("5{}", "0".repeat(23));
    let mut digits = format!("0{whole}{kept}").into_bytes();
    let is_odd = digits.last().is_some_and(|digit| digit % 2 == 1);
    let is_up = rest > half.as_str() || (rest == half && is_odd);
    if is_up {
        let carried = digits.iter().rposition(|digit| *digit != b'9')?;
        digits[carried] += 1;
        digits[carried + 1..].fill(b'0');
    }
    let digits = String::from_utf8(digits).ok()?;
    let (whole, kept) = digits.split_at(digits.len() - 4);
    let whole = whole.trim_start_matches('0');
    let is_zero = whole.is_empty() && kept == "0000";
    let whole = if whole.is_empty() { "0" } else { whole };
    let rest: i128 = rest.parse().ok()?;
    let remainder = if is_up { rest - 10_i128.pow(24) } else { rest };
    let remainder = if minus.is_empty() { remainder } else { -remainder };
    let minus = if is_zero { "" } else { minus };
    Some((format!("{minus}{whole}.{kept}"), remainder.to_string()))
}
