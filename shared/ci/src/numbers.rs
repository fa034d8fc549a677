//! The length of numbers with exponents.

/// Returns the maximum number of digits that writing out the numbers of a well-formed text adds to it.
pub(super) fn digits_of_exponents(text: &str) -> usize {
    let mut digits = 0_usize;
    let mut quoted = false;
    let mut rest = text.as_bytes().iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => quoted = !quoted,
            // An escaped quotation mark does not end the string.
            b'\\' => drop(rest.next()),
            b'e' | b'E' if !quoted => {
                let after = rest.as_slice();
                let after = after.strip_prefix(b"-").or(after.strip_prefix(b"+")).unwrap_or(after);
                let exponent = after.iter().take_while(|byte| byte.is_ascii_digit());
                let exponent = exponent
                    .fold(0_usize, |number, byte| number.saturating_mul(10).saturating_add(usize::from(byte - b'0')));
                digits = digits.saturating_add(exponent);
            }
            _ => {}
        }
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponents_are_counted_where_they_are_ones() {
        for (text, digits) in [
            ("[1, -2.5, true, false, null]", 0),
            ("[1e3, 2E+04, -1.5e-10]", 17),
            (r#"{"1e300": "1e300", "a\"1e300": "\\", "b": 1e1}"#, 1),
            ("1e99999999999999999999999999", usize::MAX),
        ] {
            assert_eq!(digits_of_exponents(text), digits, "{text}");
        }
    }
}
