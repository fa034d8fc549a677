//! The header `Accept`, by which a client chooses between JSON and another type of an answer.
//!
//! Own code: `axum` has no typed header for it, and the choice between two types is short.

use std::cmp::Reverse;

use axum::http::{HeaderMap, header};

const JSON: &str = "application/json";

/// The weight of a type for a client: by the quality of the closest range of its header, then whether a range names the type
/// itself, then by the order of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Wish {
    /// Thousandths.
    quality: u16,
    /// The place of the range that names the type.
    named: Option<Reverse<usize>>,
}

/// Reports whether the client prefers `other` to JSON. JSON is the answer to a client that states no preference, and to
/// one that accepts neither.
pub(crate) fn prefers(headers: &HeaderMap, other: &str) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges: Vec<(String, u16)> = accepted.flat_map(|value| value.split(',')).filter_map(range).collect();
    let other = wish(&ranges, other);
    other.quality > 0 && other > wish(&ranges, JSON)
}

fn wish(ranges: &[(String, u16)], name: &str) -> Wish {
    let kind = name.split('/').next().unwrap_or_default();
    let place = |range: &str| ranges.iter().position(|(name, _)| name == range);
    let named = place(name);
    let closest = named.or_else(|| place(&format!("{kind}/*"))).or_else(|| place("*/*"));
    Wish { quality: closest.map_or(0, |place| ranges[place].1), named: named.map(Reverse) }
}

/// Reads a range of types with its quality, in thousandths; `None` of one that is not well-formed.
fn range(text: &str) -> Option<(String, u16)> {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().filter(|name| name.contains('/'))?.to_ascii_lowercase();
    let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    Some((name, quality.map_or(Some(1000), thousandths)?))
}

/// Reads a quality: 0 to 1 with at most three decimals.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if !matches!(whole, "0" | "1") || decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let quality = format!("{whole}{decimals:0<3}").parse().ok()?;
    (quality <= 1000).then_some(quality)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn prefers_markdown(values: &[&'static str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::ACCEPT, HeaderValue::from_static(value));
        }
        prefers(&headers, "text/markdown")
    }

    #[test]
    fn the_greater_quality_counts_and_then_the_name_and_then_the_order() {
        for markdown in [
            "text/markdown",
            "Text/Markdown; charset=utf-8",
            "text/markdown, */*",
            "*/*, text/markdown",
            "text/*",
            "text/markdown, application/json",
            "application/json;q=0.5, text/markdown;q=0.6",
            "text/markdown;q=0.1",
            "application/json;q=0, */*",
        ] {
            assert!(prefers_markdown(&[markdown]), "{markdown}");
        }
        for json in [
            "",
            "*/*",
            "application/json",
            "application/json, text/markdown",
            "text/markdown;q=0.5, application/json;q=0.6",
            "text/markdown;q=0.5, */*",
            "text/markdown;q=0",
            "text/html",
            "text/markdown;q=1.5",
            "text/markdown;q=0.1234, application/json",
            "markdown",
        ] {
            assert!(!prefers_markdown(&[json]), "{json}");
        }
        assert!(!prefers_markdown(&[]));
        assert!(prefers_markdown(&["application/json;q=0.1", "text/markdown"]), "two lines are one list");
    }
}
