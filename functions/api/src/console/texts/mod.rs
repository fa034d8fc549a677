//! The texts of the pages: a file for each language, of the same fields, so that a missing one does not compile.
//!
//! A page is in the language that `lang` in its address names, else in the first of `Accept-Language` that there is. No
//! cookie keeps the choice: an address that was sent to a colleague shows what the sender saw.

mod english;
mod german;

use std::{fmt, str::FromStr};

use axum::http::{HeaderMap, Uri, header};
use maud::{Markup, PreEscaped, Render};

/// A language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    English,
    German,
}

/// Text that is not the code of a language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnknownLanguage;

impl fmt::Display for UnknownLanguage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be en or de")
    }
}

impl FromStr for Language {
    type Err = UnknownLanguage;

    fn from_str(text: &str) -> Result<Self, UnknownLanguage> {
        Self::ALL.into_iter().find(|language| language.code() == text).ok_or(UnknownLanguage)
    }
}

impl Language {
    /// Every language.
    pub(super) const ALL: [Self; 2] = [Self::English, Self::German];

    /// Returns the code, as addresses and the attribute `lang` have it.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
        }
    }

    /// Returns the texts.
    pub(super) const fn texts(self) -> &'static Texts {
        match self {
            Self::English => &english::TEXTS,
            Self::German => &german::TEXTS,
        }
    }

    /// Returns the language that an address names.
    pub(super) fn named(uri: &Uri) -> Option<Self> {
        let query = uri.query().unwrap_or_default();
        let named = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "lang");
        named.and_then(|(_, code)| code.parse().ok())
    }

    /// Returns the language that a browser prefers: the one of the highest weight that there is, else English.
    pub(super) fn preferred(headers: &HeaderMap) -> Self {
        let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let weighted = accepted.split(',').filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let code = parts.next()?.split('-').next()?.to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1000), thousandths)?;
            Some((code.parse::<Self>().ok()?, weight))
        });
        let best =
            weighted.filter(|(_, weight)| *weight > 0).reduce(|best, next| if next.1 > best.1 { next } else { best });
        best.map_or(Self::English, |(language, _)| language)
    }
}

/// Returns a weight such as `0.8` in thousandths.
fn thousandths(weight: &str) -> Option<u32> {
    let (whole, decimals) = weight.split_once('.').unwrap_or((weight, ""));
    format!("{whole}{decimals:0<3}").parse().ok().filter(|weight| *weight <= 1000)
}

/// Fills the places of a text, `{name}`, with markup.
pub(super) fn say(text: &str, values: &[(&str, &dyn Render)]) -> Markup {
    let mut markup = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        before.render_to(&mut markup);
        let (name, next) = after.split_once('}').unwrap_or((after, ""));
        if let Some((_, value)) = values.iter().find(|(given, _)| *given == name) {
            value.render_to(&mut markup);
        }
        rest = next;
    }
    rest.render_to(&mut markup);
    PreEscaped(markup)
}

