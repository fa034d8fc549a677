//! Instants as the driver takes them.

use std::time::SystemTime;

use jiff::Timestamp;

/// Converts an instant for a statement's parameter. The driver has features for jiff 0.1 and 0.2 alone, so that it
/// knows no [`Timestamp`] of this version.
pub fn to_system_time(at: Timestamp) -> SystemTime {
    let since_epoch = at.as_duration();
    if since_epoch.is_negative() {
        SystemTime::UNIX_EPOCH - since_epoch.unsigned_abs()
    } else {
        SystemTime::UNIX_EPOCH + since_epoch.unsigned_abs()
    }
}
