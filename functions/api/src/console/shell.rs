//! The frame of every page: who is signed in, where one is, the language, and how to leave.

use std::fmt::Display;

use auth::Permission;
use axum::{extract::Request, middleware::Next, response::Response};
use domain::{OrgId, Subject};
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};

use super::{
    assets,
    session::{CALLBACK, FORM_TOKEN},
    texts::{Language, Texts, say},
    time,
};
use crate::visible::visible;

/// A place in the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Organizations,
    Months,
    Files,
    Activity,
    Platform,
    /// A page that the navigation does not name.
    Elsewhere,
}

/// What every page of a request has in common.
#[derive(Debug, Clone)]
pub(crate) struct Shell {
    pub(super) language: Language,
    /// `true` if the address names the language, and so must each link of the page.
    pub(super) is_named: bool,
    /// The path and the query of this page, without the language.
    pub(super) target: String,
    pub(super) now: Timestamp,
    /// Who is signed in; `None` on pages without.
    pub(super) session: Option<Session>,
}

/// Who is signed in.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) subject: Subject,
    /// The token of this session that each form carries.
    pub(super) form_token: String,
    pub(super) ends_at: Timestamp,
    /// The organization of the page.
    pub(super) org: Option<OrgId>,
    /// `true` if there are several organizations to choose from.
    pub(super) can_choose: bool,
    pub(super) reads_audit: bool,
    pub(super) is_of_platform: bool,
}

/// Keeps the frame of a request in its answer, for a notice that does not know the request.
pub(super) async fn frame(request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let shell = Shell::of(&parts);
    parts.extensions.insert(shell.clone());
    let mut response = next.run(Request::from_parts(parts, body)).await;
    response.extensions_mut().insert(shell);
    response
}

impl Shell {
    /// Returns the frame of a request of which nothing is known.
    pub(super) fn bare() -> Self {
        let (language, target) = (Language::English, "/finance".to_owned());
        Self { language, is_named: false, target, now: Timestamp::now(), session: None }
    }

