//! The running stack and the functions' binaries, found by the variables that `cargo xtask bench` sets.

use std::{cell::RefCell, collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use aws_sdk_s3::config::Credentials;
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use postgres::Database;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::{
    event::{self, Http},
    function::{Answer, Binary, Function},
    process::{Process, postgres_cpu},
    queue::Queue,
};

/// The stack.
pub(crate) struct Stack {
    pub(crate) runtime: Runtime,
    pub(crate) database: Database,
    pub(crate) binaries: Vec<Binary>,
    /// The first instant of the month whose usage is exported: the last whole one of 31 days.
    pub(crate) month: Timestamp,
    /// The name of the store of files, if it is not the emulator.
    pub(crate) store: Option<String>,
    objects: aws_sdk_s3::Client,
    bucket: String,
    pub(crate) sqs: aws_sdk_sqs::Client,
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
        let mut objects = aws_sdk_s3::config::Builder::from(&sdk).force_path_style(true);
        let store = std::env::var("EXPORTS_STORE").ok();
        if store.is_some() {
            let [id, secret] = [variable("EXPORTS_ACCESS_KEY_ID")?, variable("EXPORTS_SECRET_ACCESS_KEY")?];
            objects = objects.endpoint_url(variable("AWS_ENDPOINT_URL_S3")?);
            objects = objects.credentials_provider(Credentials::new(id, secret, None, None, "environment"));
        }
        let sqs = aws_sdk_sqs::Client::new(&sdk);
        let queue = sqs.create_queue().queue_name("bench").send();
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
            store,
            objects: aws_sdk_s3::Client::from_conf(objects.build()),
            bucket: variable("EXPORTS_BUCKET")?,
            sqs,
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
        self.start_binary(self.binary(name)?)
    }

    /// Finds a function's program.
    pub(crate) fn binary(&self, name: &str) -> Result<&Binary> {
        let binary = self.binaries.iter().find(|binary| binary.name == name);
        binary.with_context(|| format!("there is no function {name}"))
    }

    /// Starts a function.
    pub(crate) fn start_binary(&self, binary: &Binary) -> Result<Function> {
        Function::start(binary, &variables(&self.queue_url))
    }

    /// Starts a function with another queue of exports.
    pub(crate) fn start_on(&self, name: &str, queue: &Queue) -> Result<Function> {
        Function::start(self.binary(name)?, &variables(&queue.url))
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
        self.remove_file(org, job, 1)?;
        Ok(Export {
            checksum: shown["checksum"].as_str().context("a file without a checksum")?.to_owned(),
            rows: shown["rowCount"].as_u64().context("a file without a row count")?,
            took: answer.took,
            cost,
        })
    }

    /// Removes the file of a job's attempt.
    pub(crate) fn remove_file(&self, org: Uuid, job: Uuid, attempt: u32) -> Result<()> {
        let number = if attempt == 1 { String::new() } else { format!(".{attempt}") };
        let key = format!("analytics/exports/{org}/{job}{number}.csv");
        let delete = self.objects.delete_object().bucket(&self.bucket).key(key).send();
        self.runtime.block_on(delete).context("can't delete a file that was made")?;
        Ok(())
    }

    /// The CPU time so far of a function and of what it calls.
    pub(crate) fn cost(&self, function: &Function) -> Result<Cost> {
        Ok(Cost { function: function.process().cpu()?, postgres: self.postgres_cpu()?, emulator: self.emulator.cpu()? })
    }

    /// The CPU time of the emulator so far.
    pub(crate) fn emulator_cpu(&self) -> Result<Duration> {
        self.emulator.cpu()
    }

    /// The CPU time of PostgreSQL so far.
    pub(crate) fn postgres_cpu(&self) -> Result<Duration> {
        postgres_cpu(&self.postgres_data)
    }
}

/// The variables in which the functions of the bench differ from those of the stack: no limit ends a measurement.
pub(crate) fn variables(queue_url: &str) -> Vec<(&'static str, String)> {
    let limits = [u32::MAX; 3].map(|limit| limit.to_string()).join(",");
    vec![("EXPORTS_QUEUE_URL", queue_url.to_owned()), ("OPEN_JOBS_CAP", u32::MAX.to_string()), ("DAILY_LIMITS", limits)]
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
