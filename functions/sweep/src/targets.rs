//! The check of the present targets of CI. Without it, operators would learn that they cannot be used only when somebody
//! asks for a verdict.

use ci::Targets;
use domain::request::FieldError;
use jobs::{JobsError, JobsTable, StoredTargets};
use platform::log::Causes;
use tracing::error;

/// Reports whether the present targets cannot be used. The log has the version and its mistakes.
///
/// # Errors
/// When the table does not answer.
pub(crate) async fn are_unusable(jobs: &JobsTable) -> Result<bool, JobsError> {
    let unusable = match jobs.targets().await {
        Ok(stored) => stored.and_then(mistakes_of),
        Err(JobsError::Corrupt(error)) => Some((None, Causes(&error).to_string())),
        Err(error) => return Err(error),
    };
    if let Some((version, mistakes)) = &unusable {
        error!(targets_version = version, mistakes, "the targets of CI cannot be used");
    }
    Ok(unusable.is_some())
}

/// Returns the version of targets with mistakes, and these; `None` if there are none.
fn mistakes_of(StoredTargets { version, found }: StoredTargets) -> Option<(Option<u32>, String)> {
    let mistakes = match found {
        Ok(found) => {
            let found = Targets::parse(&found.text).err()?;
            let texts = found.iter().map(|FieldError { pointer, detail }| format!("{pointer} {detail}"));
            texts.collect::<Vec<_>>().join("; ")
        }
        Err(error) => Causes(&error).to_string(),
    };
    Some((Some(version), mistakes))
}

#[cfg(test)]
mod tests {
    use domain::Subject;
    use jobs::TargetsVersion;

    use super::*;

    fn stored(text: &str) -> StoredTargets {
        let subject = Subject::new("https://issuer.example", "ada");
        let at = "2026-11-01T00:00:00Z".parse().unwrap();
        StoredTargets { version: 3, found: Ok(TargetsVersion { text: text.to_owned(), at, subject }) }
    }

    #[test]
    fn targets_without_mistakes_are_no_news() {
        let text = Targets::built_in().unwrap().to_json().unwrap();
        assert_eq!(mistakes_of(stored(&text)), None);
    }

    #[test]
    fn every_mistake_is_named_with_the_version() {
        let (version, mistakes) = mistakes_of(stored(r#"{"targets": [{"id": "/", "measure": 1}]}"#)).unwrap();
        assert_eq!(version, Some(3));
        for pointer in ["/targets/0/id ", "/targets/0/measure ", "/targets/0/bound "] {
            assert!(mistakes.contains(pointer), "{mistakes}");
        }
        assert!(mistakes_of(stored("")).is_some());
    }
}
