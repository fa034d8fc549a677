//! What an export's file is, stated for those who keep it.
//!
//! A manifest is made of the job's record whenever it is asked for, and is stored nowhere else. So it outlives the file,
//! exists for files of before, cannot disagree with the job, and the same job gives the same bytes: to whoever asks the
//! API, and in the bucket to which the file is delivered.

mod columns;
mod completeness;
mod document;
mod totals;

use domain::Job;

pub use self::{columns::Column, completeness::CompletenessView, document::Manifest, totals::TotalsView};

/// Returns the bytes of a manifest: JSON in a fixed order, two spaces a level, and a line feed at the end. `None` of a job
/// without a file.
///
/// # Errors
/// When the manifest cannot be written as JSON.
pub fn bytes(job: &Job) -> Result<Option<Vec<u8>>, serde_json::Error> {
    let Some(manifest) = Manifest::of(job) else { return Ok(None) };
    let mut bytes = serde_json::to_vec_pretty(&manifest)?;
    bytes.push(b'\n');
    Ok(Some(bytes))
}
