//! Which targets a page is judged by, and what is wrong with those that cannot be used.

use maud::{Markup, html};

use super::{Judge, Unusable};
use crate::ci::page::Report;

impl Report {
    /// Renders the evidence with the targets that it is judged by, or the mistakes of those.
    pub(in crate::ci) fn judgement(&self) -> Markup {
        match &self.judge {
            Ok(judge) => html! {
                (self.evidence())
                p.soft { (judged_by(judge)) }
            },
            Err(Unusable { version, mistakes, .. }) => html! {
                p {
                    span.fail { "✗ Version " (version) " of the targets cannot be used." }
                    " Nothing was judged, not by other targets either. PUT …/ci/targets stores others. The mistakes:"
                }
                ul {
                    @for mistake in mistakes {
                        li { @if !mistake.pointer.is_empty() { code { (mistake.pointer) } " " } (mistake.detail) }
                    }
                }
            },
        }
    }
}

/// Says which targets judge.
pub(in crate::ci) fn judged_by(judge: &Judge) -> String {
    match judge {
        Judge::BuiltIn => {
            "Judged by the targets of the service itself: none were stored by the month's end.".to_owned()
        }
        Judge::Stored { version, at, by } => {
            format!("Judged by version {version} of the targets, set at {at} by {by}.")
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::request::FieldError;

    use super::*;

    #[test]
    fn the_judge_is_named() {
        assert!(judged_by(&Judge::BuiltIn).contains("the service itself"));
        let at = "2026-11-01T00:00:00Z".parse().unwrap();
        let by = "123e4567-e89b-12d3-a456-426614174000".parse().unwrap();
        let text = judged_by(&Judge::Stored { version: 3, at, by });
        assert!(text.contains("version 3") && text.contains("2026-11-01T00:00:00Z") && text.contains("123e4567"));
    }

    #[test]
    fn every_mistake_is_on_the_page_and_adds_no_markup() {
        let mistakes = ["/targets/0/<b>", ""]
            .map(|pointer| FieldError { pointer: pointer.to_owned(), detail: "must not be <script>".to_owned() });
        let judge = Err(Unusable { version: 4, mistakes: mistakes.into(), text: None });
        let report = Report { judge, ..Report::empty() };
        let page = report.page();
        assert!(page.contains("✗ Version 4 of the targets cannot be used."), "{page}");
        assert!(page.contains("they cannot be used.</span> There is no verdict."), "{page}");
        assert!(page.contains("<code>/targets/0/&lt;b&gt;</code> must not be &lt;script&gt;"), "{page}");
        assert!(!page.contains("<script") && !page.contains("✓ Targets"), "{page}");
    }
}
