//! `cargo xtask demo`: a finance user's export, from the request to the reconciled CSV; then CI's report, in `ci`.

mod ci;
mod ci_documents;
mod sums;

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use terminal::step;
use ureq::Agent;

use crate::{
    checkout::Checkout,
    client::{self, read_json},
    command::Output,
    process::{pause, tail},
    stack::{Kind, Stack, issuer::Claims},
};
use sums::Sums;

/// The organization of the sample rollups.
pub(crate) const ORGANIZATION: &str = "123e4567-e89b-12d3-a456-426614174000";
const USER: &str = "7d9f3a52-0c1e-4b8e-9a67-5a3f1c2b8d10";
const START: &str = "2024-01-01T00:00:00Z";
const END: &str = "2024-01-31T23:59:59Z";
const SCOPE: &str = "analytics:exports:create analytics:exports:read analytics:exports:download";
/// The time that the export may take: it takes a second, and longer on a busy machine.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(120);

/// Runs it on a stack of its own.
pub(crate) fn run() -> Result<ExitCode> {
    let stack = Stack::start(Checkout::find()?, "demo", Kind::Plain)?;
    let played = Demo::new(&stack).and_then(|demo| Ok((demo.play()?, ci::play(&stack, &demo.agent)?)));
    match played {
        Ok((csv, report)) => {
            terminal::answer(&format!("\nThe CSV is {}", csv.display()));
            terminal::answer(&format!("The CI report, for any browser, is {}", report.display()));
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            stack.keep_logs();
            Err(error)
        }
    }
}

struct Demo<'a> {
    stack: &'a Stack,
    agent: Agent,
    token: String,
}

impl<'a> Demo<'a> {
    fn new(stack: &'a Stack) -> Result<Self> {
        let claims = Claims {
            issuer: stack.issuer().url(),
            subject: USER,
            organizations: vec![ORGANIZATION.to_owned()],
            scope: SCOPE,
        };
        Ok(Self { stack, agent: client::agent(), token: stack.key().token(&claims)? })
    }

    fn play(&self) -> Result<PathBuf> {
        terminal::heading("A finance user exports January 2024");
        self.load_rollups()?;
        let id = self.create()?;
        let job = self.poll(&id)?;
        let link = self.link(&id)?;
        let (csv, path) = self.download(&link, &id)?;
        self.verify(&csv, &job)?;
        let text = String::from_utf8_lossy(&csv);
        terminal::answer("");
        for line in text.lines().take(6) {
            terminal::answer(&format!("  {line}"));
        }
        terminal::answer(&format!("  … {} lines in all\n", text.lines().count()));
        self.reconcile(&csv, &job)?;
        Ok(path)
    }

    fn load_rollups(&self) -> Result<()> {
        step("Load sample rollups", |_| {
            let sample = self.stack.checkout().infra("sample.sql");
            let psql =
                self.stack.postgres().query().args(["--set", &format!("org={ORGANIZATION}"), "--file"]).arg(sample);
            let log = self.stack.run().log("sample");
            psql.run(&Output::File(&log)).with_context(|| tail(&log, 10))?;
            Ok(((), format!("organization {ORGANIZATION}")))
        })
    }

    fn create(&self) -> Result<String> {
        step("Request the export", |_| {
            let body = json!({"timeRange": {"start": START, "end": END}, "granularity": "daily"});
            let response = self.agent.post(self.url("")).header("Authorization", self.bearer()).send_json(&body)?;
            let job = read_json(response, 202)?;
            ensure!(job["status"] == "pending", "a new job should be pending: {job}");
            let id = job["jobId"].as_str().with_context(|| format!("a job without an id: {job}"))?.to_owned();
            Ok((id.clone(), format!("202, job {id}")))
        })
    }

    fn poll(&self, id: &str) -> Result<Value> {
        step("Wait for it", |step| {
            let start = Instant::now();
            let mut seen = vec!["pending".to_owned()];
            loop {
                let url = self.url(&format!("/{id}"));
                let job = read_json(self.agent.get(url).header("Authorization", self.bearer()).call()?, 200)?;
                let status = job["status"].as_str().unwrap_or_default().to_owned();
                if seen.last() != Some(&status) {
                    seen.push(status.clone());
                }
                step.at(seen.join(" → "));
                match status.as_str() {
                    "succeeded" => return Ok((job, seen.join(" → "))),
                    "failed" | "expired" => bail!("the job is {status}: {}", job["error"]),
                    _ if start.elapsed() > EXPORT_TIMEOUT => bail!("the job is still {status} after two minutes"),
                    _ => pause(Duration::from_millis(100))?,
                }
            }
        })
    }

