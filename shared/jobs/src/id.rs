//! New ids.

use domain::JobId;
use uuid::Uuid;

/// Returns a new id, which sorts after every id that this process made before.
pub fn new_job_id() -> JobId {
    Uuid::now_v7().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_ids_sort_by_creation() {
        let ids: Vec<JobId> = (0..1000).map(|_| new_job_id()).collect();
        assert!(ids.is_sorted());
    }
}
