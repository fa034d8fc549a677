//! The command line.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{folder::Folder, junit};

/// Runs a command of CI and records how long it took
///
/// The command's output, signals and exit status pass through unchanged. Afterwards a JSON document of the run is
/// written into a folder and, with --bucket, uploaded from there. A failed upload never fails the build: the document stays
/// in the folder, and `ci-run upload` sends it later.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    record: Record,
    #[command(subcommand)]
    sub: Option<Sub>,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Task {
    Record(Record),
    Upload(Destination),
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Upload the documents that are left in the folder, and remove those that arrived
    Upload(Destination),
}

/// A command, and what its record says of it.
#[derive(Debug, Args)]
pub(crate) struct Record {
    /// The service that the command belongs to; one series of times for each service, command and environment
    // An option for clap's sake: a subcommand needs none.
    #[arg(long, env = "CI_RUN_SERVICE", value_name = "NAME", required = true)]
    service: Option<String>,
    /// The name of the command in reports; by default the command line itself
    #[arg(long, env = "CI_RUN_COMMAND", value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Where it runs; by default the name of the CI system, or `local`
    #[arg(long, env = "CI_RUN_ENVIRONMENT", value_name = "NAME")]
    pub(crate) environment: Option<String>,
    /// The run's id; by default that of the CI system with a random end, since an id is one document
    #[arg(long, env = "CI_RUN_ID", value_name = "ID")]
    pub(crate) run_id: Option<String>,
    /// The commit; by default that of the CI system or of the working copy
    #[arg(long, env = "CI_RUN_COMMIT", value_name = "SHA")]
    pub(crate) commit: Option<String>,
    /// Who started the run; by default whom the CI system names
    #[arg(long, env = "CI_RUN_ACTOR", value_name = "NAME")]
    pub(crate) actor: Option<String>,
    /// Record the tests that the command reports in these files, such as 'target/**/*.xml'; may be repeated
    ///
    /// Files of JUnit's XML that the command writes. Quoted, so that the shell leaves the pattern as it is.
    #[arg(long, value_name = "PATTERN", value_parser = junit::pattern)]
    pub(crate) junit: Vec<String>,
    /// Fail with status 1 if the document could not be uploaded and the command succeeded
    #[arg(long)]
    pub(crate) require_upload: bool,
    /// Write nothing but what goes wrong
    #[arg(long, short)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) destination: Destination,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// Where documents go.
#[derive(Debug, Args)]
pub(crate) struct Destination {
    /// The metrics bucket; without it documents stay in the folder
    #[arg(long, env = "CI_RUN_BUCKET", value_name = "BUCKET")]
    pub(crate) bucket: Option<String>,
    /// The folder of documents that are not uploaded yet
    #[arg(long, env = "CI_RUN_FOLDER", value_name = "FOLDER", default_value = ".ci-run")]
    pub(crate) folder: PathBuf,
    /// The form of the documents' keys
    #[arg(long, env = "CI_RUN_LAYOUT", value_name = "LAYOUT", default_value = "service")]
    pub(crate) layout: Layout,
    /// Address the bucket in the path and not in the host's name, as some stores demand
    #[arg(long, env = "CI_RUN_PATH_STYLE")]
    pub(crate) path_style: bool,
    /// The longest time in seconds that an upload may take, with its retries
    #[arg(long, env = "CI_RUN_TIMEOUT", value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) timeout: u16,
}

/// The form of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Layout {
    /// `metrics/YYYY/MM/DD/<service>/<run_id>.json`: rights to write can be given for a service
    Service,
    /// `metrics/YYYY/MM/DD/<run_id>.json`; results of tests are at `metrics/tests/YYYY/…` in either form
    Flat,
}

impl Arguments {
    pub(crate) fn task(self) -> Task {
        match self.sub {
            Some(Sub::Upload(destination)) => Task::Upload(destination),
            None => Task::Record(self.record),
        }
    }
}

impl Record {
    pub(crate) fn service(&self) -> &str {
        self.service.as_deref().unwrap_or_default()
    }
}

impl Destination {
    pub(crate) fn folder(&self) -> Folder {
        Folder::new(self.folder.clone(), self.layout)
    }

    pub(crate) fn limit(&self) -> Duration {
        Duration::from_secs(self.timeout.into())
    }
}

const EXAMPLES: &str = "\
Examples:
  ci-run --service user-org-service -- make check               record into .ci-run
  ci-run --service user-org-service --bucket ci-metrics -- make check
  ci-run --service web --name unit -- npm test -- --shard 3/8    one series, whatever the arguments are
  ci-run --service api --junit 'target/**/*.xml' -- mvn verify    with the results of single tests
  ci-run upload --bucket ci-metrics                              send what was left

Environment:
  AWS_…       the usual variables and profiles of the AWS SDK, also AWS_ENDPOINT_URL_S3 for another store
  CI_RUN_…    the options, for a whole pipeline
  The run's id, commit, actor and environment come from GitHub Actions, GitLab, Buildkite or Jenkins where it runs there.

Exit status:
  That of the command. If a signal ended the command, ci-run ends by the same signal. 127 if there is no such command, 126 if
  it can't be executed.";
