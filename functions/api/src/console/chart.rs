//! The bars of a month's costs by day: server-drawn SVG, whose numbers are in the table beside it.
//!
//! Heights are decimals, as the costs are: nothing here is a float.

use jiff::civil::Date;
use maud::{Markup, html};
use rust_decimal::Decimal;

use super::{
    number::cost,
    texts::{Texts, say},
    time,
};

/// The size in units of the picture. It is narrow, so that its text is readable on a phone.
const WIDTH: u32 = 480;
const HEIGHT: u32 = 120;
/// The room for the labels of days.
const LABELS: u32 = 16;

/// A day's cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bar {
    pub(super) day: Date,
    pub(super) cost: Decimal,
    /// `true` if the day is not over.
    pub(super) is_partial: bool,
}

/// Draws the days of a month of so many days, below a summary in words. Nothing for costs of zero alone.
pub(super) fn draw(texts: &Texts, month: &str, days: u8, bars: &[Bar]) -> Markup {
    let by_cost = |bar: &&Bar| bar.cost;
    let (Some(high), Some(low)) = (bars.iter().max_by_key(by_cost), bars.iter().min_by_key(by_cost)) else {
        return html! {};
    };
    if high.cost.is_zero() && low.cost.is_zero() {
        return html! {};
    }
    let about = if bars.len() == 1 {
        say(texts.chart_one_day, &[("high", &cost(high.cost)), ("high_day", &time::day(texts, high.day))])
    } else {
        say(
            texts.chart_about,
            &[
                ("count", &bars.len()),
                ("high", &cost(high.cost)),
                ("high_day", &time::day(texts, high.day)),
                ("low", &cost(low.cost)),
                ("low_day", &time::day(texts, low.day)),
            ],
        )
    };
    let scale = Scale::of(low.cost, high.cost);
    let step = Decimal::from(WIDTH) / Decimal::from(days.max(1));
    let x = |day: Date| step * Decimal::from(day.day() - 1);
    html! {
        p.soft { (about) }
        svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT + LABELS) } role="img" aria-labelledby="chart-title" {
            title id="chart-title" { (say(texts.chart_title, &[("month", &month)])) }
            @for bar in bars {
                @let (y, height) = scale.place(bar.cost);
                rect.bar.partial[bar.is_partial] x=(units(x(bar.day))) y=(units(y))
                    width=(units(step * Decimal::new(8, 1))) height=(units(height)) {}
            }
            line.axis x1="0" x2=(WIDTH) y1=(units(scale.zero)) y2=(units(scale.zero)) {}
            @for day in [1, 8, 15, 22, 29].into_iter().filter(|day| *day <= days) {
                text x=(units(step * Decimal::from(day - 1))) y=(HEIGHT + LABELS - 3) { (day) }
            }
        }
    }
}

/// The vertical scale, with the place of zero.
struct Scale {
    span: Decimal,
    zero: Decimal,
}

impl Scale {
    fn of(low: Decimal, high: Decimal) -> Self {
        let (bottom, top) = (low.min(Decimal::ZERO), high.max(Decimal::ZERO));
        // A span beyond the digits that are kept is no cost that a rollup can have.
        let span = top.checked_sub(bottom).unwrap_or(Decimal::MAX);
        let height = Decimal::from(HEIGHT);
        Self { span, zero: share(top, span) * height }
    }

    /// Returns the upper end and the height of a bar. A cost that is not zero is seen.
    fn place(&self, cost: Decimal) -> (Decimal, Decimal) {
        let height = share(cost.abs(), self.span) * Decimal::from(HEIGHT);
        let height = if cost.is_zero() { height } else { height.max(Decimal::ONE) };
        (if cost.is_sign_negative() { self.zero } else { (self.zero - height).max(Decimal::ZERO) }, height)
    }
}

fn share(part: Decimal, whole: Decimal) -> Decimal {
    part.checked_div(whole).unwrap_or_default()
}

fn units(length: Decimal) -> String {
    length.round_dp(1).normalize().to_string()
}

#[cfg(test)]
mod tests {
    use super::{super::texts::Language, *};

    fn bar(day: i8, cost: &str) -> Bar {
        Bar { day: Date::constant(2026, 10, day), cost: cost.parse().unwrap(), is_partial: day == 31 }
    }

    fn drawn(bars: &[Bar]) -> String {
        draw(Language::English.texts(), "October 2026", 31, bars).into_string()
    }

    #[test]
    fn zeros_have_no_chart() {
        assert_eq!(drawn(&[]), "");
        assert_eq!(drawn(&[bar(1, "0"), bar(2, "0.0000")]), "");
    }

    #[test]
    fn the_highest_day_has_the_whole_height() {
        let chart = drawn(&[bar(1, "10.0000"), bar(2, "20.0000"), bar(31, "0.0001")]);
        assert!(chart.contains("y=\"0\" width=\"12.4\" height=\"120\""), "{chart}");
        assert!(chart.contains("y=\"60\" width=\"12.4\" height=\"60\""), "{chart}");
        assert!(chart.contains("class=\"bar partial\" x=\"464.5\" y=\"119\""), "{chart}");
        assert!(chart.contains("3 days with usage. The highest is 20.0000 on 2 Oct, the lowest 0.0001 on 31 Oct."));
    }

    #[test]
    fn credits_are_below_the_axis() {
        let chart = drawn(&[bar(1, "9999999999.9999"), bar(2, "-9999999999.9999")]);
        assert!(chart.contains("y=\"0\" width=\"12.4\" height=\"60\""), "{chart}");
        assert!(chart.contains("y=\"60\" width=\"12.4\" height=\"60\""), "{chart}");
        assert!(chart.contains("y1=\"60\""), "{chart}");
    }
}
