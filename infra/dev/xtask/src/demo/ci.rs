//! The second half of `cargo xtask demo`: CI's documents go into the bucket, a regression comes out. Then `ci-run` records a
//! command of this checkout, and the report shows it.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use terminal::step;
use ureq::Agent;

use crate::{
    client::read_json,
    command::{Output, Spec},
    process::{pause, tail},
    stack::{Stack, issuer::Claims},
};

use super::ci_documents;

const SCOPE: &str = "analytics:ci:read";
/// The time of the documents, and the month whose evidence the report shows.
const RANGE: &str = "from=2025-10-01&to=2025-11-30";
const MONTH: &str = "2025-11";

/// The service under which this checkout's own runs are recorded, as `.ci/run` does.
const OWN_SERVICE: &str = "analytics-exports";
/// The time in which a document becomes a row.
const STORE_TIMEOUT: Duration = Duration::from_secs(60);

/// Plays it and returns the paths of the reports.
pub(crate) fn play(stack: &Stack, agent: &Agent) -> Result<[PathBuf; 2]> {
    terminal::heading("CI reports its runs");
    ci_documents::put(stack)?;
    let claims = Claims { issuer: stack.issuer().url(), subject: "engineer", organizations: Vec::new(), scope: SCOPE };
    let demo = Demo { stack, agent, bearer: format!("Bearer {}", stack.key().token(&claims)?) };
    demo.find()?;
    let planted = demo.save("ci-report.html", &format!("report?{RANGE}&month={MONTH}"))?;
    demo.record()?;
    Ok([planted, demo.save("ci-report-own.html", &format!("report?service={OWN_SERVICE}"))?])
}

struct Demo<'a> {
    stack: &'a Stack,
    agent: &'a Agent,
    bearer: String,
}

impl Demo<'_> {
    /// Asks for regressions. The answer has to be the planted one, and nothing else.
    fn find(&self) -> Result<()> {
        step("Ask for regressions", |_| {
            let found = read_json(self.get(&format!("regressions?{RANGE}"))?, 200)?;
            let items = found["items"].as_array().context("an answer without items")?;
            let [item] = items.as_slice() else { bail!("not one regression, but {}: {found}", items.len()) };
            let planted = ci_documents::regression();
            let names = [
                ("service", planted.service),
                ("command", planted.command),
                ("environment", planted.environment),
                ("firstRunId", &planted.first_run_id),
                ("firstCommitSha", &planted.first_commit_sha),
            ];
            for (name, value) in names {
                ensure!(item[name] == value, "the regression is not the one in the documents, {planted:?}: {item}");
            }
            let seconds = |name: &str| item[name].as_f64().unwrap_or_default();
            let detail = format!(
                "{} · {}: {:+.1} % from {} on, {:.1} s → {:.1} s, p {}; planted were {} %",
                planted.service,
                planted.command,
                seconds("changePercent"),
                planted.first_run_id,
                seconds("beforeMedianSeconds"),
                seconds("afterMedianSeconds"),
                item["pValue"],
                planted.percent,
            );
            Ok(((), detail))
        })
    }

    /// Records a command, uploads what is left of earlier runs of `.ci/run`, and waits until the service lists it.
    fn record(&self) -> Result<()> {
        let run_id = format!("demo-{}", uuid::Uuid::new_v4().simple());
        step("Record a command with ci-run", |_| {
            let analytics = self.stack.program("analytics")?.display().to_string();
            let name = "analytics --help";
            let options = ["--service", OWN_SERVICE, "--name", name, "--run-id", &run_id, "--require-upload"];
            self.ci_run(&[&options[..], &["--", &analytics, "--help"]].concat())?;
            self.ci_run(&["upload"])?;
            Ok(((), format!("ci-run --service {OWN_SERVICE} -- {name}")))
        })?;
        step("Wait until it is stored", |_| {
            let start = Instant::now();
            loop {
                let runs = read_json(self.get(&format!("runs?service={OWN_SERVICE}"))?, 200)?;
                let items = runs["items"].as_array().context("an answer without items")?;
                if let Some(run) = items.iter().find(|run| run["run_id"] == run_id.as_str()) {
                    ensure!(run["status"] == "success", "it is recorded as {run}");
                    return Ok((
                        (),
                        format!("{} runs of this checkout, this one of {} s", items.len(), run["duration_seconds"]),
                    ));
                }
                ensure!(start.elapsed() < STORE_TIMEOUT, "it is not stored after {} s", STORE_TIMEOUT.as_secs());
                pause(Duration::from_millis(200))?;
            }
        })
    }

    fn ci_run(&self, arguments: &[&str]) -> Result<()> {
        let bucket = self.stack.variables().iter().find(|(name, _)| name == "METRICS_BUCKET");
        let (_, bucket) = bucket.context("the stack has no metrics bucket")?;
        let log = self.stack.run().log("ci-run");
        let spec = Spec::new(self.stack.program("ci-run")?)
            .args(arguments.iter().copied())
            .folder(self.stack.checkout().root())
            .envs(self.stack.variables().iter().cloned())
            .env("CI_RUN_BUCKET", bucket)
            .env("CI_RUN_PATH_STYLE", "true")
            .env("CI_RUN_FOLDER", "target/ci-run");
        spec.run(&Output::File(&log)).with_context(|| tail(&log, 10))
    }

    fn save(&self, name: &str, route: &str) -> Result<PathBuf> {
        step("Save the report", |_| {
            let mut response = self.get(route)?;
            ensure!(response.status() == 200, "the report answers {}", response.status());
            let page = response.body_mut().read_to_string()?;
            let folder = self.stack.checkout().local().join("demo");
            std::fs::create_dir_all(&folder)?;
            let path = folder.join(name);
            std::fs::write(&path, page).with_context(|| format!("can't write {}", path.display()))?;
            Ok((path, self.url(route)))
        })
    }

    fn get(&self, route: &str) -> Result<ureq::http::Response<ureq::Body>> {
        Ok(self.agent.get(self.url(route)).header("Authorization", &self.bearer).call()?)
    }

    fn url(&self, route: &str) -> String {
        format!("{}/analytics/v1/ci/{route}", self.stack.api_url())
    }
}
