//! `template.yaml`, deployed to the emulator by `infra/dev/local/deploy.py`, or to LocalStack by
//! `infra/dev/localstack/deploy.py`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{binaries::Binaries, checkout::Checkout, command::Spec, private_file, run_folder::RunFolder};

use super::{
    aws::Aws,
    issuer::{AUDIENCE, Client, Issuer},
    postgres::Postgres,
};

/// Name of the stack.
pub(crate) const STACK: &str = "analytics-exports";
/// Name of the bucket of the CSV files.
pub(crate) const BUCKET: &str = "analytics-exports";
/// Name of the bucket of CI's documents.
const METRICS_BUCKET: &str = "ai-aas-build-metrics";

/// The variables that belong to one function: the secrets of the key that signs links and of a login, and what deploy.py
/// adds where invocations are forwarded.
const OWN: [&str; 3] = ["EXPORTS_LINK_SECRET", "DATABASE_SECRET", "MINISTACK_LAMBDA_PROXY_URL"];

/// The functions of the way from a request to its file.
pub(crate) const TRACED: [&str; 3] = ["api", "worker", "sweep"];

/// The settings in which one stack differs from others.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    /// Parameters of the template.
    pub(crate) parameters: BTreeMap<&'static str, String>,
    /// Variables of functions, by the name of the binary, changed after the deploy.
    pub(crate) changes: BTreeMap<&'static str, BTreeMap<&'static str, String>>,
}

impl Settings {
    /// Settings with these parameters.
    pub(crate) fn of<const N: usize>(parameters: [(&'static str, &str); N]) -> Self {
        let parameters = parameters.map(|(name, value)| (name, value.to_owned())).into();
        Self { parameters, ..Self::default() }
    }

    /// Settings with which the functions of an export send traces to this address, if there is one.
    pub(crate) fn with_traces_to(address: Option<String>) -> Self {
        let Some(address) = address.filter(|address| !address.is_empty()) else { return Self::default() };
        let mut settings = Self::of([("Tracing", "Active")]);
        for function in TRACED {
            settings.changes.entry(function).or_default().insert("AWS_XRAY_DAEMON_ADDRESS", address.clone());
        }
        settings
    }
}

/// A deployed stack, as CloudFormation and Lambda describe it.
#[derive(Debug)]
pub(crate) struct Deployed {
    answer: Value,
}

impl Deployed {
    /// An output of the template.
    pub(crate) fn output(&self, name: &str) -> Result<String> {
        text(&self.answer["outputs"][name]).with_context(|| format!("template.yaml has no output {name}"))
    }

    /// The names of the functions, each by that of its binary.
    pub(crate) fn functions(&self) -> impl Iterator<Item = (&str, String)> {
        let functions = self.answer["functions"].as_object().into_iter().flatten();
        functions.filter_map(|(binary, name)| Some((binary.as_str(), text(name)?)))
    }

    /// The variables of all functions together: for one that is started by hand, or by `cargo lambda watch`.
    ///
    /// Without the secrets of single functions: the administrator's credentials sign links as well, and a login is another
    /// for each function.
    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        let functions = self.answer["variables"].as_object().into_iter().flatten();
        let variables = functions.filter_map(|(_, variables)| variables.as_object()).flatten();
        variables
            .filter(|(name, _)| !OWN.contains(&name.as_str()))
            .filter_map(|(name, value)| Some((name.clone(), text(value)?)))
            .collect()
    }

    /// The queues that LocalStack's triggers read.
    pub(crate) fn sources(&self) -> &Value {
        &self.answer["sources"]
    }

    /// The id of the HTTP API, which is the first label of its address.
    pub(crate) fn api_id(&self) -> Result<String> {
        let url = self.output("ApiUrl")?;
        let id = url.split("//").nth(1).and_then(|host| host.split('.').next());
        id.map(str::to_owned).with_context(|| format!("{url} is no address of an API"))
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// Runs the Python programs of `infra/dev/local`, as administrator of the emulator.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deployer<'a> {
    pub(crate) checkout: &'a Checkout,
    pub(crate) run: &'a RunFolder,
    pub(crate) aws: &'a Aws,
}

impl Deployer<'_> {
    /// Deploys the template; `invoke` is the address that serves all invocations in place of the binaries.
    pub(crate) fn deploy(
        self,
        [issuer, partner]: [&Issuer; 2],
        client: &Client,
        postgres: &Postgres,
        binaries: &Binaries,
        invoke: Option<&str>,
        settings: &Settings,
    ) -> Result<Deployed> {
        let mut request = json!({
            "template": self.checkout.template(),
            "stack": STACK,
            "parameters": {
                "DatabaseUrl": postgres.address(),
                "Issuer": issuer.url(),
                "Audience": AUDIENCE,
                "JwksUrl": issuer.keys_url(),
                "TokenIssuers": partner.partner_settings().to_string(),
                "LoginClientId": client.id,
                "LoginUrl": client.origin,
                "ExportsBucketName": BUCKET,
                "MetricsBucketName": METRICS_BUCKET,
                "Architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" },
                "WorkerTimeout": "300",
                // Not in the emulator: a stack that outlives its run, TLS, and access keys from templates.
                "DeletionProtection": "false",
                "RequireTls": "false",
                "CreateDownloadKey": "false",
            },
            "clientSecret": client.secret,
            "database": {"url": postgres.url(), "psql": postgres.client()},
            "binaries": binaries,
            "invoke": invoke,
            "changes": settings.changes,
        });
        for (name, value) in &settings.parameters {
            request["parameters"][name] = json!(value);
        }
        let path = self.run.path("deploy.json");
        private_file::write(&path, &request.to_string())?;
        let spec = self.python(self.aws.deployer(self.checkout)).arg(path);
        let answer = spec.read(&self.run.log("deploy")).context("can't deploy template.yaml")?;
        let answer = serde_json::from_str(&answer).context("deploy.py gave no answer")?;
        Ok(Deployed { answer })
    }

    /// Saves the functions' logs beside the others. Watched functions log to the watch's own log.
    pub(crate) fn save_function_logs(self) -> Result<()> {
        if self.aws.is_local_stack() {
            return Ok(());
        }
        let text = self.python(self.checkout.infra("logs.py")).read(&self.run.log("logs"))?;
        Ok(std::fs::write(self.run.log("functions"), text)?)
    }

    /// Puts the objects of a file into the metrics bucket.
    pub(crate) fn put_objects(self, file: &Path) -> Result<()> {
        let spec = self.python(self.checkout.infra("put.py")).env("METRICS_BUCKET", METRICS_BUCKET).arg(file);
        spec.read(&self.run.log("put")).context("can't put the objects").map(drop)
    }

    /// Disables the schedules.
    pub(crate) fn stand_still(self) -> Result<()> {
        let spec = self.python(self.checkout.infra("still.py"));
        spec.read(&self.run.log("still")).context("can't disable the schedules").map(drop)
    }

    fn python(self, program: PathBuf) -> Spec {
        self.run.tool(self.checkout.tool("python")).envs(self.aws.environment()).arg(program)
    }
}
