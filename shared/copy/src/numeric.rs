//! PostgreSQL's `numeric` in its binary form: base-10000 digits, of which exactly one holds the four decimals of a
//! file.

/// The number of ten-thousandths in one.
pub const TEN_THOUSAND: i128 = 10_000;

/// Decimals of a [`Cost::remainder`].
pub const REMAINDER_SCALE: u32 = 28;

/// Base-10000 digits of a remainder: those of the decimals 5 to 28.
const REMAINDER_DIGITS: usize = 6;

/// A ten-thousandth in units of a remainder.
const REMAINDER_UNIT: i128 = TEN_THOUSAND.pow(REMAINDER_DIGITS as u32);

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;

/// A cost as a line of a file states it, and the part that the line leaves out. Both together are the exact cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// The cost in ten-thousandths of a dollar, rounded half to even.
    pub rounded: i128,
    /// The exact cost minus the rounded one, in units of 10⁻²⁸ dollars. Zero for a cost of at most four decimals.
    pub remainder: i128,
}

impl Cost {
    /// Adds another. `None` when the sum has more than 127 bits.
    #[inline]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Some(Self {
            rounded: self.rounded.checked_add(other.rounded)?,
            remainder: self.remainder.checked_add(other.remainder)?,
        })
    }
}

/// The reason that a numeric has no exact value here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NumericError {
    /// `NaN`.
    #[error("is not a number (NaN)")]
    NotANumber,
    /// `Infinity` or `-Infinity`.
    #[error("is infinite")]
    Infinite,
    /// A decimal beyond the 28th that is not zero.
    #[error("has more than {REMAINDER_SCALE} decimals")]
    TooPrecise,
    /// More digits than can be kept: about 34 before the point.
    #[error("is too large")]
    TooLarge,
    /// Not the binary form of a numeric.
    #[error("is not in the binary form of numeric")]
    Malformed,
}

/// Reads a numeric as a cost.
///
/// # Errors
/// When it has no exact value.
#[inline]
pub fn cost(bytes: &[u8]) -> Result<Cost, NumericError> {
    let (header, digits) = bytes.split_first_chunk::<8>().ok_or(NumericError::Malformed)?;
    let [n0, n1, w0, w1, s0, s1, d0, d1] = *header;
    let count = u16::from_be_bytes([n0, n1]);
    let weight = i16::from_be_bytes([w0, w1]);
    let sign = u16::from_be_bytes([s0, s1]);
    let scale = u16::from_be_bytes([d0, d1]);
    let (digits, odd) = digits.as_chunks::<2>();
    if digits.len() != usize::from(count) || !odd.is_empty() || scale > 0x3FFF {
        return Err(NumericError::Malformed);
    }
    let negative = match sign {
        0 => false,
        NEGATIVE => true,
        NAN => return Err(NumericError::NotANumber),
        INFINITY | NEGATIVE_INFINITY => return Err(NumericError::Infinite),
        _ => return Err(NumericError::Malformed),
    };
    // The first digit counts 10000 to the power of `weight`, and the one with power -1 is the four decimals: this many
    // digits come before what a line leaves out.
    let stated = usize::try_from(i32::from(weight) + 2).unwrap_or(0);
    let mut cost = if digits.len() <= stated.min(4) {
        // Most numbers: at most 16 decimal digits, which fit 64 bits.
        let mut value = 0_u64;
        for digit in digits {
            value = value * 10_000 + u64::from(base_10000(*digit)?);
        }
        Cost { rounded: value.into(), remainder: 0 }
    } else {
        let (kept, rest) = digits.split_at(stated.min(digits.len()));
        let mut value = 0_i128;
        for digit in kept {
            value = shifted(value)?.checked_add(base_10000(*digit)?.into()).ok_or(NumericError::TooLarge)?;
        }
        // Zeros between the point and the first digit are not sent.
        let zeros = usize::try_from(-2 - i32::from(weight)).unwrap_or(0);
        round_half_even(value, remainder(rest, zeros)?)?
    };
    // Zeros at the end are not sent. Where some are missing, nothing was rounded.
    for _ in digits.len()..stated {
        if cost.rounded == 0 {
            break;
        }
        cost.rounded = shifted(cost.rounded)?;
    }
    Ok(if negative { Cost { rounded: -cost.rounded, remainder: -cost.remainder } } else { cost })
}

/// Reads what follows the fourth decimal, after some digits of zero that were not sent.
fn remainder(digits: &[[u8; 2]], zeros: usize) -> Result<i128, NumericError> {
    let mut remainder = 0;
    let mut unit = REMAINDER_UNIT;
    for _ in 0..zeros.min(REMAINDER_DIGITS) {
        unit /= TEN_THOUSAND;
    }
    for digit in digits {
        let digit = base_10000(*digit)?;
        unit /= TEN_THOUSAND;
        if unit == 0 && digit != 0 {
            return Err(NumericError::TooPrecise);
        }
        remainder += i128::from(digit) * unit;
    }
    Ok(remainder)
}