macro_rules! texts {
    ($($field:ident),* $(,)?) => {
        /// The texts of a language. Places in braces are filled by [`say`].
        #[derive(Debug)]
        pub(super) struct Texts {
            /// The names of the months, and their short forms for times.
            pub(super) months: [&'static str; 12],
            pub(super) months_short: [&'static str; 12],
            $(pub(super) $field: &'static str,)*
        }

        #[cfg(test)]
        impl Texts {
            fn all(&self) -> Vec<(&'static str, &'static str)> {
                vec![$((stringify!($field), self.$field)),*]
            }
        }
    };
}

texts! {
    // The frame of every page.
    name, skip, sign_out, sign_in, organization, other_language, navigation, overview, files, activity, platform,
    main_table, made, session_ends, date, month_of, day_of, time_of, utc_note,
    // The list of organizations.
    organizations, choose_organization, no_organization, any_organization, open,
    // Figures.
    cost_usd, requests, tokens, errors, share, model, no_model, total, day, month, state, action, more_models,
    so_far, days_of, today_partial, partial, chart_title, chart_about, chart_one_day, figures_by_day, figures_by_model,
    figures_hidden,
    // Degrees of completeness, and the sentences beside them.
    is_open, is_provisional, is_final, is_changed, is_unknown, is_empty, is_not_kept, is_future,
    about_open, about_provisional, about_final, about_unknown, booked_as, see_changes,
    empty_month, empty_all, not_kept, not_begun, lag, lag_one, refused, refused_one,
    // Reasons for provisional figures.
    reason_not_over, reason_not_refreshed, reason_after_watermark, reason_waiting, reason_failed, reason_differ,
    reason_before_cut_over, reason_dropped, reason_elsewhere, reason_late_awaited, buckets, one_bucket,
    // Files.
    make_file, make_file_of, make_new, make_again, granularity, hourly, daily, monthly, download, download_of, pack,
    pack_note, file, file_of, rows, bytes, made_by, you, schedule, someone, created, completed, expires, expired_on,
    no_files, no_files_here, older, newest, all_files, more_files, any, status, origin, by_schedule, by_user,
    period, show, range, filtered_models, one_of_rows,
    pending, running, succeeded, failed, expired,
    about_pending, about_pending_long, about_running, about_running_start, about_succeeded, about_failed,
    about_failed_id, about_expired, about_expired_kept, about_expired_lost, file_outdated, file_unchecked, look_again, progress, live_done,
    live_failed, live_running, cap_title, cap, cap_jobs,
    failure_usage_unavailable, failure_usage_unreadable, failure_usage_invalid, failure_storage_unavailable,
    failure_storage_refused, failure_took_too_long, failure_worker_lost,
    // The books.
    ledger, compare_about, books_total, books_total_hint, tolerance, tolerance_hint, reference, reference_hint, compare,
    which_file, result_more, result_less, result_equal, within, outside, compared_at, comparisons,
    comparisons_of, no_comparisons, make_first, difference, in_books, verdict, here,
    booking, book, book_about, booked_at, booked_before, booked_file, nothing_booked, now, changed_by, not_changed,
    version, read_only, changes, changes_about, adjustment, note, note_hint,
    // Mistakes in a form.
    error_prefix, correct, amount_empty, amount_currency, amount_form, amount_either,
    tolerance_wrong, reference_wrong, job_wrong,
    // Evidence.
    evidence, checksum, check_file, check_choose, check_equal, check_different, check_running, check_by_hand,
    reconcile, reconcile_about, reconciled, mismatch, in_file, in_rollups, in_events, percent, checked_at, column,
    no_events, rounding_file, all_records, downloads_none, downloads_one, downloads, software,
    // Activity.
    activity_about, at, who, what, from_address, from, to, no_records, next,
    action_create, action_download, action_pack, action_expire, action_verify, action_compare, action_book,
    action_restate, action_restore, action_hold, action_release_hold, action_deliver, action_change_settings,
    action_rotate_secret, action_change_targets, action_erase, held, action_cross, job,
    // The platform.
    platform_about, due_jobs, no_due_jobs, more_due, failed_jobs, failed_about, no_failed_jobs, more_failed, ci_report,
    // The report of CI.
    ci_choose, ci_service, ci_command, ci_environment, ci_month, ci_min_percent, ci_min_seconds, ci_from_hint, ci_to_hint,
    ci_month_hint, ci_min_percent_hint, ci_min_seconds_hint, ci_clear, ci_last_days, ci_more_names, ci_no_runs, ci_save,
    ci_acknowledge, ci_answer_again, ci_note, ci_note_hint, ci_note_wrong, ci_take_back,
    // Errors.
    error, reload, request_id, error_unavailable, error_slow, error_internal, error_forbidden,
    error_not_found, error_limit, error_invalid, error_other, error_no_page,
    not_signed_in, no_figures, to_start, signed_out, signed_out_about,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::http::HeaderValue;

    use super::*;

    fn places(text: &str) -> BTreeSet<&str> {
        text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect()
    }

    #[test]
    fn languages_say_the_same() {
        let english = english::TEXTS.all();
        for ((name, one), (_, other)) in english.iter().zip(german::TEXTS.all()) {
            assert!(!one.is_empty() && !other.is_empty(), "{name}");
            assert_eq!(places(one), places(other), "{name}");
        }
        let same = english.iter().zip(german::TEXTS.all()).filter(|((_, one), (_, other))| one == other).count();
        assert!(same * 8 < english.len(), "{same} texts are the same in both languages");
    }

    #[test]
    fn places_are_filled_and_all_is_escaped() {
        let filled = say("<a> & {one}, {two}{three}.", &[("one", &"<b>"), ("two", &PreEscaped("<i>"))]);
        assert_eq!(filled.into_string(), "&lt;a&gt; &amp; &lt;b&gt;, <i>.");
    }

    #[test]
    fn the_preferred_language_that_there_is_is_chosen() {
        for (accepted, language) in [
            ("de", Language::German),
            ("de-AT,en;q=0.8", Language::German),
            ("fr, en;q=0.4, de;q=0.5", Language::German),
            ("en-GB,de", Language::English),
            ("de;q=0", Language::English),
            ("de;q=0.5,en;q=0.50", Language::German),
            ("fr", Language::English),
            ("", Language::English),
            (";;q=,,de;q=x", Language::English),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_LANGUAGE, HeaderValue::from_static(accepted))]);
            assert_eq!(Language::preferred(&headers), language, "{accepted}");
        }
        assert_eq!(Language::named(&Uri::from_static("/finance?a=b&lang=de")), Some(Language::German));
        assert_eq!(Language::named(&Uri::from_static("/finance?lang=fr")), None);
    }
}
