//! The planes of numbers: their low 16 bits, the next 16, and the 32 above.

/// The planes of a column, each in the order of the rows. A plane of zeros alone is `None`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Planes {
    pub(super) low: Option<Vec<i16>>,
    pub(super) middle: Option<Vec<i16>>,
    pub(super) high: Option<Vec<i32>>,
}

impl Planes {
    pub(super) fn of(numbers: impl Iterator<Item = i64> + Clone) -> Self {
        Self {
            low: plane(numbers.clone(), |[a, b, ..]| i16::from_le_bytes([a, b])),
            middle: plane(numbers.clone(), |[_, _, a, b, ..]| i16::from_le_bytes([a, b])),
            high: plane(numbers, |[.., a, b, c, d]| i32::from_le_bytes([a, b, c, d])),
        }
    }
}

fn plane<T: Default + PartialEq>(numbers: impl Iterator<Item = i64>, part: impl Fn([u8; 8]) -> T) -> Option<Vec<T>> {
    let plane: Vec<T> = numbers.map(|number| part(number.to_le_bytes())).collect();
    let zero = T::default();
    plane.iter().any(|part| *part != zero).then_some(plane)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_split_by_its_bits() {
        let planes = Planes::of([0, 1, -1, 32_768, 65_536, 1 << 32, i64::MAX, i64::MIN].into_iter());
        assert_eq!(planes.low, Some(vec![0, 1, -1, i16::MIN, 0, 0, -1, 0]));
        assert_eq!(planes.middle, Some(vec![0, 0, -1, 0, 1, 0, -1, 0]));
        assert_eq!(planes.high, Some(vec![0, 0, -1, 0, 0, 1, i32::MAX, i32::MIN]));
        assert_eq!(Planes::of([0, 0].into_iter()), Planes::default());
        assert_eq!(Planes::of([65_536].into_iter()), Planes { middle: Some(vec![1]), ..Planes::default() });
    }
}
