//! The packed form of a run's results in the table `ci_tests`: three lists of one length, in the order of the tests' ids.
//!
//! | list | content |
//! |---|---|
//! | ids | the difference to the id before, as a varint: mostly 1 |
//! | durations | milliseconds + 1 as a varint; 0 if unknown |
//! | outcomes | the first letter of the outcome; `x` for flaky |
//!
//! A varint has 7 bits in a byte, the lowest first, and the highest bit of each byte but the last.

use super::{Outcome, TestResult};

/// The packed results of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packed {
    /// The tests' ids.
    pub ids: Vec<u8>,
    /// The durations.
    pub milliseconds: Vec<u8>,
    /// The outcomes.
    pub outcomes: Vec<u8>,
}

/// Bytes that are no packed results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the results of a run of tests are not packed as they should be")]
pub struct NotPacked;

impl Packed {
    /// Packs results, each with the id of its test, in any order.
    pub fn of(mut results: Vec<(u32, TestResult)>) -> Self {
        results.sort_unstable_by_key(|(id, _)| *id);
        let mut packed = Self::default();
        let mut before = 0;
        for (id, TestResult { outcome, milliseconds }) in results {
            write(&mut packed.ids, u64::from(id - before));
            write(&mut packed.milliseconds, milliseconds.map_or(0, |milliseconds| u64::from(milliseconds) + 1));
            packed.outcomes.push(letter(outcome));
            before = id;
        }
        packed
    }
}

/// Reads packed results, and gives each to `take` with the id of its test.
///
/// # Errors
/// When the bytes are no packed results. Those before the damage were taken.
pub fn read(
    mut ids: &[u8],
    mut milliseconds: &[u8],
    outcomes: &[u8],
    mut take: impl FnMut(u32, TestResult),
) -> Result<(), NotPacked> {
    let mut id = 0_u64;
    for letter in outcomes {
        id = id.checked_add(next(&mut ids)?).ok_or(NotPacked)?;
        let milliseconds = next(&mut milliseconds)?.checked_sub(1);
        let milliseconds = milliseconds.map(u32::try_from).transpose().map_err(|_| NotPacked)?;
        let result = TestResult { outcome: outcome(*letter)?, milliseconds };
        take(u32::try_from(id).map_err(|_| NotPacked)?, result);
    }
    if ids.is_empty() && milliseconds.is_empty() { Ok(()) } else { Err(NotPacked) }
}

const fn letter(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Skipped => b's',
        Outcome::Passed => b'p',
        Outcome::Failed => b'f',
        Outcome::Errored => b'e',
        Outcome::Flaky => b'x',
    }
}

fn outcome(letter: u8) -> Result<Outcome, NotPacked> {
    match letter {
        b'p' => Ok(Outcome::Passed),
        b's' => Ok(Outcome::Skipped),
        b'f' => Ok(Outcome::Failed),
        b'e' => Ok(Outcome::Errored),
        b'x' => Ok(Outcome::Flaky),
        _ => Err(NotPacked),
    }
}

fn write(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn next(bytes: &mut &[u8]) -> Result<u64, NotPacked> {
    let mut number = 0;
    for shift in (0..=35).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(NotPacked)?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(NotPacked)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::tests::any_result, *};

    fn unpack(packed: &Packed) -> Result<Vec<(u32, TestResult)>, NotPacked> {
        let mut found = Vec::new();
        read(&packed.ids, &packed.milliseconds, &packed.outcomes, |id, result| found.push((id, result)))?;
        Ok(found)
    }

    #[test]
    fn each_outcome_has_a_letter() {
        for known in Outcome::ALL {
            assert_eq!(outcome(letter(known)), Ok(known));
        }
        assert_eq!(outcome(b'?'), Err(NotPacked));
    }

    #[test]
    fn what_is_damaged_is_an_error() {
        let result = TestResult { outcome: Outcome::Passed, milliseconds: Some(300) };
        let packed = Packed::of(vec![(1, result), (70_000, result)]);
        assert_eq!((packed.ids.len(), packed.milliseconds.len(), packed.outcomes.as_slice()), (4, 4, &b"pp"[..]));
        let damage: [fn(&mut Packed); 6] = [
            |packed| _ = packed.ids.pop(),
            |packed| packed.ids.push(0),
            |packed| _ = packed.milliseconds.pop(),
            |packed| packed.milliseconds[1] = 0xff,
            |packed| _ = packed.outcomes.pop(),
            |packed| packed.outcomes[0] = b'P',
        ];
        for damage in damage {
            let mut damaged = packed.clone();
            damage(&mut damaged);
            assert_eq!(unpack(&damaged), Err(NotPacked), "{damaged:?}");
        }
        let far = Packed { ids: vec![0xff; 5], milliseconds: vec![0], outcomes: b"p".to_vec() };
        assert_eq!(unpack(&far), Err(NotPacked));
    }

    proptest! {
        #[test]
        fn packed_results_read_back(results in prop::collection::btree_map(any::<u32>(), any_result(), 0..50)) {
            let results: Vec<_> = results.into_iter().collect();
            let mut turned = results.clone();
            turned.reverse();
            prop_assert_eq!(unpack(&Packed::of(turned)), Ok(results));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(
            ids in prop::collection::vec(any::<u8>(), 0..20),
            milliseconds in prop::collection::vec(any::<u8>(), 0..20),
            outcomes in "[pfesx?]{0,20}",
        ) {
            let _ = read(&ids, &milliseconds, outcomes.as_bytes(), |_, _| ());
        }
    }
}
