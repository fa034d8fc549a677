//! Durations as writers of reports state them: seconds in the notation of a programming language or of a country.

use rust_decimal::{Decimal, RoundingStrategy, prelude::ToPrimitive as _};

/// Reads a duration in seconds. Returns milliseconds, rounded; `None` for what is no duration, such as `NaN` or less than 0.
///
/// A comma parts thousands, as with Surefire, where three digits follow each; else it begins the decimals. So `1,234` is
/// 1,234 s, as Jenkins reads it, and `0,123` and `1.234,5` are numbers with decimals.
pub(super) fn milliseconds(text: &str) -> Option<u32> {
    let text = text.trim();
    let plain = plain(text.strip_suffix('s').unwrap_or(text))?;
    // GoogleTest writes `0.`, others `.5`.
    let plain = plain.trim_end_matches('.');
    let plain = if plain.starts_with('.') { format!("0{plain}") } else { plain.to_owned() };
    let seconds = if plain.contains(['e', 'E']) {
        Decimal::from_scientific(&plain).ok()?
    } else {
        // More digits than a decimal has are no more than noise.
        Decimal::from_str_exact(&plain).or_else(|_| plain.parse()).ok()?
    };
    let milliseconds = seconds.checked_mul(Decimal::ONE_THOUSAND)?;
    milliseconds.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero).to_u32()
}

/// Returns the number with a point before its decimals and without separators.
fn plain(text: &str) -> Option<String> {
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match (text.rfind(','), text.rfind('.')) {
        (None, _) => Some(text.to_owned()),
        (Some(comma), Some(point)) if comma < point => Some(text.replace(',', "")),
        (Some(_), Some(_)) => Some(text.replace('.', "").replace(',', ".")),
        (Some(comma), None) => {
            let mut groups = text.split(',');
            let first = groups.next()?;
            let is_first = is_digits(first) && first.len() <= 3 && !first.starts_with('0');
            if is_first && groups.all(|group| group.len() == 3 && is_digits(group)) {
                return Some(text.replace(',', ""));
            }
            // Two of them begin no decimals.
            (text.find(',') == Some(comma)).then(|| text.replace(',', "."))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_as_they_were_meant() {
        for (text, expected) in [
            ("0.004", Some(4)),
            ("12", Some(12_000)),
            (" 1.5 ", Some(1500)),
            (".5", Some(500)),
            ("7.", Some(7000)),
            (".", None),
            ("0.0004999", Some(0)),
            ("0.0005", Some(1)),
            ("1.2E-4", Some(0)),
            ("5e-1", Some(500)),
            ("2.0E+2", Some(200_000)),
            ("1,234.567", Some(1_234_567)),
            ("1,234", Some(1_234_000)),
            ("12,345,678", None),
            ("1,234,567.5", Some(1_234_567_500)),
            ("0,123", Some(123)),
            ("3,14", Some(3140)),
            ("1.234,5", Some(1_234_500)),
            ("0.10s", Some(100)),
            ("0.12345678901234567890123456789012345", Some(123)),
            ("4294967.295", Some(u32::MAX)),
            ("4294967.296", None),
            ("-0.001", None),
            ("1,2,3", None),
            ("NaN", None),
            ("Infinity", None),
            ("", None),
            ("fast", None),
            ("1e999999999", None),
        ] {
            assert_eq!(milliseconds(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "[0-9.,eE+-]{0,40}|\\PC{0,20}") {
            let _ = milliseconds(&text);
        }

        #[test]
        fn every_whole_number_of_milliseconds_reads_back(number in any::<u32>()) {
            prop_assert_eq!(milliseconds(&format!("{}.{:03}", number / 1000, number % 1000)), Some(number));
        }
    }
}
