//! The table of a month's models.

use domain::{ModelId, Totals};
use maud::{Markup, html};

use super::{
    number,
    overview::{cells, measures},
    shell::Shell,
    texts::say,
};

/// The number of models that are listed. The others are one line with their sums, so that the lines add up to the total.
const MAX_MODELS: usize = 200;

/// Shows models, those with the highest cost first, and the sums of all.
pub(super) fn table(shell: &Shell, models: &[(Option<ModelId>, Totals)], total: Totals) -> Markup {
    let texts = shell.texts();
    let (listed, rest) = models.split_at(models.len().min(MAX_MODELS));
    // The sums of all were kept exactly, so those of some can be.
    let rest_sums = rest.iter().try_fold(Totals::default(), |sum, (_, of)| sum.try_add(*of)).ok();
    html! {
        div.scroll role="region" tabindex="0" aria-label=(texts.figures_by_model) {
            table {
                caption.same { (texts.figures_by_model) }
                thead { tr { th scope="col" { (texts.model) } (measures(shell)) th.n scope="col" { (texts.share) } } }
                tbody {
                    @for (model, totals) in listed {
                        tr {
                            th scope="row" {
                                @match model { Some(model) => code { (model) }, None => (texts.no_model) }
                            }
                            (cells(totals))
                            (share(totals, total))
                        }
                    }
                    @if let Some(sums) = rest_sums.filter(|_| !rest.is_empty()) {
                        tr {
                            th scope="row" { (say(texts.more_models, &[("count", &rest.len())])) }
                            (cells(&sums))
                            (share(&sums, total))
                        }
                    }
                }
                tfoot { tr { th scope="row" { (texts.total) } (cells(&total)) td.n {} } }
            }
        }
    }
}

fn share(of: &Totals, total: Totals) -> Markup {
    html! { td.n { (number::share(of.cost_total, total.cost_total).unwrap_or_else(|| "–".to_owned())) } }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{super::sample::shell, *};

    fn models(count: u128) -> (Vec<(Option<ModelId>, Totals)>, Totals) {
        let cost = |n: u128| Totals::new([1, 2, 0], rust_decimal::Decimal::new(i64::try_from(n).unwrap(), 4));
        let models: Vec<_> = (1..=count).rev().map(|n| (Some(Uuid::from_u128(n).into()), cost(n))).collect();
        let total = models.iter().try_fold(Totals::default(), |sum, (_, of)| sum.try_add(*of)).unwrap();
        (models, total)
    }

    #[test]
    fn nothing_is_cut_without_a_word() {
        let (few, total) = models(200);
        let page = table(&shell(), &few, total).into_string();
        assert!(!page.contains("more"), "{page}");
        let (many, total) = models(237);
        let page = table(&shell(), &many, total).into_string();
        // The 37 cheapest cost 1 to 37 ten-thousandths, 703 in all.
        assert!(page.contains("and 37 more</th><td class=\"n\">37</td><td class=\"n\">74</td>"), "{page}");
        assert!(page.contains("<td class=\"n\">0.0703</td>"), "{page}");
        assert_eq!(page.matches("<code>").count(), 200);
    }
}
