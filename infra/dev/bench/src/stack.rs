//! The running stack and the functions' binaries, found by the variables that `cargo xtask bench` sets.

use std::{cell::RefCell, collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use postgres::Database;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::{
    event::{self, Http},
    function::{Answer, Binary, Function},
    process::{Process, postgres_cpu},
};

/// The stack.
pub(crate) struct Stack {
    pub(crate) runtime: Runtime,
    pub(crate) database: Database,
    pub(crate) binaries: Vec<Binary>,
    /// The first instant of the month whose usage is exported: the last whole one of 31 days.
    pub(crate) month: Timestamp,
    objects: aws_sdk_s3::Client,
    bucket: String,
    /// A queue that nobody reads, for the API.
    queue_url: String,
    token: String,
    /// The organizations of the token that have no usage yet.
    organizations: RefCell<Vec<Uuid>>,
    postgres_data: PathBuf,
    emulator: Process,
}

/// A finished export.
#[derive(Debug)]
pub(crate) struct Export {
    pub(crate) checksum: String,
    pub(crate) rows: u64,
    /// From the message's handing over to the worker's answer.
    pub(crate) took: Duration,
    /// The CPU time that it took.
    pub(crate) cost: Cost,
}

/// CPU time, by process.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) function: Duration,
    pub(crate) postgres: Duration,
    pub(crate) emulator: Duration,
}

impl Cost {
    /// The cost since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            function: self.function.saturating_sub(before.function),
            postgres: self.postgres.saturating_sub(before.postgres),
            emulator: self.emulator.saturating_sub(before.emulator),
        }
    }
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.function += other.function;
        self.postgres += other.postgres;
        self.emulator += other.emulator;
    }
}

impl Stack {
    /// Connects to the stack.
    pub(crate) fn from_env() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let sdk = platform::aws::sdk_config()?;
        // A bucket is no host name that resolves here.
        let objects = aws_sdk_s3::config::Builder::from(&sdk).force_path_style(true).build();
        let queue = aws_sdk_sqs::Client::new(&sdk).create_queue().queue_name("bench").send();
        let queue_url = runtime.block_on(queue)?.queue_url.context("a queue without an address")?;
        let organizations = variable("BENCH_ORGANIZATIONS")?;
        let organizations = organizations.split(',').map(str::parse).collect::<Result<_, _>>()?;
        let folder = PathBuf::from(variable("BENCH_LOGS")?);
        let paths: BTreeMap<String, PathBuf> = serde_json::from_str(&variable("BENCH_FUNCTIONS")?)?;
        let binaries = paths.into_iter().map(|(name, path)| {
            let log = folder.join(format!("bench-{name}.log"));
            Binary { name, path, log }
        });
        Ok(Self {
            // Its connection is a task of this runtime.
            database: Database::from_env("analytics-exports-bench")?,
            binaries: binaries.collect(),
            month: month()?,
            objects: aws_sdk_s3::Client::from_conf(objects),
            bucket: variable("EXPORTS_BUCKET")?,
            queue_url,
            token: variable("BENCH_TOKEN")?,
            organizations: RefCell::new(organizations),
            postgres_data: variable("POSTGRES_DATA")?.into(),
            emulator: Process(variable("EMULATOR_PID")?.parse().context("EMULATOR_PID is no process id")?),
            runtime,
        })
    }

    /// Takes an organization without usage.
    pub(crate) fn organization(&self) -> Result<Uuid> {
        self.organizations.borrow_mut().pop().context("BENCH_ORGANIZATIONS are used up")
    }

    /// Starts a function.
    pub(crate) fn start(&self, name: &str) -> Result<Function> {
        let binary = self.binaries.iter().find(|binary| binary.name == name);
        let binary = binary.with_context(|| format!("there is no function {name}"))?;
        self.start_binary(binary)
    }

    /// Starts a function.
    pub(crate) fn start_binary(&self, binary: &Binary) -> Result<Function> {
        let limits = [u32::MAX; 3].map(|limit| limit.to_string()).join(",");
        let variables = [
            ("EXPORTS_QUEUE_URL", self.queue_url.clone()),
            ("OPEN_JOBS_CAP", u32::MAX.to_string()),
            ("DAILY_LIMITS", limits),
        ];
        Function::start(binary, &variables)
    }

    /// A request with a token for all the organizations.
    pub(crate) fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Vec<u8>> {
        event::http(&Http { method, path, token: &self.token, body })
    }

    /// Has the API create a job, and returns its id.
    pub(crate) fn create(&self, api: &mut Function, org: Uuid, request: &Value) -> Result<Uuid> {
        let answer = api.invoke(&self.request("POST", &format!("/orgs/{org}/exports"), Some(request))?)?;
        let job = expect(&answer, 202)?;
        Ok(job["jobId"].as_str().context("a job without an id")?.parse()?)
    }

    /// Has the API create a job and the worker do it, checks that it succeeded, and removes its file.
    pub(crate) fn export(
        &self,
        api: &mut Function,
        worker: &mut Function,
        org: Uuid,
        request: &Value,
    ) -> Result<Export> {
        let job = self.create(api, org, request)?;
        let before = self.cost(worker)?;
        let answer = worker.invoke(&event::message(org, job)?)?;
        let cost = self.cost(worker)?.since(before);
        let returned: Value = serde_json::from_slice(&answer.body)?;
        ensure!(returned["batchItemFailures"] == json!([]), "the worker returned the message of job {job}");
        let shown = api.invoke(&self.request("GET", &format!("/orgs/{org}/exports/{job}"), None)?)?;
        let shown = expect(&shown, 200)?;
        ensure!(shown["status"] == "succeeded", "job {job} did not succeed: {shown}");
        let key = format!("analytics/exports/{org}/{job}.csv");
        let delete = self.objects.delete_object().bucket(&self.bucket).key(key).send();
        self.runtime.block_on(delete).context("can't delete a file that was made")?;
        Ok(Export {
            checksum: shown["checksum"].as_str().context("a file without a checksum")?.to_owned(),
            rows: shown["rowCount"].as_u64().context("a file without a row count")?,
            took: answer.took,
            cost,
        })
    }

    /// The CPU time so far of a function and of what it calls.
    pub(crate) fn cost(&self, function: &Function) -> Result<Cost> {
        Ok(Cost { function: function.process().cpu()?, postgres: self.postgres_cpu()?, emulator: self.emulator.cpu()? })
    }

    /// The CPU time of PostgreSQL so far.
    pub(crate) fn postgres_cpu(&self) -> Result<Duration> {
        postgres_cpu(&self.postgres_data)
    }
}

/// The body of an API's answer, if its status is the expected one.
pub(crate) fn expect(answer: &Answer, status: u16) -> Result<Value> {
    let response: Value = serde_json::from_slice(&answer.body)?;
    if response["statusCode"] != status {
        bail!("the API answers {response}, not {status}");
    }
    let body = response["body"].as_str().with_context(|| format!("the API answers {response}, without a body"))?;
    serde_json::from_str(body).with_context(|| format!("the API answers {body}, which is not JSON"))
}

fn month() -> Result<Timestamp> {
    let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
    let mut month = today.first_of_month().checked_sub(1.month())?;
    while month.days_in_month() < 31 {
        month = month.checked_sub(1.month())?;
    }
    Ok(month.to_zoned_datetime(TimeZone::UTC)?.timestamp())
}

/// A variable that has to be set.
pub(crate) fn variable(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set; run `cargo xtask bench`"))
}
