//! A page with one sentence: what happened, and what to do.

use maud::{DOCTYPE, Markup, html};

/// A notice to the person in front of the page.
#[derive(Debug)]
pub(crate) struct Notice<'a> {
    pub(crate) title: &'a str,
    pub(crate) sentence: &'a str,
    /// What to quote when asking for help; may be empty.
    pub(crate) request_id: &'a str,
    /// The path by which the person signs in.
    pub(crate) sign_in: Option<&'a str>,
}

impl Notice<'_> {
    /// Renders the page.
    pub(crate) fn page(&self) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (self.title) }
                }
                body {
                    main {
                        h1 { (self.title) }
                        p { (self.sentence) }
                        @if let Some(path) = self.sign_in {
                            p { a href=(path) { "Sign in" } }
                        }
                        @if !self.request_id.is_empty() {
                            p { small { "Request " code { (self.request_id) } } }
                        }
                    }
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
        let page = Notice { title: text, sentence: text, request_id: text, sign_in: Some(text) }.page().into_string();
        assert!(!page.contains("<script>"), "{page}");
        assert!(page.contains("href=\"&lt;script&gt;&quot;'&amp;\""), "{page}");
    }
}
