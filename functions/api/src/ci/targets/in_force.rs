//! The targets that judge: those of the service itself, or a stored version.

use ci::Targets;
use domain::{Month, request::FieldError};
use jiff::Timestamp;
use jobs::StoredTargets;
use platform::log::Causes;
use tracing::error;
use uuid::Uuid;

use super::no_version;
use crate::{
    context::Context,
    instant::whole_second,
    problem::{Kind, Problem},
};

/// Targets that judge, and which ones they are.
#[derive(Debug, Clone)]
pub(crate) struct InForce {
    pub(crate) targets: Targets,
    pub(crate) judge: Judge,
}

/// Which targets judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Judge {
    /// Those of the service itself: none were stored by then.
    BuiltIn,
    /// A stored version.
    Stored {
        /// Its number, from 1 on.
        version: u32,
        /// The time of the change.
        at: Timestamp,
        /// The person or program that made it.
        by: Uuid,
    },
}

/// Targets that cannot be used, and why. No others take their place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unusable {
    /// The number of the version; 0 of those of the service itself.
    pub(crate) version: u32,
    /// What is wrong, with pointers into their JSON.
    pub(crate) mistakes: Vec<FieldError>,
    /// The targets as they were stored, if they are a text.
    pub(crate) text: Option<String>,
}

/// The cause of a request that asked for a verdict by targets that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("version {0} of the targets has mistakes")]
struct Mistaken(u32);

/// Returns the targets that a month is judged by: those of a version that was asked for, or those that were in force at
/// the month's end. Targets that cannot be used are told in the log.
pub(crate) async fn in_force(
    context: &Context,
    month: Month,
    asked: Option<u32>,
) -> Result<Result<InForce, Unusable>, Problem> {
    let found = match asked {
        Some(version) => of_version(context, version).await?,
        None => read(context.jobs.targets_before(month.end()).await?),
    };
    if let Err(unusable) = &found {
        unusable.tell();
    }
    Ok(found)
}

/// Returns the targets of a version.
pub(super) async fn of_version(context: &Context, version: u32) -> Result<Result<InForce, Unusable>, Problem> {
    if version == 0 {
        return Ok(read(None));
    }
    let stored = context.jobs.targets_version(version).await?;
    Ok(read(Some(stored.ok_or_else(|| no_version(version))?)))
}

/// Reads stored targets; `None` are those of the service itself.
pub(super) fn read(stored: Option<StoredTargets>) -> Result<InForce, Unusable> {
    let Some(StoredTargets { version, found }) = stored else {
        return match Targets::built_in() {
            Ok(targets) => Ok(InForce { targets, judge: Judge::BuiltIn }),
            Err(mistakes) => Err(Unusable { version: 0, mistakes, text: None }),
        };
    };
    let found = found.map_err(|error| {
        let detail = format!("is not stored as this version of the service stores it: {}", Causes(&error));
        let mistakes = vec![FieldError { pointer: String::new(), detail }];
        Unusable { version, mistakes, text: None }
    })?;
    match Targets::parse(&found.text) {
        Ok(targets) => {
            let judge = Judge::Stored { version, at: whole_second(found.at), by: found.subject.id() };
            Ok(InForce { targets, judge })
        }
        Err(mistakes) => Err(Unusable { version, mistakes, text: Some(found.text) }),
    }
}

impl Unusable {
    /// Writes to the log that somebody met targets that cannot be used. The sweep rings the alarm.
    pub(super) fn tell(&self) {
        let mistakes = self.mistakes.iter().map(|mistake| format!("{} {}", mistake.pointer, mistake.detail));
        let mistakes = mistakes.collect::<Vec<_>>().join("; ");
        error!(targets_version = self.version, mistakes, "the targets of CI cannot be used");
    }
}

impl From<Unusable> for Problem {
    fn from(Unusable { version, mistakes, .. }: Unusable) -> Self {
        let detail = format!(
            "Version {version} of the targets has mistakes, which errors names. Nothing is judged by other targets \
             instead. Ask an operator to store targets without mistakes by PUT …/ci/targets; targets={{version}} judges by \
             another version."
        );
        Self::new(Kind::TargetsUnusable, detail).with_mistakes(mistakes).because(Mistaken(version))
    }
}

#[cfg(test)]
mod tests {
    use domain::Subject;
    use jobs::TargetsVersion;

    use super::*;

    fn stored(text: &str) -> Option<StoredTargets> {
        let at = "2026-11-01T00:00:00.5Z".parse().unwrap();
        let subject = Subject::new("https://issuer.example", "123e4567-e89b-12d3-a456-426614174000");
        Some(StoredTargets { version: 3, found: Ok(TargetsVersion { text: text.to_owned(), at, subject }) })
    }

    #[test]
    fn the_targets_of_the_service_judge_where_none_are_stored() {
        let found = read(None).unwrap();
        assert_eq!((found.judge, found.targets), (Judge::BuiltIn, Targets::built_in().unwrap()));
    }

    #[test]
    fn stored_targets_are_named_by_their_version() {
        let text = Targets::built_in().unwrap().to_json().unwrap();
        let found = read(stored(&text)).unwrap();
        let by = "123e4567-e89b-12d3-a456-426614174000".parse().unwrap();
        assert_eq!(found.judge, Judge::Stored { version: 3, at: "2026-11-01T00:00:00Z".parse().unwrap(), by });
    }

    #[test]
    fn what_cannot_be_used_is_never_replaced_by_other_targets() {
        for (text, pointers) in [
            ("", &[""][..]),
            ("{}", &["/targets"]),
            (
                r#"{"targets": [{"id": "/", "measure": 1}]}"#,
                &[
                    "/targets/0/id",
                    "/targets/0/service",
                    "/targets/0/command",
                    "/targets/0/measure",
                    "/targets/0/bound",
                    "/targets/0/minimumRuns",
                ],
            ),
        ] {
            let unusable = read(stored(text)).unwrap_err();
            let found: Vec<&str> = unusable.mistakes.iter().map(|mistake| mistake.pointer.as_str()).collect();
            assert_eq!((unusable.version, found.as_slice(), unusable.text.as_deref()), (3, pointers, Some(text)));
            let problem = Problem::from(unusable);
            assert!(problem.is(Kind::TargetsUnusable));
            assert_eq!(problem.pointers(), pointers);
        }
    }
}
