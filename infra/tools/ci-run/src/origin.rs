//! What the CI system says of a run in its variables.

use std::{
    env,
    process::{Command, Stdio},
};

use crate::line::{cut, line};

/// A CI system and the variables in which it tells what a document needs.
struct System {
    name: &'static str,
    /// The variable that is set there and nowhere else.
    mark: &'static str,
    /// Those that name a run together, from the whole to the part.
    run: &'static [&'static str],
    commit: &'static str,
    /// The first that is set.
    actor: &'static [&'static str],
    branch: &'static [&'static str],
}

/// From the documents of each system.
const SYSTEMS: [System; 4] = [
    System {
        name: "github-actions",
        mark: "GITHUB_ACTIONS",
        run: &["GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT", "GITHUB_JOB"],
        commit: "GITHUB_SHA",
        actor: &["GITHUB_TRIGGERING_ACTOR", "GITHUB_ACTOR"],
        branch: &["GITHUB_HEAD_REF", "GITHUB_REF_NAME"],
    },
    System {
        name: "gitlab",
        mark: "GITLAB_CI",
        run: &["CI_PIPELINE_ID", "CI_JOB_ID"],
        commit: "CI_COMMIT_SHA",
        actor: &["GITLAB_USER_LOGIN"],
        branch: &["CI_COMMIT_REF_NAME"],
    },
    System {
        name: "buildkite",
        mark: "BUILDKITE",
        run: &["BUILDKITE_BUILD_ID", "BUILDKITE_JOB_ID"],
        commit: "BUILDKITE_COMMIT",
        actor: &["BUILDKITE_BUILD_CREATOR", "BUILDKITE_BUILD_AUTHOR"],
        branch: &["BUILDKITE_BRANCH"],
    },
    System {
        name: "jenkins",
        mark: "JENKINS_URL",
        run: &["BUILD_TAG"],
        commit: "GIT_COMMIT",
        actor: &["BUILD_USER_ID", "CHANGE_AUTHOR"],
        branch: &["CHANGE_BRANCH", "GIT_BRANCH", "BRANCH_NAME"],
    },
];

/// The environment outside of any CI system.
const LOCAL: &str = "local";

/// The longest that any of these texts may be in a document, in bytes.
const MAX_BYTES: usize = 256;

/// Where and by whom a run was started.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) environment: String,
    /// The system's id of the run, if it has one.
    pub(crate) run: Option<String>,
    pub(crate) commit: String,
    pub(crate) actor: String,
    pub(crate) branch: Option<String>,
    /// Whether files of a working copy differ from the commit, as far as somebody looked. CI systems build commits.
    pub(crate) modified: bool,
}

impl Origin {
    /// Reads the variables. What nobody tells is `unknown`.
    pub(crate) fn from_env() -> Self {
        let variable = |name: &str| env::var(name).ok().map(|value| cut(line(&value), MAX_BYTES));
        Self::of(&|name| variable(name).filter(|value| !value.is_empty()), git_commit)
    }

    /// Looks whether the working copy differs from the commit, where no CI system tells of one.
    pub(crate) fn look_for_changes(&mut self) {
        self.modified = self.environment == LOCAL && is_modified();
    }

    fn of(variable: &dyn Fn(&str) -> Option<String>, git_commit: impl FnOnce() -> Option<String>) -> Self {
        let unknown = || "unknown".to_owned();
        let first = |names: &[&str]| names.iter().find_map(|name| variable(name));
        let Some(system) = SYSTEMS.iter().find(|system| variable(system.mark).is_some()) else {
            return Self {
                environment: LOCAL.to_owned(),
                run: None,
                commit: git_commit().unwrap_or_else(unknown),
                actor: first(&["USER", "LOGNAME"]).unwrap_or_else(unknown),
                branch: None,
                modified: false,
            };
        };
        let run: Vec<String> = system.run.iter().filter_map(|name| variable(name)).collect();
        Self {
            environment: system.name.to_owned(),
            run: (!run.is_empty()).then(|| run.join("-")),
            commit: variable(system.commit).or_else(git_commit).unwrap_or_else(unknown),
            // Scheduled runs of Jenkins have nobody.
            actor: first(system.actor).unwrap_or_else(unknown),
            branch: first(system.branch),
            modified: false,
        }
    }
}

