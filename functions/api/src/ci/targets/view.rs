//! Targets as answers have them.

use ci::Target;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{InForce, Judge, Unusable};
use crate::problem::FieldErrorBody;

/// Where targets come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = TargetsSource)]
enum Source {
    /// The service itself: none were stored by then.
    BuiltIn,
    /// Somebody stored them.
    Stored,
}

/// Which targets judge.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Judge)]
pub(crate) struct JudgeView {
    /// Where the targets come from.
    source: Source,
    /// The number of the version, from 1 on; 0 for those of the service itself.
    version: u32,
    /// The time of the change; absent for those of the service itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    changed_at: Option<Timestamp>,
    /// The person or program that made it: the token's subject if it is a UUID, else a UUID derived from issuer and subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed_by: Option<Uuid>,
}

/// The targets by which CI's runs are judged.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Targets)]
pub(crate) struct TargetsView {
    /// Which ones they are. The ETag is the number of the version in quotes.
    #[serde(flatten)]
    judge: JudgeView,
    /// `false` if they have mistakes. Then nothing can be judged by them, and nothing is judged by others.
    is_usable: bool,
    /// The targets; absent if they cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    targets: Option<Vec<Target>>,
    /// Every mistake, if they cannot be used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    mistakes: Vec<FieldErrorBody>,
    /// The text that was stored, if it cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    stored_text: Option<String>,
}

/// A version of the targets.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TargetsVersion)]
pub(super) struct VersionView {
    /// Which version it is.
    #[serde(flatten)]
    judge: JudgeView,
    /// `false` if it has mistakes.
    is_usable: bool,
    /// The number of targets; absent if they cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    targets: Option<usize>,
}

impl TargetsView {
    /// Creates the view of targets that were read.
    pub(crate) fn of(found: Result<InForce, Unusable>) -> Self {
        match found {
            Ok(InForce { targets, judge }) => Self {
                judge: JudgeView::from(&judge),
                is_usable: true,
                targets: Some(targets.list().to_vec()),
                mistakes: Vec::new(),
                stored_text: None,
            },
            Err(Unusable { version, mistakes, text }) => Self {
                judge: JudgeView::of_unusable(version),
                is_usable: false,
                targets: None,
                mistakes: mistakes.iter().map(FieldErrorBody::from).collect(),
                stored_text: text,
            },
        }
    }

    /// Returns the number of the version.
    pub(super) const fn version(&self) -> u32 {
        self.judge.version
    }
}

impl VersionView {
    /// Creates the view of a version.
    pub(super) fn of(version: u32, found: Result<InForce, Unusable>) -> Self {
        match found {
            Ok(InForce { targets, judge }) => {
                Self { judge: JudgeView::from(&judge), is_usable: true, targets: Some(targets.list().len()) }
            }
            Err(_) => Self { judge: JudgeView::of_unusable(version), is_usable: false, targets: None },
        }
    }
}

impl JudgeView {
    /// Creates the view of targets that cannot be used, of which no more than the number is sure.
    const fn of_unusable(version: u32) -> Self {
        let source = if version == 0 { Source::BuiltIn } else { Source::Stored };
        Self { source, version, changed_at: None, changed_by: None }
    }
}

impl From<&Judge> for JudgeView {
    fn from(judge: &Judge) -> Self {
        match judge {
            Judge::BuiltIn => Self { source: Source::BuiltIn, version: 0, changed_at: None, changed_by: None },
            Judge::Stored { version, at, by } => {
                Self { source: Source::Stored, version: *version, changed_at: Some(*at), changed_by: Some(*by) }
            }
        }
    }
}
