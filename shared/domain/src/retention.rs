//! Retention periods, as far as exports state or obey them.

/// The periods for which rollups and files are kept. The deployment sets both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Calendar months for which rollups are kept. A range that begins earlier gets a warning.
    pub rollups_months: u32,
    /// Days of 24 hours for which a finished file is kept.
    pub files_days: u32,
}
