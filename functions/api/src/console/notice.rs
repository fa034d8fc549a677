//! A page that says why something was not done, and what to do now. The frame stays, with the id of the request.

use axum::{
    http::{HeaderValue, header},
    response::Response,
};
use maud::{Markup, html};

use super::{
    shell::{Place, Shell},
    texts::{Texts, say},
};
use crate::problem::Kind;

/// A notice to the person in front of the page.
#[derive(Debug)]
pub(crate) struct Notice<'a> {
    pub(crate) kind: Kind,
    /// The kind in words, and instructions, in English.
    pub(crate) title: &'static str,
    pub(crate) detail: &'a str,
    /// What to quote when asking for help; may be empty.
    pub(crate) request_id: &'a str,
    /// The path by which the person signs in.
    pub(crate) sign_in: Option<&'a str>,
}

/// Makes a response show a notice in the frame of its request. Its status stays.
pub(crate) fn show(notice: &Notice<'_>, response: &mut Response) {
    // A request that no route took, or that took too long, has none.
    let shell = response.extensions_mut().remove::<Shell>().unwrap_or_else(Shell::bare);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    *response.body_mut() = notice.page(&shell).into();
}

impl Notice<'_> {
    /// Renders the page.
    pub(super) fn page(&self, shell: &Shell) -> String {
        let title = self.title(shell.texts());
        shell.page(title, Place::Elsewhere, &self.view(shell))
    }

    const fn title(&self, texts: &Texts) -> &'static str {
        match self.kind {
            Kind::SessionOver | Kind::SignInFailed => texts.not_signed_in,
            Kind::Unavailable | Kind::TookTooLong | Kind::Internal => texts.error,
            Kind::NoSuchPage | Kind::NoSuchRoute | Kind::NoSuchJob | Kind::NoSuchChange => texts.error_no_page,
            _ => texts.error_other,
        }
    }

    /// Returns the sentence of a kind, and whether the instructions say more.
    const fn sentence(&self, texts: &Texts) -> (&'static str, bool) {
        match self.kind {
            Kind::Unavailable => (texts.error_unavailable, false),
            Kind::TookTooLong => (texts.error_slow, false),
            Kind::Internal => (texts.error_internal, true),
            Kind::Forbidden => (texts.error_forbidden, true),
            Kind::NoSuchPage | Kind::NoSuchRoute | Kind::NoSuchJob | Kind::NoSuchChange => {
                (texts.error_not_found, false)
            }
            Kind::DailyLimit => (texts.error_limit, false),
            Kind::InvalidRequest => (texts.error_invalid, true),
            _ => ("", true),
        }
    }

    fn view(&self, shell: &Shell) -> Markup {
        let texts = shell.texts();
        let (sentence, has_detail) = self.sentence(texts);
        let is_ours = matches!(self.kind, Kind::Unavailable | Kind::TookTooLong | Kind::Internal);
        html! {
            h1 { (self.title(texts)) }
            div role="alert" {
                @if !sentence.is_empty() { p { (sentence) } }
                @if has_detail {
                    p lang="en" {
                        // The heading may say the same.
                        @if self.title != self.title(texts) { strong { (self.title) "." } " " }
                        (self.detail)
                    }
                }
                @if is_ours { p { (texts.no_figures) } }
            }
            div.actions {
                @if let Some(path) = self.sign_in { a.button href=(path) { (texts.sign_in) } }
                @if is_ours { a.button href=(shell.href(&shell.target)) { (texts.reload) } }
                a.button.quiet href=(shell.href("/finance")) { (texts.to_start) }
            }
            @if !self.request_id.is_empty() {
                p.soft {
                    @let id = html! { code { (self.request_id) } };
                    (say(texts.request_id, &[("id", &id)]))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_notice_is_markup() {
        let text = "<script>\"'&";
        let notice =
            Notice { kind: Kind::InvalidRequest, title: "", detail: text, request_id: text, sign_in: Some(text) };
        let page = notice.page(&Shell::bare());
        assert!(!page.contains("<script>\""), "{page}");
        assert!(page.contains("href=\"&lt;script&gt;&quot;'&amp;\""), "{page}");
    }

    #[test]
    fn a_failure_of_ours_keeps_the_frame_and_the_request() {
        let notice = Notice { kind: Kind::Unavailable, title: "", detail: "", request_id: "r-1", sign_in: None };
        let page = notice.page(&super::super::sample::shell());
        for part in ["Reload", "<code>r-1</code>", "finance.user@example.com", "Figures are never shown in part"] {
            assert!(page.contains(part), "{part}: {page}");
        }
    }
}