    /// Returns the texts of the page.
    pub(super) const fn texts(&self) -> &'static Texts {
        self.language.texts()
    }

    /// Returns the address of a path, with or without a query, in the language of this page.
    pub(super) fn href(&self, path: impl Display) -> String {
        if self.is_named { with_language(&path.to_string(), self.language) } else { path.to_string() }
    }

    /// Returns the address of a page of this page's organization, such as `/2026-10`.
    pub(super) fn here(&self, rest: impl Display) -> String {
        let org = self.session.as_ref().and_then(|session| session.org);
        self.href(org.map_or_else(|| "/finance".to_owned(), |org| format!("/finance/{org}{rest}")))
    }

    /// Returns the hidden field that proves that a form is of this session.
    pub(super) fn token(&self) -> Markup {
        html! {
            @if let Some(session) = &self.session {
                input type="hidden" name=(FORM_TOKEN) value=(session.form_token) autocomplete="off";
            }
        }
    }

    /// Names the subject of a job or a record. Names of persons are for those who may read the records.
    pub(super) fn who(&self, subject: &Subject) -> Markup {
        let texts = self.texts();
        html! {
            @match &self.session {
                _ if subject.is_system() => (texts.schedule),
                Some(session) if session.subject == *subject => (texts.you),
                Some(session) if session.reads_audit => (subject.name),
                _ => (say(texts.someone, &[("id", &subject.id().to_string().chars().take(8).collect::<String>())])),
            }
        }
    }

    /// Names a permission in a sentence.
    pub(super) fn needs(&self, text: &str, permission: Permission) -> Markup {
        say(text, &[("permission", &permission.name())])
    }

    /// Renders a page.
    pub(super) fn page(&self, title: &str, place: Place, content: &Markup) -> String {
        let texts = self.texts();
        let page = html! {
            (DOCTYPE)
            html lang=(self.language.code()) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="robots" content="noindex";
                    title { (title) " – " (texts.name) }
                    link rel="stylesheet" href=(assets::STYLE.path);
                    link rel="icon" href=(assets::ICON.path);
                    script type="module" src=(assets::SCRIPT.path) {}
                }
                body {
                    a.skip href="#main" { (texts.skip) }
                    (self.top(place))
                    main #main tabindex="-1" { (content) }
                    (self.foot())
                }
            }
        };
        visible(&page.into_string())
    }

    /// Renders the page after the end of a session, with the path by which one signs in again.
    pub(super) fn signed_out(&self, sign_in: &str) -> String {
        let texts = self.texts();
        let content = html! {
            h1 { (texts.signed_out) }
            p { (texts.signed_out_about) }
            div.actions { a.button href=(sign_in) { (texts.sign_in) } }
        };
        self.page(texts.signed_out, Place::Elsewhere, &content)
    }

    fn top(&self, place: Place) -> Markup {
        let texts = self.texts();
        html! {
            header {
                div.top {
                    div {
                        a.brand href=(self.href("/finance")) { (texts.name) }
                        @if let Some(Session { org: Some(org), .. }) = &self.session {
                            span.soft { (texts.organization) " " code { (org) } }
                        }
                    }
                    @if let Some(session) = &self.session {
                        div {
                            span { (session.subject.name) }
                            form method="post" action=(self.href("/finance/logout")) {
                                (self.token())
                                button.quiet { (texts.sign_out) }
                            }
                        }
                    }
                }
                @if let Some(session) = &self.session {
                    nav aria-label=(texts.navigation) { ul { (self.links(session, place)) } }
                }
            }
        }
    }

    fn links(&self, session: &Session, place: Place) -> Markup {
        let texts = self.texts();
        let link = |name: &str, href: String, of: Place| {
            html! { li { a href=(href) aria-current=[(of == place).then_some("page")] { (name) } } }
        };
        html! {
            @if session.can_choose { (link(texts.organizations, self.href("/finance"), Place::Organizations)) }
            @if session.org.is_some() {
                (link(texts.overview, self.here(""), Place::Months))
                (link(texts.files, self.here("/exports"), Place::Files))
                @if session.reads_audit { (link(texts.activity, self.here("/activity"), Place::Activity)) }
            }
            @if session.is_of_platform { (link(texts.platform, self.href("/finance/platform"), Place::Platform)) }
        }
    }

    fn foot(&self) -> Markup {
        let texts = self.texts();
        html! {
            footer {
                span { (texts.utc_note) }
                span { (say(texts.made, &[("at", &time::at(texts, self.now))])) }
                @if let Some(session) = &self.session {
                    span { (say(texts.session_ends, &[("at", &time::at(texts, session.ends_at))])) }
                }
                @for other in Language::ALL.into_iter().filter(|other| *other != self.language) {
                    a href=(with_language(&self.target, other)) hreflang=(other.code()) lang=(other.code()) {
                        (texts.other_language)
                    }
                }
            }
        }
    }
}

/// Adds the language to an address.
fn with_language(address: &str, language: Language) -> String {
    let (address, fragment) = address.split_once('#').map_or((address, None), |(path, part)| (path, Some(part)));
    let mark = if address.contains('?') { '&' } else { '?' };
    let fragment = fragment.map(|part| format!("#{part}")).unwrap_or_default();
    format!("{address}{mark}lang={}{fragment}", language.code())
}

/// Returns a path and a query without the language. An answer of the provider is not repeated: it can be taken once, and
/// anybody can write words into it.
pub(super) fn without_language(path: &str, query: &str) -> String {
    if path == CALLBACK {
        return "/finance".to_owned();
    }
    let kept = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "lang");
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_the_language_that_it_names() {
        let german = |address| with_language(address, Language::German);
        assert_eq!(german("/finance"), "/finance?lang=de");
        assert_eq!(german("/finance?a=b#c"), "/finance?a=b&lang=de#c");
        assert_eq!(without_language("/finance", "lang=de"), "/finance");
        assert_eq!(without_language("/finance/callback", "code=a&error_description=b"), "/finance");
        assert_eq!(without_language("/finance", "a=b&lang=de&c=%22"), "/finance?a=b&c=%22");
    }
}
