//! `/finance/{org}/activity`: the audit trail of an organization.

use std::sync::Arc;

use auth::Permission;
use axum::{extract::State, response::Html};
use domain::{
    Action, AuditFilter, AuditRecord, OrgId,
    instant::{day_of, days_after, start_of_day},
};
use jiff::{Timestamp, civil::Date};
use jobs::{AuditCursor, List};
use maud::{Markup, html};

use super::{
    page::Page,
    shell::{Place, Shell},
    texts::Texts,
    time,
};
use crate::{context::Context, problem::Problem, query::Query};

/// The number of records on a page.
const PAGE: usize = 100;

/// Shows a page of the trail.
pub(super) async fn show(State(context): State<Arc<Context>>, page: Page) -> Result<Html<String>, Problem> {
    let org = page.scope.require(Permission::ReadAudit).await?;
    let Page { shell, query, .. } = page;
    let (filter, after) = read(query.without_empty(), org)?;
    let found = context.jobs.audit_trail(org, None, &filter, PAGE, after).await?;
    let records = found.records;
    let next = found.next.map(|cursor| cursor.encode(&List::Audit(org, None, filter.clone())));
    let texts = shell.texts();
    let content = html! {
        h1 { (texts.activity) }
        p.soft { (texts.activity_about) }
        (choices(&shell, &filter))
        section {
            @if records.is_empty() { p { (texts.no_records) } } @else { (table(&shell, &records)) }
            @if let Some(next) = next {
                @let query = query_of(&filter);
                div.actions {
                    a.button.quiet href=(shell.here(format_args!("/activity?{query}&cursor={next}"))) { (texts.next) }
                }
            }
        }
    };
    Ok(shell.answer(texts.activity, Place::Activity, &content))
}

/// Reads the filter. Days are whole ones in UTC, and the last is included.
fn read(mut query: Query, org: OrgId) -> Result<(AuditFilter, Option<AuditCursor>), Problem> {
    let from: Option<Date> = query.optional("from");
    let to: Option<Date> = query.optional("to");
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        query.add("to", "must not be before from");
    }
    let filter = AuditFilter {
        from: from.map(start_of_day),
        to: to.map(|day| days_after(start_of_day(day), 1)),
        action: query.optional("action"),
        subject: query.optional("subject"),
    };
    let after =
        query.optional_with("cursor", |text| AuditCursor::decode(text, &List::Audit(org, None, filter.clone())));
    query.finish(Some((filter, after)))
}

/// Returns the last day before an instant.
fn last_day(to: Timestamp) -> Date {
    let day = day_of(to);
    day.yesterday().unwrap_or(day)
}

fn query_of(filter: &AuditFilter) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some(from) = filter.from {
        query.append_pair("from", &day_of(from).to_string());
    }
    if let Some(to) = filter.to {
        query.append_pair("to", &last_day(to).to_string());
    }
    if let Some(action) = filter.action {
        query.append_pair("action", action.name());
    }
    if let Some(subject) = &filter.subject {
        query.append_pair("subject", subject);
    }
    query.finish()
}

fn choices(shell: &Shell, filter: &AuditFilter) -> Markup {
    let texts = shell.texts();
    html! {
        form.card method="get" action=(shell.here("/activity")) {
            @if shell.is_named { input type="hidden" name="lang" value=(shell.language.code()); }
            div.fields {
                div {
                    label for="from" { (texts.from) }
                    input #from type="date" name="from" value=[filter.from.map(|from| day_of(from).to_string())];
                }
                div {
                    label for="to" { (texts.to) }
                    input #to type="date" name="to" value=[filter.to.map(|to| last_day(to).to_string())];
                }
                div {
                    label for="action" { (texts.what) }
                    select #action name="action" {
                        option value="" { (texts.any) }
                        @for action in Action::ALL {
                            option value=(action.name()) selected[filter.action == Some(action)] { (name(texts, action)) }
                        }
                    }
                }
                div {
                    label for="subject" { (texts.who) }
                    input #subject name="subject" autocomplete="off" value=[filter.subject.as_deref()];
                }
                button.quiet { (texts.show) }
            }
        }
    }
}

fn table(shell: &Shell, records: &[AuditRecord]) -> Markup {
    let texts = shell.texts();
    html! {
        div.scroll role="region" tabindex="0" aria-label=(texts.activity) {
            table {
                caption.same { (texts.activity) }
                thead {
                    tr {
                        th scope="col" { (texts.at) }
                        th scope="col" { (texts.who) }
                        th scope="col" { (texts.what) }
                        th scope="col" { (texts.job) }
                        th scope="col" { (texts.from_address) }
                    }
                }
                tbody {
                    @for record in records {
                        tr {
                            th scope="row" { (time::at(texts, record.at)) }
                            td { (record.subject.name) }
                            td { (name(texts, record.action)) }
                            td {
                                @if let Some(job) = record.job {
                                    a href=(shell.here(format_args!("/exports/{job}"))) { code { (job) } }
                                }
                            }
                            td { (record.origin.source_ip.as_deref().unwrap_or_default()) }
                        }
                    }
                }
            }
        }
    }
}

const fn name(texts: &Texts, action: Action) -> &'static str {
    match action {
        Action::Create => texts.action_create,
        Action::Download => texts.action_download,
        Action::Pack => texts.action_pack,
        Action::Expire => texts.action_expire,
        Action::VerifyFile => texts.action_verify,
        Action::Compare => texts.action_compare,
        Action::Book => texts.action_book,
        Action::Restate => texts.action_restate,
        Action::Restore => texts.action_restore,
        Action::Hold => texts.action_hold,
        Action::ReleaseHold => texts.action_release_hold,
        Action::Deliver => texts.action_deliver,
        Action::ChangeSettings => texts.action_change_settings,
        Action::RotateSecret => texts.action_rotate_secret,
        Action::ChangeTargets => texts.action_change_targets,
        Action::Erase => texts.action_erase,
        Action::CrossOrganizationAccess => texts.action_cross,
    }
}
