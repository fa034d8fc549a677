//! What the key of a document says about it.

use crate::{CiRun, InvalidDocument};

/// Refuses a run of another service than the folder of its key, `metrics/YYYY/MM/DD/<service>/<run_id>.json`. Rights to
/// write are given by folders: without this, whoever may write one service's documents could replace another's runs.
///
/// # Errors
/// When the services differ.
pub(super) fn check(key: &str, run: CiRun) -> Result<CiRun, InvalidDocument> {
    match service(key) {
        Some(service) if service != run.service => {
            Err(InvalidDocument::new(format!("service must be {service:?}, as the folder of the document says")))
        }
        _ => Ok(run),
    }
}

/// Returns the service that a key has a folder for.
fn service(key: &str) -> Option<&str> {
    let [_, year, month, day, service, _] = key.split('/').collect::<Vec<_>>().try_into().ok()?;
    let is_number = |text: &str, digits| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(year, 4) && is_number(month, 2) && is_number(day, 2)).then_some(service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_layout_with_a_folder_names_a_service() {
        for (key, expected) in [
            ("metrics/2025/11/08/user-org-service/ci-1.json", Some("user-org-service")),
            ("metrics/2025/11/08/ci-1.json", None),
            ("metrics/2025/11/08/a/b/ci-1.json", None),
            ("metrics/2025/nov/08/a/ci-1.json", None),
            ("metrics/2025/1/08/a/ci-1.json", None),
            ("metrics/2025/11/08//ci-1.json", Some("")),
        ] {
            assert_eq!(service(key), expected, "{key}");
        }
    }
}
