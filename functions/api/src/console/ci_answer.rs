//! The answer to a change of durations: the form at the change, and what was typed into it.

use ci::change::Note;
use maud::{Markup, html};
use uuid::Uuid;

use super::{ci::PATH, ci_form::Choice, shell::Shell};
use crate::ci::told::Told;

/// The answer that somebody gives; by default none.
#[derive(Debug, Default)]
pub(super) struct Answering {
    change: Option<Uuid>,
    note: String,
    takes_back: bool,
}

impl Answering {
    /// Reads the form of a change.
    pub(super) fn read(change: Uuid, note: &str, takes_back: bool) -> Self {
        // Nobody sees a space at an end.
        Self { change: Some(change), note: note.trim().to_owned(), takes_back }
    }

    /// Returns the note, or `None` in place of it if the answer is taken back; `None` if the note is none.
    pub(super) fn answer(&self) -> Option<Option<Note>> {
        if self.takes_back { Some(None) } else { self.note.parse().ok().map(Some) }
    }

    /// Reports whether something was typed that is no note.
    pub(super) fn is_wrong(&self) -> bool {
        self.change.is_some() && self.answer().is_none()
    }

    fn is_wrong_at(&self, change: Uuid) -> bool {
        self.change == Some(change) && self.is_wrong()
    }

    /// Names the mistake, with a link to its field. The focus moves there.
    pub(super) fn mistake(&self, shell: &Shell) -> Markup {
        let texts = shell.texts();
        html! {
            @if self.is_wrong() && let Some(change) = self.change {
                div.mistakes role="alert" tabindex="-1" autofocus {
                    p { strong { (texts.correct) } }
                    ul { li { a href={ "#note-" (change) } { (texts.ci_note_wrong) } } }
                }
            }
        }
    }

    /// Shows the form of a change that was told and holds.
    pub(super) fn form(&self, shell: &Shell, choice: &Choice, told: &Told) -> Markup {
        let texts = shell.texts();
        let Some(id) = told.id.filter(|_| told.holds()) else { return html! {} };
        let is_wrong = self.is_wrong_at(id);
        let note =
            if is_wrong { self.note.as_str() } else { told.acknowledged.as_ref().map_or("", |answer| &answer.note) };
        let action = shell.href(format_args!("{PATH}/changes/{id}/acknowledgement"));
        let hidden = html! {
            (shell.token())
            input type="hidden" name="back" value=(choice.query()) autocomplete="off";
        };
        html! {
            details.answer open[is_wrong] lang=(shell.language.code()) {
                summary { @if told.acknowledged.is_some() { (texts.ci_answer_again) } @else { (texts.ci_acknowledge) } }
                form method="post" action=(action) novalidate {
                    (hidden)
                    label for={ "note-" (id) } { (texts.ci_note) }
                    input id={ "note-" (id) } name="note" maxlength="500" autocomplete="off" required value=(note)
                        aria-invalid=[is_wrong.then_some("true")] aria-describedby={ "note-hint-" (id) };
                    span.hint id={ "note-hint-" (id) } {
                        (texts.ci_note_hint)
                        @if is_wrong { " " span.bad { "✕ " (texts.ci_note_wrong) } }
                    }
                    div.actions { button { (texts.ci_acknowledge) } }
                }
                @if told.acknowledged.is_some() {
                    form method="post" action=(action) {
                        (hidden)
                        input type="hidden" name="take_back" value="1" autocomplete="off";
                        button.quiet { (texts.ci_take_back) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use changepoints::State;

    use super::{super::sample, *};
    use crate::ci::told::tests::{named, told};

    fn shown(answering: &Answering, told: &Told) -> String {
        let shell = sample::shell();
        html! { (answering.mistake(&shell)) (answering.form(&shell, &Choice::default(), told)) }.into_string()
    }

    #[test]
    fn an_answer_is_a_note_or_takes_one_back() {
        let answer = |note, takes_back| Answering::read(Uuid::nil(), note, takes_back).answer();
        assert_eq!(answer(" expected ", false).unwrap().unwrap().as_str(), "expected");
        assert_eq!(answer("", true), Some(None));
        for text in ["", "  ", "a\nb", &"a".repeat(501)] {
            assert_eq!(answer(text, false), None, "{text:?}");
        }
        assert!(!Answering::default().is_wrong());
    }

    #[test]
    fn a_mistake_is_at_its_change_and_keeps_the_note() {
        let id = Uuid::from_u128(7);
        let change = named(id, State::Confirmed, None);
        let wrong = shown(&Answering::read(id, "<b>\n", false), &change);
        assert!(!wrong.contains("aria-invalid"), "a line break at the end is none: {wrong}");
        let wrong = shown(&Answering::read(id, "a\n<b>", false), &change);
        assert!(wrong.contains(&format!("href=\"#note-{id}\"")) && wrong.contains("value=\"a\n&lt;b&gt;\""), "{wrong}");
        assert!(wrong.contains("<details class=\"answer\" open") && wrong.contains("aria-invalid=\"true\""), "{wrong}");
        let other = shown(&Answering::read(Uuid::nil(), "", false), &change);
        assert!(!other.contains("aria-invalid"), "{other}");
        let nobody_was_told = shown(&Answering::default(), &told(State::Confirmed, None));
        assert_eq!(nobody_was_told, "");
    }

    #[test]
    fn what_was_answered_can_be_taken_back() {
        let change = named(Uuid::nil(), State::Provisional, Some("expected"));
        let page = shown(&Answering::default(), &change);
        assert!(page.contains("name=\"take_back\"") && page.contains("value=\"expected\""), "{page}");
    }
}
