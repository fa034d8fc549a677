//! The second half of `cargo xtask demo`: CI's documents go into the bucket, a regression comes out.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use terminal::step;
use ureq::Agent;

use crate::{
    client::read_json,
    stack::{Stack, issuer::Claims},
};

use super::ci_documents;

const SCOPE: &str = "analytics:ci:read";
/// The time of the documents, and the month whose evidence the report shows.
const RANGE: &str = "from=2025-10-01&to=2025-11-30";
const MONTH: &str = "2025-11";

/// Plays it and returns the path of the report.
pub(crate) fn play(stack: &Stack, agent: &Agent) -> Result<PathBuf> {
    terminal::heading("CI reports its runs");
    ci_documents::put(stack)?;
    let claims = Claims { issuer: stack.issuer().url(), subject: "engineer", organizations: Vec::new(), scope: SCOPE };
    let demo = Demo { stack, agent, bearer: format!("Bearer {}", stack.key().token(&claims)?) };
    demo.find()?;
    demo.save()
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

    fn save(&self) -> Result<PathBuf> {
        step("Save the report", |_| {
            let route = format!("report?{RANGE}&month={MONTH}");
            let mut response = self.get(&route)?;
            ensure!(response.status() == 200, "the report answers {}", response.status());
            let page = response.body_mut().read_to_string()?;
            let folder = self.stack.checkout().local().join("demo");
            std::fs::create_dir_all(&folder)?;
            let path = folder.join("ci-report.html");
            std::fs::write(&path, page).with_context(|| format!("can't write {}", path.display()))?;
            Ok((path, self.url(&route)))
        })
    }

    fn get(&self, route: &str) -> Result<ureq::http::Response<ureq::Body>> {
        Ok(self.agent.get(self.url(route)).header("Authorization", &self.bearer).call()?)
    }

    fn url(&self, route: &str) -> String {
        format!("{}/analytics/v1/ci/{route}", self.stack.api_url())
    }
}
