//! What an export is, in the field's terms. Pure: no AWS crate, no database crate, no clock and no network.

pub mod file;
pub mod granularity;
pub mod id;
pub mod job;
pub mod range;
pub mod request;
pub mod status;
pub mod subject;
pub mod usage;

pub use file::ExportFile;
pub use granularity::Granularity;
pub use id::{JobId, ModelId, OrgId};
pub use job::{Claim, ClaimRefused, ClaimedJob, Job, State};
pub use range::TimeRange;
pub use request::ExportRequest;
pub use status::Status;
pub use subject::Subject;
pub use usage::{Totals, UsageRow};
