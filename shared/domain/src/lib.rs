//! Exports in the terms of their users. Pure: no AWS crate, no database crate, no clock, no random id and no network.

pub mod audit;
pub mod chain;
pub mod changes;
pub mod completeness;
pub mod delivery;
pub mod event;
pub mod failure;
pub mod file;
pub mod filter;
pub mod granularity;
pub mod hold;
pub mod id;
pub mod idempotency;
pub mod instant;
pub mod job;
pub mod ledger;
pub mod measures;
#[cfg(test)]
mod model;
pub mod month;
pub mod monthly;
pub mod progress;
pub mod range;
pub mod reconciliation;
pub mod request;
pub mod retention;
pub mod settings;
pub mod status;
pub mod strict;
pub mod subject;

pub use audit::{Action, AuditFilter, AuditRecord, Origin};
pub use completeness::Completeness;
pub use delivery::{Delivery, DeliveryKind, DeliveryState};
pub use event::{Event, EventKind, FigureState};
pub use failure::Failure;
pub use file::{DayDetail, ExportFile, ObjectTag};
pub use filter::{JobFilter, JobOrigin};
pub use granularity::Granularity;
pub use hold::{Hold, HoldChange};
pub use id::{JobId, ModelId, OrgId};
pub use idempotency::IdempotencyKey;
pub use job::{
    Claim, ClaimRefused, ClaimedJob, Job, JobParts, NewJob, State, Submission, SweepAction, Swept, Transition, Version,
};
pub use ledger::{Booking, BookingRequest, Comparison, LedgerEntry};
pub use measures::{Measures, Totals};
pub use month::Month;
pub use monthly::MonthlyRun;
pub use progress::Progress;
pub use range::TimeRange;
pub use request::{CreateRequest, ExportRequest, Note};
pub use retention::Retention;
pub use settings::{Settings, SettingsVersion};
pub use status::Status;
pub use subject::Subject;