/// Reports whether files of the working copy that git knows differ from the commit. Without git there is no commit, either.
fn is_modified() -> bool {
    let status = Command::new("git").args(["diff", "--quiet", "HEAD"]).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.code() == Some(1))
}

/// Returns the commit of the working copy.
fn git_commit() -> Option<String> {
    let output = Command::new("git").args(["rev-parse", "HEAD"]).output().ok()?;
    let commit = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !commit.is_empty()).then_some(commit)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    type Variables = [(&'static str, &'static str)];

    fn origin(variables: &Variables) -> Origin {
        let variables: HashMap<&str, &str> = variables.iter().copied().collect();
        Origin::of(&|name| variables.get(name).map(|value| (*value).to_owned()), || Some("c0ffee".to_owned()))
    }

    #[test]
    fn each_system_names_the_run_the_commit_and_the_actor() {
        let cases: [(&Variables, &str, &str); 4] = [
            (
                &[
                    ("GITHUB_ACTIONS", "true"),
                    ("GITHUB_RUN_ID", "77"),
                    ("GITHUB_RUN_ATTEMPT", "2"),
                    ("GITHUB_JOB", "test"),
                    ("GITHUB_SHA", "abc"),
                    ("GITHUB_ACTOR", "ada"),
                    ("GITHUB_REF_NAME", "main"),
                ],
                "github-actions",
                "77-2-test",
            ),
            (
                &[
                    ("GITLAB_CI", "true"),
                    ("CI_PIPELINE_ID", "5"),
                    ("CI_JOB_ID", "9"),
                    ("CI_COMMIT_SHA", "abc"),
                    ("GITLAB_USER_LOGIN", "ada"),
                    ("CI_COMMIT_REF_NAME", "main"),
                ],
                "gitlab",
                "5-9",
            ),
            (
                &[
                    ("BUILDKITE", "true"),
                    ("BUILDKITE_BUILD_ID", "b"),
                    ("BUILDKITE_JOB_ID", "j"),
                    ("BUILDKITE_COMMIT", "abc"),
                    ("BUILDKITE_BUILD_CREATOR", "ada"),
                    ("BUILDKITE_BRANCH", "main"),
                ],
                "buildkite",
                "b-j",
            ),
            (
                &[
                    ("JENKINS_URL", "https://jenkins.example/"),
                    ("BUILD_TAG", "jenkins-web-12"),
                    ("GIT_COMMIT", "abc"),
                    ("BUILD_USER_ID", "ada"),
                    ("GIT_BRANCH", "main"),
                ],
                "jenkins",
                "jenkins-web-12",
            ),
        ];
        for (variables, environment, run) in cases {
            let expected = Origin {
                environment: environment.to_owned(),
                run: Some(run.to_owned()),
                commit: "abc".to_owned(),
                actor: "ada".to_owned(),
                branch: Some("main".to_owned()),
                modified: false,
            };
            assert_eq!(origin(variables), expected);
        }
    }

    #[test]
    fn elsewhere_the_working_copy_names_the_commit() {
        let local = origin(&[("USER", "ada")]);
        assert_eq!(
            (local.environment.as_str(), local.commit.as_str(), local.actor.as_str()),
            ("local", "c0ffee", "ada")
        );
        assert_eq!((local.run, local.branch), (None, None));
        assert_eq!(origin(&[]).actor, "unknown");
        assert_eq!(origin(&[("JENKINS_URL", "https://jenkins.example/")]).actor, "unknown");
    }
}
