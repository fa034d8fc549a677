//! Amounts as people type or paste them, with the separators of their country.
//!
//! What can be read in two ways is not guessed: `1,523` is 1523 dollars to one reader and 1.523 to another.

use super::{Amount, CURRENCY};

/// Characters that only ever separate groups of three digits: spaces of all widths, and the apostrophes of Switzerland.
const GROUPING: [char; 6] = [' ', '\u{a0}', '\u{2009}', '\u{202f}', '\'', '\u{2019}'];

/// A typed text that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typed {
    /// The one amount that it can be.
    One(Amount),
    /// The two amounts that it can be: its only separator stands before three digits.
    Either {
        /// The amount if the separator groups thousands.
        grouped: Amount,
        /// The amount if the separator is the decimal mark.
        decimal: Amount,
    },
}

/// Text that is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTyped {
    /// Nothing but spaces.
    #[error("is empty")]
    Empty,
    /// An amount of another currency.
    #[error("must be in US dollars: nothing is converted")]
    Currency,
    /// Anything else.
    #[error(
        "must be an amount such as 523.37, 523,37, 1,523.37 or 1.523,37, with at most 15 digits before and 4 after the point"
    )]
    Form,
}

/// Reads an amount: `523,37`, `523.37`, `1.523,37`, `$1,523.37`, `1 523,37`, `1'523.37`, `-5`, `5-`, `(5)`, `5 USD`.
///
/// # Errors
/// When it is no amount of dollars in any of these forms.
pub fn read(text: &str) -> Result<Typed, NotTyped> {
    let text = text.trim();
    if text.is_empty() {
        return Err(NotTyped::Empty);
    }
    let (is_negative, body) = sign(text);
    let body = currency(body)?;
    // The sign may stand on either side of the currency.
    let (is_also_negative, body) = sign(body);
    if is_negative && is_also_negative {
        return Err(NotTyped::Form);
    }
    let sign = if is_negative || is_also_negative { "-" } else { "" };
    let amount = |whole: &str, decimals: Option<&str>| {
        let text = decimals.map_or_else(|| format!("{sign}{whole}"), |decimals| format!("{sign}{whole}.{decimals}"));
        text.parse::<Amount>().map_err(|_| NotTyped::Form)
    };
    match split(body).ok_or(NotTyped::Form)? {
        Split::One(whole, decimals) => amount(&whole, decimals.as_deref()).map(Typed::One),
        Split::Either(whole, last) => {
            let grouped = amount(&format!("{whole}{last}"), None)?;
            Ok(Typed::Either { grouped, decimal: amount(&whole, Some(&last))? })
        }
    }
}

/// Takes the sign off, in one of the forms of bookkeeping.
fn sign(text: &str) -> (bool, &str) {
    let inner = text.strip_prefix('(').and_then(|text| text.strip_suffix(')'));
    let minus = ['-', '\u{2212}'];
    let negative = inner.or_else(|| text.strip_prefix(minus)).or_else(|| text.strip_suffix(minus));
    match negative {
        Some(rest) => (true, rest.trim()),
        None => (false, text.strip_prefix('+').unwrap_or(text).trim()),
    }
}

/// Takes the dollars' name off.
fn currency(text: &str) -> Result<&str, NotTyped> {
    let names = ["US$", CURRENCY, "usd", "$"];
    let rest = names.iter().find_map(|name| text.strip_prefix(name).or_else(|| text.strip_suffix(name)));
    let rest = rest.unwrap_or(text).trim();
    let is_foreign = |character: char| character.is_alphabetic() || ['€', '£', '¥', '₹'].contains(&character);
    if rest.chars().any(is_foreign) { Err(NotTyped::Currency) } else { Ok(rest) }
}

/// The digits of an amount.
enum Split {
    /// Before and after the point.
    One(String, Option<String>),
    /// Before and after a separator that may be the point or not.
    Either(String, String),
}

fn split(body: &str) -> Option<Split> {
    let marks = |mark: char| body.matches(mark).count();
    let has_spaces = body.contains(GROUPING);
    let (points, commas) = (marks('.'), marks(','));
    let decimal = match (points, commas) {
        (0, 0) => None,
        // Of two kinds the later is the point, which there is once.
        (_, 1..) if points > 0 => Some(if body.rfind('.') > body.rfind(',') { '.' } else { ',' }),
        (1, 0) => Some('.'),
        (0, 1) => Some(','),
        // One kind several times groups.
        _ => None,
    };
    let Some(decimal) = decimal else { return Some(Split::One(whole(body)?, None)) };
    if marks(decimal) != 1 {
        return None;
    }
    let (before, after) = body.split_once(decimal)?;
    if after.is_empty() || !after.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = whole(before)?;
    let is_lone = points + commas == 1 && !has_spaces;
    if is_lone && after.len() == 3 && digits.len() <= 3 && !digits.starts_with('0') {
        return Some(Split::Either(digits, after.to_owned()));
    }
    Some(Split::One(digits, Some(after.to_owned())))
}