/// Rounds a positive number of ten-thousandths and a remainder of less than one of them.
fn round_half_even(value: i128, remainder: i128) -> Result<Cost, NumericError> {
    const HALF: i128 = REMAINDER_UNIT / 2;
    if remainder > HALF || (remainder == HALF && value % 2 == 1) {
        let rounded = value.checked_add(1).ok_or(NumericError::TooLarge)?;
        Ok(Cost { rounded, remainder: remainder - REMAINDER_UNIT })
    } else {
        Ok(Cost { rounded: value, remainder })
    }
}

fn shifted(value: i128) -> Result<i128, NumericError> {
    value.checked_mul(TEN_THOUSAND).ok_or(NumericError::TooLarge)
}

#[inline]
fn base_10000(digit: [u8; 2]) -> Result<u16, NumericError> {
    let digit = u16::from_be_bytes(digit);
    if digit < 10_000 { Ok(digit) } else { Err(NumericError::Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(weight: i16, sign: u16, digits: &[u16]) -> Vec<u8> {
        let header = [u16::try_from(digits.len()).unwrap(), weight.cast_unsigned(), sign, 4];
        header.iter().chain(digits).flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn numbers_are_read_to_the_last_digit() {
        for (weight, sign, digits, expected) in [
            (0, 0, &[][..], 0),
            (0, 0, &[10, 5000], 105_000),
            (0, NEGATIVE, &[3, 2500], -32_500),
            (-1, 0, &[1], 1),
            (-1, NEGATIVE, &[1], -1),
            (1, 0, &[1], 100_000_000),
            (2, 0, &[99, 9999, 9999, 9999], 99_9999_9999_9999),
            (4, 0, &[922, 3372, 368, 5477, 5807], 92_233_720_368_547_758_070_000),
            // Zeros that need not be there.
            (0, 0, &[10, 5000, 0, 0], 105_000),
            (-2, 0, &[0], 0),
            (i16::MAX, 0, &[0, 0], 0),
        ] {
            let expected = Cost { rounded: expected, remainder: 0 };
            assert_eq!(cost(&numeric(weight, sign, digits)), Ok(expected), "{weight} {digits:?}");
        }
    }

    #[test]
    fn costs_are_rounded_half_to_even_and_keep_what_is_left_out() {
        let unit = 10_i128.pow(20);
        for (weight, sign, digits, rounded, remainder) in [
            (-2, 0, &[1][..], 0, unit),
            (-2, 0, &[4999], 0, 4999 * unit),
            (-2, 0, &[5000], 0, 5000 * unit),
            (-1, 0, &[1, 5000], 2, -5000 * unit),
            (-1, 0, &[2, 5000], 2, 5000 * unit),
            (-1, 0, &[2, 5000, 0, 0, 0, 0, 1], 3, 1 - 5000 * unit),
            (-1, NEGATIVE, &[1, 5000], -2, 5000 * unit),
            (-1, NEGATIVE, &[2, 5000], -2, -5000 * unit),
            (0, 0, &[0, 9999, 9999], 10_000, -unit),
            (1, 0, &[3, 0, 0, 0, 1], 300_000_000, unit / 10_000),
            (-7, 0, &[1], 0, 1),
            (-8, 0, &[0], 0, 0),
            (-1, 0, &[1, 0, 0, 0, 0, 0, 0, 0, 0], 1, 0),
        ] {
            let expected = Cost { rounded, remainder };
            assert_eq!(cost(&numeric(weight, sign, digits)), Ok(expected), "{weight} {digits:?}");
        }
    }

    #[test]
    fn what_is_no_exact_number_is_an_error() {
        for (weight, sign, digits, error) in [
            (0, NAN, &[][..], NumericError::NotANumber),
            (0, INFINITY, &[], NumericError::Infinite),
            (0, NEGATIVE_INFINITY, &[], NumericError::Infinite),
            (0, 0x8000, &[], NumericError::Malformed),
            (0, 0, &[1, 1, 1, 1, 1, 1, 1, 1, 1], NumericError::TooPrecise),
            (-8, 0, &[1], NumericError::TooPrecise),
            (i16::MIN, 0, &[1], NumericError::TooPrecise),
            (i16::MAX, 0, &[1], NumericError::TooLarge),
            (8, 0, &[9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999], NumericError::TooLarge),
            (0, 0, &[10_000], NumericError::Malformed),
            (0, 0, &[1, 1, 10_000], NumericError::Malformed),
        ] {
            assert_eq!(cost(&numeric(weight, sign, digits)), Err(error), "{weight} {digits:?}");
        }
        let whole = numeric(0, 0, &[10, 5000]);
        for length in 0..whole.len() {
            assert_eq!(cost(&whole[..length]), Err(NumericError::Malformed), "{length} bytes");
        }
        assert_eq!(cost(&[&whole[..], &[0]].concat()), Err(NumericError::Malformed));
    }
}
