//! The evidence of a file: its checksum, who took it, the pack for an auditor, and its sums beside the present ones.

use domain::{Action, AuditFilter, AuditRecord, ExportFile, Job, JobId, OrgId, Status, Subject};
use jiff::Timestamp;
use maud::{Markup, html};

use super::{month::Rights, number, shell::Shell, texts::say, time};
use crate::{
    context::Context,
    exports::{reconciliation::Reconciliation, recorded},
    problem::Problem,
};

/// The number of a job's records that are looked at.
const MAX_RECORDS: usize = 1_000;

/// The number of downloads of a file, and the last of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trail {
    downloads: usize,
    /// The last one who took it.
    last: Option<(Subject, Timestamp)>,
    /// `true` if there are more records than were looked at.
    is_cut: bool,
}

impl Trail {
    /// Reads the records of a job.
    pub(super) async fn read(context: &Context, org: OrgId, job: JobId) -> Result<Self, Problem> {
        let page = context.jobs.audit_trail(org, Some(job), &AuditFilter::default(), MAX_RECORDS, None).await?;
        Ok(Self::of(&page.records, page.next.is_some()))
    }

    fn of(records: &[AuditRecord], is_cut: bool) -> Self {
        let taken = || records.iter().filter(|record| matches!(record.action, Action::Download | Action::Pack));
        let last = taken().max_by_key(|record| record.at).map(|record| (record.subject.clone(), record.at));
        Self { downloads: taken().count(), last, is_cut }
    }
}

/// Shows the evidence of a file on the page of its month.
pub(super) fn summary(shell: &Shell, job: &Job, trail: Option<&Trail>, rights: Rights) -> Markup {
    let texts = shell.texts();
    let Ok(file) = recorded(job) else { return html! {} };
    html! {
        section #evidence {
            h2 { (texts.evidence) }
            p {
                a href=(shell.here(format_args!("/exports/{}", job.id()))) {
                    (say(texts.one_of_rows, &[("at", &time::at(texts, job.created_at()))]))
                }
                ": " (number::cost(file.totals.cost_total)) " USD"
            }
            (checks(shell, file))
            (taken(shell, trail))
            (pack(shell, job, rights))
        }
    }
}

/// Shows the link to the pack, for those who may have all that is in it.
pub(super) fn pack(shell: &Shell, job: &Job, rights: Rights) -> Markup {
    let texts = shell.texts();
    html! {
        @if rights.downloads && rights.reads_audit && job.status(shell.now) == Status::Succeeded {
            div.actions {
                a.button.quiet href=(shell.here(format_args!("/exports/{}/pack", job.id()))) { (texts.pack) }
                span.soft { (texts.pack_note) }
            }
        }
    }
}

/// Shows who took a file.
pub(super) fn taken(shell: &Shell, trail: Option<&Trail>) -> Markup {
    let texts = shell.texts();
    let Some(trail) = trail else { return html! {} };
    let count = format!("{}{}", trail.downloads, if trail.is_cut { "+" } else { "" });
    html! {
        p {
            @match &trail.last {
                None => (texts.downloads_none),
                Some((who, at)) => {
                    (say(if trail.downloads == 1 { texts.downloads_one } else { texts.downloads }, &[
                        ("count", &count), ("who", &shell.who(who)), ("at", &time::at(texts, *at)),
                    ]))
                }
            }
            " " a href=(shell.here("/activity")) { (texts.all_records) }
        }
    }
}

/// Shows the checksum, and how to compare a file with it: in the browser where scripts run, else by a command.
pub(super) fn checks(shell: &Shell, file: &ExportFile) -> Markup {
    let texts = shell.texts();
    let sum = file.checksum.trim_start_matches("sha256:");
    html! {
        dl { dt { (texts.checksum) } dd { code { (sum) } } }
        details {
            summary { (texts.check_file) }
            form hidden data-sum=(sum) data-running=(texts.check_running) data-equal=(texts.check_equal)
                data-different=(texts.check_different) {
                label for="checked" { (texts.check_choose) }
                input #checked type="file";
                output for="checked" {}
            }
            p { (texts.check_by_hand) }
            pre tabindex="0" { code { "sha256sum usage.csv\nshasum -a 256 usage.csv\ncertutil -hashfile usage.csv SHA256" } }
        }
    }
}

/// Shows the sums of a file beside those of the present figures and of the recorded usage.
pub(super) fn reconciled(shell: &Shell, found: &Reconciliation) -> Markup {
    let texts = shell.texts();
    let agrees = found.agrees();
    let has_events = found.columns().iter().any(|column| column.raw.is_some());
    let percent = |percent: Option<f64>| percent.map_or_else(|| "–".to_owned(), |percent| percent.to_string());
    html! {
        p {
            @if agrees { span.good { "✓ " (texts.reconciled) } } @else { span.bad { "⚠ " (texts.mismatch) } }
            " " (say(texts.checked_at, &[("at", &time::at(texts, found.checked_at()))]))
        }
        div.scroll role="region" tabindex="0" aria-label=(texts.reconcile) {
            table {
                caption { (say(texts.reconcile_about, &[("at", &time::at(texts, found.checked_at()))])) }
                thead {
                    tr {
                        th scope="col" { (texts.column) }
                        th.n scope="col" { (texts.in_file) }
                        th.n scope="col" { (texts.in_rollups) }
                        th.n scope="col" { (texts.percent) }
                        @if has_events {
                            th.n scope="col" { (texts.in_events) }
                            th.n scope="col" { (texts.percent) }
                        }
                    }
                }
                tbody {
                    @for column in found.columns() {
                        tr {
                            th scope="row" { code { (column.column) } }
                            td.n { (number::grouped(&column.csv)) }
                            td.n { (number::grouped(&column.rollup)) }
                            td.n { (percent(column.difference_percent)) }
                            @if has_events {
                                td.n { (column.raw.as_deref().map_or_else(|| html! { "–" }, number::grouped)) }
                                td.n { (percent(column.raw_difference_percent)) }
                            }
                        }
                    }
                }
            }
        }
        @if !has_events { p.soft { (texts.no_events) } }
        @for note in found.notes() { p.note lang="en" { (note) } }
    }
}

#[cfg(test)]
mod tests {
    use domain::Origin;

    use super::*;

    #[test]
    fn a_trail_counts_what_was_taken() {
        let record = |second, action, name: &str| AuditRecord {
            at: Timestamp::from_second(second).unwrap(),
            action,
            subject: Subject::new("https://issuer.example", name),
            org: uuid::Uuid::nil().into(),
            job: None,
            origin: Origin::of_service("r"),
        };
        let records = [
            record(1, Action::Create, "ada"),
            record(3, Action::Pack, "grace"),
            record(2, Action::Download, "ada"),
            record(9, Action::Expire, "sweep"),
        ];
        let trail = Trail::of(&records, false);
        assert_eq!(trail.downloads, 2);
        assert_eq!(trail.last.unwrap().0.name, "grace");
        assert_eq!(Trail::of(&[], false), Trail { downloads: 0, last: None, is_cut: false });
    }
}
