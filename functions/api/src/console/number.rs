//! Numbers on a page: the digits of the file, in groups of three.
//!
//! The space between groups is a style and no character, so that a copied cell is the plain number of the file.

use domain::measures::cost_text;
use maud::{Markup, html};
use rust_decimal::{Decimal, RoundingStrategy};

/// Shows exact decimal text, such as `-1234.5678`, in groups.
pub(super) fn grouped(text: &str) -> Markup {
    let (whole, decimals) = text.split_once('.').map_or((text, None), |(whole, decimals)| (whole, Some(decimals)));
    let (sign, digits) = whole.strip_prefix(['-', '+']).map_or(("", whole), |digits| (&whole[..1], digits));
    // ASCII digits: a place within the text is a place between characters.
    let head = match digits.len() % 3 {
        0 => 3.min(digits.len()),
        head => head,
    };
    let (head, rest) = digits.split_at_checked(head).unwrap_or((digits, ""));
    html! {
        (sign) (head)
        @for group in rest.as_bytes().chunks(3) { i { (String::from_utf8_lossy(group)) } }
        @if let Some(decimals) = decimals { "." (decimals) }
    }
}

/// Shows a cost with its four decimals.
pub(super) fn cost(cost: Decimal) -> Markup {
    grouped(&cost_text(cost))
}

/// Shows a difference of costs with its sign.
pub(super) fn difference(difference: Decimal) -> Markup {
    let sign = if difference.is_sign_positive() && !difference.is_zero() { "+" } else { "" };
    grouped(&format!("{sign}{}", cost_text(difference)))
}

/// Shows a count.
pub(super) fn count(count: impl ToString) -> Markup {
    grouped(&count.to_string())
}

/// Shows a difference of counts with its sign.
pub(super) fn count_difference(difference: i128) -> Markup {
    grouped(&format!("{}{difference}", if difference > 0 { "+" } else { "" }))
}

/// Returns the share of a cost in a positive total, in whole percent; `None` where it says nothing.
pub(super) fn share(cost: Decimal, total: Decimal) -> Option<String> {
    if total <= Decimal::ZERO || cost < Decimal::ZERO {
        return None;
    }
    let percent = cost.checked_div(total)?.checked_mul(Decimal::ONE_HUNDRED)?;
    let whole = percent.round_dp_with_strategy(0, RoundingStrategy::MidpointNearestEven);
    Some(if whole.is_zero() && !cost.is_zero() { "< 1 %".to_owned() } else { format!("{whole} %") })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The text of a cell, as a browser copies it.
    fn copied(markup: Markup) -> String {
        markup.into_string().replace("<i>", "").replace("</i>", "")
    }

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn digits_are_those_of_the_file_in_groups() {
        for (text, shown) in [
            ("9223372036854775807", "9<i>223</i><i>372</i><i>036</i><i>854</i><i>775</i><i>807</i>"),
            ("9999999999.9999", "9<i>999</i><i>999</i><i>999</i>.9999"),
            ("-538.9327", "-538.9327"),
            ("-1538.9327", "-1<i>538</i>.9327"),
            ("100000", "100<i>000</i>"),
            ("0", "0"),
            ("", ""),
        ] {
            assert_eq!(grouped(text).into_string(), shown);
        }
        assert_eq!(cost(decimal("9999999999.9999")).into_string(), "9<i>999</i><i>999</i><i>999</i>.9999");
        assert_eq!(copied(difference(decimal("15.5598"))), "+15.5598");
        assert_eq!(copied(difference(decimal("0"))), "0.0000");
        assert_eq!(copied(count_difference(-1234)), "-1234");
        assert_eq!(copied(count(i64::MAX)), "9223372036854775807");
    }

    #[test]
    fn a_share_is_a_percentage_that_says_something() {
        for (cost, total, shown) in [
            ("240.2002", "523.3729", Some("46 %")),
            ("0.0001", "523.3729", Some("< 1 %")),
            ("0", "523.3729", Some("0 %")),
            ("1", "0", None),
            ("-1", "5", None),
            ("1", "-5", None),
            ("9999999999.9999", "9999999999.9999", Some("100 %")),
        ] {
            assert_eq!(share(decimal(cost), decimal(total)).as_deref(), shown, "{cost} of {total}");
        }
    }

    proptest! {
        #[test]
        fn a_copied_cell_is_the_plain_number(number: i128, mantissa: i64) {
            prop_assert_eq!(copied(count(number)), number.to_string());
            let amount = Decimal::new(mantissa, 4);
            prop_assert_eq!(copied(cost(amount)), cost_text(amount));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,20}") {
            let _ = grouped(&text);
        }
    }
}
