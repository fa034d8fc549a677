//! The forms that several pages have, and what a person typed into them.

use domain::{Granularity, JobId, Month};
use maud::{Markup, html};
use uuid::Uuid;

use super::{
    shell::Shell,
    texts::{Texts, say},
    time,
};

/// A button that makes the file of exactly this month. The key in it makes a second press the same request.
pub(super) fn make_file(shell: &Shell, month: Month, label: &str, is_quiet: bool) -> Markup {
    let texts = shell.texts();
    let name = time::month(texts, month);
    html! {
        form.actions method="post" action=(shell.here(format_args!("/{month}/exports"))) {
            (shell.token())
            input type="hidden" name="key" value=(Uuid::new_v4()) autocomplete="off";
            button.quiet[is_quiet] aria-label=(say(label, &[("month", &name)]).into_string()) {
                (texts.make_file)
            }
        }
    }
}

/// The same with a choice of the lines' length.
pub(super) fn make_file_of_choice(shell: &Shell, month: Month) -> Markup {
    let texts = shell.texts();
    let name = time::month(texts, month);
    html! {
        form method="post" action=(shell.here(format_args!("/{month}/exports"))) {
            (shell.token())
            input type="hidden" name="key" value=(Uuid::new_v4()) autocomplete="off";
            div.fields {
                div {
                    label for="granularity" { (texts.granularity) }
                    select #granularity name="granularity" {
                        option value="daily" { (texts.daily) }
                        option value="hourly" { (texts.hourly) }
                        option value="monthly" { (texts.monthly) }
                    }
                }
                div {
                    label for="note" { (texts.note) }
                    input #note name="note" maxlength="500" autocomplete="off" aria-describedby="note-hint";
                    span.hint #note-hint { (texts.note_hint) }
                }
                button { (say(texts.make_new, &[("month", &name)])) }
            }
        }
    }
}

/// A button that makes the file of a month once more, with lines of the same length.
pub(super) fn make_file_again(shell: &Shell, month: Month, granularity: Granularity) -> Markup {
    html! {
        form method="post" action=(shell.here(format_args!("/{month}/exports"))) {
            (shell.token())
            input type="hidden" name="key" value=(Uuid::new_v4()) autocomplete="off";
            input type="hidden" name="granularity" value=(granularity) autocomplete="off";
            button { (shell.texts().make_again) }
        }
    }
}

/// Returns the name of the lines' length.
pub(super) const fn granularity(texts: &Texts, granularity: Granularity) -> &'static str {
    match granularity {
        Granularity::Hourly => texts.hourly,
        Granularity::Daily => texts.daily,
        Granularity::Monthly => texts.monthly,
    }
}

/// A link to a file, by the page that records who took it.
pub(super) fn download(shell: &Shell, job: JobId, label: &str, about: &str) -> Markup {
    html! {
        a.button.quiet href=(shell.here(format_args!("/exports/{job}/download"))) aria-label=(about) { (label) }
    }
}
