//! PostgreSQL's `numeric` in its binary form: base-10000 digits, of which four decimals are exactly one.

/// How many ten-thousandths make one.
pub const TEN_THOUSAND: i128 = 10_000;

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;

/// Why a numeric is no exact number of ten-thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NumericError {
    /// `NaN`.
    #[error("is not a number (NaN)")]
    NotANumber,
    /// `Infinity` or `-Infinity`.
    #[error("is infinite")]
    Infinite,
    /// A decimal beyond the fourth that is not zero.
    #[error("has more than four decimals")]
    TooPrecise,
    /// More digits than can be kept: about 34 before the point.
    #[error("is too large")]
    TooLarge,
    /// Not the binary form of a numeric.
    #[error("is not in the binary form of numeric")]
    Malformed,
}

/// The value of a numeric in ten-thousandths.
///
/// # Errors
/// When it has none that is exact.
#[inline]
pub fn ten_thousandths(bytes: &[u8]) -> Result<i128, NumericError> {
    let (header, digits) = bytes.split_first_chunk::<8>().ok_or(NumericError::Malformed)?;
    let [n0, n1, w0, w1, s0, s1, d0, d1] = *header;
    let (count, weight) = (u16::from_be_bytes([n0, n1]), i16::from_be_bytes([w0, w1]));
    let (sign, scale) = (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
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
    // The first digit counts 10000 to the power of `weight`, and the one with power -1 is the four decimals: so many
    // digits come before what is too small to be stated.
    let stated = usize::try_from(i32::from(weight) + 2).unwrap_or(0);
    let value = match digits.len() <= stated.min(4) {
        // Most numbers: at most 16 decimal digits, which fit 64 bits.
        true => {
            let mut value = 0_u64;
            for digit in digits {
                value = value * 10_000 + u64::from(base_10000(*digit)?);
            }
            i128::from(value)
        }
        false => {
            let (kept, rest) = digits.split_at(stated.min(digits.len()));
            let mut value = 0_i128;
            for digit in kept {
                value = shifted(value)?.checked_add(base_10000(*digit)?.into()).ok_or(NumericError::TooLarge)?;
            }
            for digit in rest {
                if base_10000(*digit)? != 0 {
                    return Err(NumericError::TooPrecise);
                }
            }
            value
        }
    };
    let mut value = value;
    // Zeros at the end are not sent.
    for _ in digits.len()..stated {
        if value == 0 {
            break;
        }
        value = shifted(value)?;
    }
    Ok(if negative { -value } else { value })
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
            assert_eq!(ten_thousandths(&numeric(weight, sign, digits)), Ok(expected), "{weight} {digits:?}");
        }
    }

    #[test]
    fn what_is_no_exact_number_is_an_error() {
        for (weight, sign, digits, error) in [
            (0, NAN, &[][..], NumericError::NotANumber),
            (0, INFINITY, &[], NumericError::Infinite),
            (0, NEGATIVE_INFINITY, &[], NumericError::Infinite),
            (0, 0x8000, &[], NumericError::Malformed),
            (0, 0, &[1, 1, 1], NumericError::TooPrecise),
            (-2, 0, &[1], NumericError::TooPrecise),
            (i16::MIN, 0, &[1], NumericError::TooPrecise),
            (i16::MAX, 0, &[1], NumericError::TooLarge),
            (8, 0, &[9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999], NumericError::TooLarge),
            (0, 0, &[10_000], NumericError::Malformed),
            (0, 0, &[1, 1, 10_000], NumericError::Malformed),
        ] {
            assert_eq!(ten_thousandths(&numeric(weight, sign, digits)), Err(error), "{weight} {digits:?}");
        }
        let whole = numeric(0, 0, &[10, 5000]);
        for length in 0..whole.len() {
            assert_eq!(ten_thousandths(&whole[..length]), Err(NumericError::Malformed), "{length} bytes");
        }
        assert_eq!(ten_thousandths(&[&whole[..], &[0]].concat()), Err(NumericError::Malformed));
    }
}