/// Returns the digits of a whole number whose groups, if it has any, are of three digits and of one separator.
fn whole(text: &str) -> Option<String> {
    let separators: Vec<char> = text.chars().filter(|character| !character.is_ascii_digit()).collect();
    let first = separators.first().copied();
    let is_separator = |mark: char| GROUPING.contains(&mark) || ['.', ','].contains(&mark);
    if !separators.iter().all(|mark| Some(*mark) == first && is_separator(*mark)) {
        return None;
    }
    let mut groups = text.split(|character: char| !character.is_ascii_digit());
    let head = groups.next()?;
    let rest: Vec<&str> = groups.collect();
    let is_grouped = (1..=3).contains(&head.len()) && rest.iter().all(|group| group.len() == 3);
    (!head.is_empty() && (rest.is_empty() || is_grouped)).then(|| format!("{head}{}", rest.concat()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(text: &str) -> String {
        match read(text) {
            Ok(Typed::One(amount)) => amount.to_string(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn amounts_of_many_countries_are_read() {
        for (text, amount) in [
            ("523,37", "523.37"),
            ("523.37", "523.37"),
            ("1.523,37", "1523.37"),
            ("$1,523.37", "1523.37"),
            (" 1 523,37 ", "1523.37"),
            ("1\u{202f}523,370", "1523.370"),
            ("1'523.37", "1523.37"),
            ("1,234,567", "1234567"),
            ("1.234.567,8901", "1234567.8901"),
            ("-5", "-5"),
            ("5,5-", "-5.5"),
            ("(1,523.37)", "-1523.37"),
            ("\u{2212}$5.00", "-5.00"),
            ("$ -5.00", "-5.00"),
            ("US$ 12", "12"),
            ("12 USD", "12"),
            ("0,523", "0.523"),
            ("1234,567", "1234.567"),
            ("+7", "7"),
        ] {
            assert_eq!(one(text), amount, "{text}");
        }
    }

    #[test]
    fn what_can_be_two_amounts_is_asked() {
        for text in ["1,523", "1.523", "$1,523", "(1.523)", "123,456"] {
            assert!(matches!(read(text), Ok(Typed::Either { .. })), "{text}: {:?}", read(text));
        }
        let Ok(Typed::Either { grouped, decimal }) = read("-1,523") else { panic!("asked") };
        assert_eq!((grouped.to_string().as_str(), decimal.to_string().as_str()), ("-1523", "-1.523"));
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for (text, error) in [
            ("", NotTyped::Empty),
            ("\u{a0} ", NotTyped::Empty),
            ("5 €", NotTyped::Currency),
            ("EUR 5", NotTyped::Currency),
            ("five", NotTyped::Currency),
            ("1,23,456", NotTyped::Form),
            ("1.5.5", NotTyped::Form),
            ("1,523.37.1", NotTyped::Form),
            ("1,523,37", NotTyped::Form),
            ("1 52", NotTyped::Form),
            ("--5", NotTyped::Form),
            ("-(5)", NotTyped::Form),
            (".5", NotTyped::Form),
            ("5.", NotTyped::Form),
            ("0.00001", NotTyped::Form),
            ("1234567890123456", NotTyped::Form),
            ("$", NotTyped::Form),
            ("5 %", NotTyped::Form),
        ] {
            assert_eq!(read(text), Err(error), "{text}");
        }
    }

    /// Writes the digits of a whole number in groups.
    fn grouped(whole: u64, mark: &str) -> String {
        let digits = whole.to_string();
        let groups = digits.as_bytes().rchunks(3).rev();
        let groups: Vec<_> = groups.map(|group| String::from_utf8_lossy(group).into_owned()).collect();
        groups.join(mark)
    }

    proptest! {
        #[test]
        fn an_amount_is_read_as_it_was_written(
            whole in 0_u64..1_000_000_000_000_000,
            decimals in prop_oneof![Just(String::new()), "[0-9]{1,4}"],
            style in prop::sample::select(vec![("", "."), ("", ","), (",", "."), (".", ","), (" ", ","), ("'", ".")]),
            is_negative: bool,
        ) {
            let sign = if is_negative { "-" } else { "" };
            let plain = if decimals.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{decimals}") };
            let amount: Amount = plain.parse().unwrap();
            let (group, mark) = style;
            let mark = if decimals.is_empty() { "" } else { mark };
            let text = format!("{sign}{}{mark}{decimals}", grouped(whole, group));
            match read(&text) {
                Ok(Typed::One(found)) => prop_assert_eq!(found, amount, "{}", text),
                Ok(Typed::Either { grouped, decimal }) => {
                    prop_assert!(grouped == amount || decimal == amount, "{}", text);
                    prop_assert_eq!(text.matches(['.', ',']).count(), 1);
                }
                Err(error) => prop_assert!(false, "{}: {}", text, error),
            }
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,20}|[0-9., '()$-]{0,20}") {
            let _ = read(&text);
        }
    }
}
