//! Writing of `numeric` in its binary form.

use std::error::Error;

use tokio_postgres::types::{IsNull, ToSql, Type, accepts, private::BytesMut, to_sql_checked};

const NEGATIVE: u16 = 0x4000;

/// The number `value` · 10^-`scale`, exactly. The scale is at most 20.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numeric {
    pub(super) value: i128,
    pub(super) scale: u32,
}

impl ToSql for Numeric {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        // Digits of base 10,000 on both sides of the point.
        let decimals = self.scale.next_multiple_of(4);
        let padding = 10_u128.pow(decimals - self.scale);
        let mut rest = self.value.unsigned_abs().checked_mul(padding).ok_or("a number out of range")?;
        let mut digits = Vec::new();
        while rest > 0 {
            digits.push(u16::try_from(rest % 10_000)?);
            rest /= 10_000;
        }
        // The power of the first digit; that of zero has no meaning.
        let weight = i16::try_from(digits.len())? - 1 - i16::try_from(decimals / 4)?;
        digits.reverse();
        while digits.last() == Some(&0) {
            digits.pop();
        }
        let sign = if self.value < 0 { NEGATIVE } else { 0 };
        for word in [u16::try_from(digits.len())?, weight.cast_unsigned(), sign, u16::try_from(self.scale)?] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        for digit in digits {
            out.extend_from_slice(&digit.to_be_bytes());
        }
        Ok(IsNull::No)
    }

    accepts!(NUMERIC);
    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_as_the_server_writes_it() {
        for (value, scale, expected) in [
            (0, 0, &[0, 0xFFFF, 0, 0][..]),
            (1, 0, &[1, 0, 0, 0, 1]),
            (-32_500, 4, &[2, 0, NEGATIVE, 4, 3, 2500]),
            (100_000_000, 4, &[1, 1, 0, 4, 1]),
            (1, 6, &[1, 0xFFFE, 0, 6, 100]),
            (1, 18, &[1, 0xFFFB, 0, 18, 100]),
            (i64::MAX.into(), 0, &[5, 4, 0, 0, 922, 3372, 368, 5477, 5807]),
        ] {
            let mut raw = BytesMut::new();
            Numeric { value, scale }.to_sql(&Type::NUMERIC, &mut raw).unwrap();
            let words: Vec<u16> = raw.chunks(2).map(|word| u16::from_be_bytes([word[0], word[1]])).collect();
            assert_eq!(words, expected, "{value} {scale}");
        }
        assert!(Numeric { value: i128::MAX, scale: 18 }.to_sql(&Type::NUMERIC, &mut BytesMut::new()).is_err());
    }
}
