//! The second half of `cargo xtask demo`: CI's documents go into the bucket, a regression comes out.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use ureq::Agent;

use crate::{
    demo::read_json,
    deploy,
    issuer::Claims,
    process::pause,
    progress::{self, step},
    stack::Stack,
};

const SCOPE: &str = "analytics:ci:read";
/// They take a few seconds; this is for a machine with something else to do.
const PATIENCE: Duration = Duration::from_secs(180);

/// Plays it, and says where the report is.
pub(crate) fn play(stack: &Stack, agent: &Agent) -> Result<PathBuf> {
    progress::heading("CI reports its runs");
    let claims = Claims { issuer: stack.issuer().url(), subject: "engineer", organizations: Vec::new(), scope: SCOPE };
    let demo = Demo { stack, agent, bearer: format!("Bearer {}", stack.key().token(&claims)?) };
    let (documents, planted) = demo.put()?;
    demo.wait(documents)?;
    demo.find(&planted)?;
    demo.save()
}

struct Demo<'a> {
    stack: &'a Stack,
    agent: &'a Agent,
    bearer: String,
}

impl Demo<'_> {
    /// Puts the documents; gives their number, and the run from which on a command is slower.
    fn put(&self) -> Result<(u64, Value)> {
        step("Put documents into the bucket", |_| {
            let answer = deploy::put_runs(self.stack)?;
            let documents = answer["documents"].as_u64().context("no number of documents")?;
            let planted = answer["planted"].clone();
            let detail = format!("{documents}, of which those from {} on are 30 % slower", planted["run_id"]);
            Ok(((documents, planted), detail))
        })
    }

    fn wait(&self, documents: u64) -> Result<()> {
        step("Wait until all are read", |step| {
            let start = Instant::now();
            loop {
                let query = "select count(*) from ci_runs";
                let psql = self.stack.postgres().query().args(["--command", query]);
                let read: u64 = psql.read(&self.stack.run().log("query"))?.trim().parse()?;
                step.at(usize::try_from(read)?, usize::try_from(documents)?, "runs");
                if read == documents {
                    return Ok(((), format!("{read} runs")));
                }
                if start.elapsed() > PATIENCE {
                    bail!("only {read} of {documents} documents are read after three minutes");
                }
                pause(Duration::from_millis(200))?;
            }
        })
    }

    fn find(&self, planted: &Value) -> Result<()> {
        step("Ask for regressions", |_| {
            let found = read_json(self.get("regressions")?, 200)?;
            let items = found["items"].as_array().context("an answer without items")?;
            let [item] = items.as_slice() else { bail!("not one regression, but {}: {found}", items.len()) };
            let same = ["service", "command", "environment"].iter().all(|name| item[name] == planted[name])
                && item["firstRunId"] == planted["run_id"]
                && item["firstCommitSha"] == planted["commit_sha"];
            ensure!(same, "the regression that was found is not the one that was planted: {item}");
            let seconds = |name: &str| item[name].as_f64().unwrap_or_default();
            let series = ["service", "command", "environment"].map(|name| item[name].as_str().unwrap_or_default());
            let detail = format!(
                "{}: +{:.1} % from {} on, {:.1} s → {:.1} s, p {}",
                series.join(" · "),
                seconds("changePercent"),
                item["firstRunId"].as_str().unwrap_or_default(),
                seconds("beforeMedianSeconds"),
                seconds("afterMedianSeconds"),
                item["pValue"],
            );
            Ok(((), detail))
        })
    }

    fn save(&self) -> Result<PathBuf> {
        step("Save the report", |_| {
            let mut response = self.get("report")?;
            ensure!(response.status() == 200, "the report answers {}", response.status());
            let page = response.body_mut().read_to_string()?;
            let folder = self.stack.checkout().local().join("demo");
            std::fs::create_dir_all(&folder)?;
            let path = folder.join("ci-report.html");
            std::fs::write(&path, page).with_context(|| format!("can't write {}", path.display()))?;
            Ok((path, self.url("report")))
        })
    }

    fn get(&self, route: &str) -> Result<ureq::http::Response<ureq::Body>> {
        Ok(self.agent.get(self.url(route)).header("Authorization", &self.bearer).call()?)
    }

    fn url(&self, route: &str) -> String {
        format!("{}/analytics/v1/ci/{route}", self.stack.api_url())
    }
}
