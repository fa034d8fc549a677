//! `cargo xtask demo`: a finance user's export, from the request to the reconciled CSV; then CI's report, in `ci`.

mod ci;
mod ci_documents;
mod sums;

use std::{io::IsTerminal as _, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use terminal::step;

use crate::{
    checkout::Checkout,
    client,
    command::{Output, Spec},
    process::{pause, tail},
    stack::{Kind, Stack, issuer::Claims},
};
use sums::Sums;

/// The organization of the sample rollups.
pub(crate) const ORGANIZATION: &str = "123e4567-e89b-12d3-a456-426614174000";
const USER: &str = "7d9f3a52-0c1e-4b8e-9a67-5a3f1c2b8d10";
const START: &str = "2024-01-01T00:00:00Z";
const END: &str = "2024-02-01T00:00:00Z";
const MONTH: &str = "2024-01";
const SCOPE: &str = "analytics:exports:create analytics:exports:read analytics:exports:download";

/// Runs it on a stack of its own.
pub(crate) fn run() -> Result<ExitCode> {
    let stack = Stack::start(Checkout::find()?, "demo", Kind::Plain)?;
    let played = Demo::new(&stack).and_then(|demo| Ok((demo.play()?, ci::play(&stack, &client::agent())?)));
    match played {
        Ok((csv, [report, own])) => {
            terminal::answer(&format!("\nThe CSV is {}", csv.display()));
            terminal::answer(&format!("The CI report, for any browser, is {}", report.display()));
            terminal::answer(&format!("That of this checkout's own runs is {}", own.display()));
            show_pages(&stack);
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            stack.keep_logs();
            Err(error)
        }
    }
}

/// Tells where the same month is in the browser. In a terminal the stack stays until Ctrl-C, so that one can look.
fn show_pages(stack: &Stack) {
    let stays = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    terminal::answer(&format!(
        "\nThe page of the month, for finance, is {}/{ORGANIZATION}/{MONTH}\n\
         To sign in there, enter any name as the subject, {ORGANIZATION} as the organization, and the role controller.",
        stack.pages_url()
    ));
    if !stays {
        terminal::answer("It is there while the demo runs: in a terminal, that is until Ctrl-C; now it ends.");
        return;
    }
    terminal::answer("Ctrl-C stops everything.");
    while pause(Duration::from_millis(500)).is_ok() {}
}

struct Demo<'a> {
    stack: &'a Stack,
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
        Ok(Self { stack, token: stack.key().token(&claims)? })
    }

    fn play(&self) -> Result<PathBuf> {
        terminal::heading("A finance user exports January 2024");
        self.load_rollups()?;
        let folder = self.stack.checkout().local().join("demo");
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(format!("usage-{MONTH}.csv"));
        let file = self.stack.checkout().short(&path).to_string();
        let job = self.analytics(
            "Request it, wait, download",
            &["export", "create", "--month", MONTH, "--json", "--force", "--out", &file],
        )?;
        let job: Value = serde_json::from_str(&job).with_context(|| format!("not a job: {job}"))?;
        let id = job["jobId"].as_str().with_context(|| format!("a job without an id: {job}"))?;
        show(&self.analytics("Verify the file", &["verify", &file, "--job", id])?);
        let csv = std::fs::read(&path).with_context(|| format!("can't read {}", path.display()))?;
        let text = String::from_utf8_lossy(&csv);
        show(&text.lines().take(6).collect::<Vec<_>>().join("\n"));
        terminal::answer(&format!("  … {} lines in all\n", text.lines().count()));
        let reconcile = ["export", "reconcile", id, "--tolerance", "0", "--verify-file"];
        show(&self.analytics("Let the service reconcile", &reconcile)?);
        terminal::answer("");
        self.reconcile(&csv, &job)?;
        Ok(path)
    }

    /// Runs the client of the exports, as the finance user would, and returns its answer.
    fn analytics(&self, label: &str, arguments: &[&str]) -> Result<String> {
        step(label, |_| {
            let client = Spec::new(self.stack.program("analytics")?)
                .args(arguments.iter().copied())
                .folder(self.stack.checkout().root())
                .env("ANALYTICS_URL", self.stack.api_url())
                .env("ANALYTICS_ORGANIZATION", ORGANIZATION)
                .env("ANALYTICS_TOKEN", &self.token);
            let answer = client.read(&self.stack.run().log("analytics"))?;
            Ok((answer, format!("analytics {}", arguments.join(" "))))
        })
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

    /// Compares the sums without the product's code: those of the file's lines with those that SQL computes.
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
        step("Reconcile with SQL", |_| {
            ensure!(sums.rows > 0, "the export is empty");
            ensure!(sums == rollups, "the CSV's sums are not the rollups'");
            ensure!(sums == job, "the CSV's sums are not the job's");
            Ok(((), "CSV, rollups and job agree to the last digit".to_owned()))
        })
    }
}

/// Shows an answer, indented.
fn show(answer: &str) {
    terminal::answer("");
    for line in answer.lines() {
        terminal::answer(format!("  {line}").trim_end());
    }
}