    /// Asks for the download; follows nothing, so that the token stays here.
    fn link(&self, id: &str) -> Result<String> {
        step("Ask for the file", |_| {
            let url = self.url(&format!("/{id}/download"));
            let response = self.agent.get(url).header("Authorization", self.bearer()).call()?;
            ensure!(response.status() == 302, "the download answers {}, not 302", response.status());
            let location = response.headers().get("location").and_then(|value| value.to_str().ok());
            let link = location.context("a redirect without a location")?.to_owned();
            ensure!(!link.starts_with(&self.stack.api_url()), "the redirect leads to the API itself");
            let place = link.split('?').next().unwrap_or_default().to_owned();
            Ok((link, format!("302 to {place}")))
        })
    }

    fn download(&self, link: &str, id: &str) -> Result<(Vec<u8>, PathBuf)> {
        step("Download it, without the token", |_| {
            let mut response = self.agent.get(link).call()?;
            ensure!(response.status() == 200, "the object store answers {}", response.status());
            let disposition = response.headers().get("content-disposition").and_then(|value| value.to_str().ok());
            let name = file_name(disposition).unwrap_or_else(|| format!("{id}.csv"));
            let csv = response.body_mut().with_config().limit(1 << 30).read_to_vec()?;
            let folder = self.stack.checkout().local().join("demo");
            std::fs::create_dir_all(&folder)?;
            let path = folder.join(name);
            std::fs::write(&path, &csv).with_context(|| format!("can't write {}", path.display()))?;
            let detail = format!("{} bytes", csv.len());
            Ok(((csv, path), detail))
        })
    }

    fn verify(&self, csv: &[u8], job: &Value) -> Result<()> {
        step("Verify the checksum", |_| {
            let checksum = format!("sha256:{}", hex::encode(Sha256::digest(csv)));
            ensure!(job["checksum"] == checksum.as_str(), "the file has {checksum}, the job says {}", job["checksum"]);
            Ok(((), checksum))
        })
    }

    fn reconcile(&self, csv: &[u8], job: &Value) -> Result<()> {
        let sums = Sums::of_csv(csv, ORGANIZATION)?;
        let query = format!(
            "select count(*), sum(request_count), sum(tokens_total), sum(error_count), sum(cost_total) \
             from analytics_daily_rollups where organization_id = '{ORGANIZATION}' \
             and bucket_start >= '{START}' and bucket_start < '{END}'"
        );
        let answer = self.stack.postgres().query().args(["--command", &query]).read(&self.stack.run().log("query"))?;
        let rollups = Sums::of_query(&answer)?;
        let job = Sums::of_job(job)?;
        terminal::answer(&format!("  {:<14}{:>20}{:>20}{:>20}", "", "CSV", "rollups", "job"));
        for ((name, csv), ((_, rollups), (_, job))) in sums.table().iter().zip(rollups.table().iter().zip(job.table()))
        {
            terminal::answer(&format!("  {name:<14}{csv:>20}{rollups:>20}{job:>20}"));
        }
        terminal::answer("");
        step("Reconcile", |_| {
            ensure!(sums.rows > 0, "the export is empty");
            ensure!(sums == rollups, "the CSV's sums are not the rollups'");
            ensure!(sums == job, "the CSV's sums are not the job's");
            Ok(((), "CSV, rollups and job agree to the last digit".to_owned()))
        })
    }

    fn url(&self, path: &str) -> String {
        format!("{}/analytics/v1/orgs/{ORGANIZATION}/exports{path}", self.stack.api_url())
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }
}

/// The file's name from `Content-Disposition`, if it is a plain one.
fn file_name(disposition: Option<&str>) -> Option<String> {
    let name = disposition?.split("filename=\"").nth(1)?.split('"').next()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (name.chars().all(plain) && !name.starts_with('.') && !name.is_empty()).then(|| name.to_owned())
}
