//! `PUT …/periods/{period}/booking` and `GET …/periods/{period}/booking`: the file that was booked for a month.

use std::sync::Arc;

use auth::Permission;
use axum::{
    Json,
    extract::{Request, State},
};
use domain::{
    Action, Booking, BookingRequest, ExportRequest, JobId, Month, OrgId, ledger::Reference, measures::cost_text,
};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    body,
    context::Context,
    exports::{RestatementView, find, recorded},
    instant::whole_second,
    problem::{Kind, Problem, ProblemBody},
    scope::OrgScope,
};

/// A file that is to be booked for a month.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase", as = BookExport)]
#[expect(dead_code, reason = "it describes what `BookingRequest::from_json` reads")]
struct BookBody {
    /// The job of the file. Its range is the month, and it has all models.
    job_id: Uuid,
    /// The entry in the books.
    #[schema(min_length = 1, max_length = 100, example = "JE-1017")]
    reference: String,
}

/// The file that was booked for a month, and those that were booked before it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PeriodBooking {
    /// The organization.
    #[schema(value_type = Uuid)]
    org_id: OrgId,
    /// The calendar month in UTC.
    #[schema(value_type = String, example = "2024-01")]
    period: Month,
    /// The present booking.
    current: BookingView,
    /// Whether the figures of the month are still those of the booked file, as the nightly comparison found them.
    restatement: RestatementView,
    /// The bookings before it, newest first; at most 99.
    history: Vec<BookingView>,
}

/// A version of a month's booking. It is kept for ever and never changed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Booking)]
struct BookingView {
    /// The number of the version, from 1 on.
    version: u32,
    /// The job of the file.
    #[schema(value_type = Uuid)]
    job_id: JobId,
    /// The entry in the books.
    #[schema(value_type = String, example = "JE-1017")]
    reference: Reference,
    /// `sha256:` and the hex digest of the file's bytes.
    checksum: String,
    /// The sum of the file's costs, in dollars with four decimals.
    #[schema(example = "538.9327")]
    cost_total: String,
    /// The time of the booking.
    #[schema(value_type = String, format = DateTime)]
    booked_at: Timestamp,
    /// The person or program that booked: the token's subject if it is a UUID, else a UUID derived from issuer and subject.
    booked_by: Uuid,
}

/// Records that a file is the one that the organization booked for a month. Also possible when the file has expired. A
/// booking replaces none: it is the month's next version. The same file and reference as at present add no version, so the
/// request may be repeated.
#[utoipa::path(
    put, path = "/orgs/{orgId}/periods/{period}/booking", tag = "ledger", operation_id = "bookExport",
    params(
        ("orgId" = Uuid, Path, description = "The organization"),
        ("period" = String, Path, pattern = "^[0-9]{4}-[0-9]{2}$", example = "2024-01", description = "The month"),
    ),
    request_body(
        content = BookBody, example = json!({"jobId": "018cc251-f400-7000-8000-000000000000", "reference": "JE-1017"}),
    ),
    responses(
        (status = 200, description = "The booking, with those before it", body = PeriodBooking),
        (
            status = 404, description = "There is no such job, or it is not ready or failed; see `type`",
            body = ProblemBody, content_type = "application/problem+json",
        ),
        (
            status = 409, description = "The month has 100 versions",
            body = ProblemBody, content_type = "application/problem+json",
        ),
        (
            status = 413, description = "The body is larger than 64 KiB",
            body = ProblemBody, content_type = "application/problem+json",
        ),
        (
            status = 415, description = "The body is not application/json",
            body = ProblemBody, content_type = "application/problem+json",
        ),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn book(
    State(context): State<Arc<Context>>,
    scope: OrgScope,
    request: Request,
) -> Result<Json<PeriodBooking>, Problem> {
    let org = scope.require(Permission::WriteLedger).await?;
    let month = scope.period()?;
    let booking = BookingRequest::from_json(&body::json(request).await?).map_err(Problem::invalid)?;
    keep(&context, &scope, org, month, booking).await?;
    present(&context, org, month).await
}

/// Books the file of a job for a month. The caller has the permission.
///
/// # Errors
/// When there is no such job or file, it is not of the whole month and all models, the month has as many versions as it
/// may, or the table does not answer.
pub(crate) async fn keep(
    context: &Context,
    scope: &OrgScope,
    org: OrgId,
    month: Month,
    BookingRequest { job: id, reference }: BookingRequest,
) -> Result<(), Problem> {
    let job = find(context, org, id).await?;
    let file = recorded(&job)?;
    check_is_of(job.request(), month)?;
    let record = scope.audit(Action::Book, Some(id));
    let booking = Booking {
        // The table numbers it.
        version: 0,
        job: id,
        reference,
        checksum: file.checksum.clone(),
        cost_total: file.totals.cost_total,
        at: record.at,
        subject: scope.subject(),
    };
    context.jobs.book(org, month, booking, &record).await?;
    Ok(())
}

/// Returns the file that the organization booked for a month, with those that it booked before.
#[utoipa::path(
    get, path = "/orgs/{orgId}/periods/{period}/booking", tag = "ledger", operation_id = "showBooking",
    params(
        ("orgId" = Uuid, Path, description = "The organization"),
        ("period" = String, Path, pattern = "^[0-9]{4}-[0-9]{2}$", example = "2024-01", description = "The month"),
    ),
    responses(
        (status = 200, description = "The booking, with those before it", body = PeriodBooking),
        (
            status = 404, description = "Nothing was booked for the month",
            body = ProblemBody, content_type = "application/problem+json",
        ),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn show(State(context): State<Arc<Context>>, scope: OrgScope) -> Result<Json<PeriodBooking>, Problem> {
    let org = scope.require(Permission::ReadExports).await?;
    let month = scope.period()?;
    present(&context, org, month).await
}

/// Succeeds if a file of this request is the whole month's.
fn check_is_of(request: &ExportRequest, month: Month) -> Result<(), Problem> {
    let pointer = "/jobId";
    if !request.range.is_of(month) {
        let detail = format!("must be an export whose range is the whole month {month}");
        return Err(Problem::invalid_field(pointer, detail));
    }
    if request.models.is_some() {
        return Err(Problem::invalid_field(pointer, "must be an export of all models"));
    }
    Ok(())
}

async fn present(context: &Context, org: OrgId, month: Month) -> Result<Json<PeriodBooking>, Problem> {
    let mut versions = context.jobs.bookings(org, month).await?.into_iter();
    let Some(current) = versions.next() else {
        return Err(Problem::new(Kind::NoBooking, format!("Book a file of {month} with PUT, or check the month.")));
    };
    let found = context.jobs.booked(org, month).await?;
    // A booking that another request made in between is not compared yet.
    let restatement = RestatementView::of(found.filter(|found| found.version == current.version).as_ref());
    let history = versions.map(BookingView::from).collect();
    Ok(Json(PeriodBooking { org_id: org, period: month, current: current.into(), restatement, history }))
}

impl From<Booking> for BookingView {
    fn from(booking: Booking) -> Self {
        Self {
            version: booking.version,
            job_id: booking.job,
            reference: booking.reference,
            checksum: booking.checksum,
            cost_total: cost_text(booking.cost_total),
            booked_at: whole_second(booking.at),
            booked_by: booking.subject.id(),
        }
    }
}
