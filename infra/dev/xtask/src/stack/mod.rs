//! One whole stack: PostgreSQL, AWS by an emulator or LocalStack, the deployed template, the token issuers and the API's address.

mod aws;
mod custom_domain;
pub(crate) mod deploy;
pub(crate) mod emulator;
mod fault_proxies;
pub(crate) mod issuer;
mod local_stack;
mod postgres;
mod receiver;
pub(crate) mod store;
mod watch;

use std::{
    env,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    binaries::{self, Binaries},
    checkout::Checkout,
    client,
    command::{Output, Spec},
    process::{interrupted, pause, wait_for},
    run_folder::RunFolder,
    venv,
};
use aws::Aws;
use custom_domain::CustomDomain;
use deploy::{Deployed, Deployer, Settings};
use issuer::{Client, Issuer, Key};
use postgres::Postgres;
pub(crate) use postgres::psql;
use store::{Product, Store};
use watch::Watch;

/// The use of a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// To use it.
    Plain,
    /// To edit the functions while it runs.
    Watched,
    /// To use it, with S3, SQS, EventBridge and CloudFormation of LocalStack, and the functions watched.
    LocalStack,
    /// To disturb it: whoever uses it has to listen at the ports through which the functions reach the services.
    Disturbed,
}

/// A running stack. It stops when this is dropped: the parts in this order, the data last.
#[derive(Debug)]
pub(crate) struct Stack {
    watch: Option<Watch>,
    aws: Aws,
    postgres: Postgres,
    variables: Vec<(String, String)>,
    issuer: Issuer,
    key: Key,
    domain: CustomDomain,
    binaries: Binaries,
    checkout: Checkout,
    run: RunFolder,
}

impl Stack {
    /// Installs, builds, starts and deploys everything. `name` is the run's folder's.
    pub(crate) fn start(checkout: Checkout, name: &str, kind: Kind) -> Result<Self> {
        Self::start_with(checkout, name, kind, None)
    }

    /// Starts a stack whose files are in another store than the emulator's.
    pub(crate) fn start_on(checkout: Checkout, name: &str, store: &Store) -> Result<Self> {
        Self::start_with(checkout, name, Kind::Plain, Some(store))
    }

    fn start_with(checkout: Checkout, name: &str, kind: Kind, store: Option<&Store>) -> Result<Self> {
        venv::ensure(&checkout)?;
        let run = RunFolder::start(&checkout, name)?;
        match Parts::start(&checkout, &run, kind, store) {
            Ok(parts) => Ok(parts.into_stack(checkout, run)),
            Err(error) if interrupted() => Err(error),
            Err(error) => Err(match run.keep_logs() {
                Some(logs) => {
                    error.context(format!("the stack did not start; its logs are in {}", checkout.short(logs)))
                }
                None => error,
            }),
        }
    }

    /// The environment of programs that use the stack.
    pub(crate) fn variables(&self) -> &[(String, String)] {
        &self.variables
    }

    /// The path of one of the workspace's programs.
    pub(crate) fn program(&self, name: &str) -> Result<&Path> {
        self.binaries.get(name).map(PathBuf::as_path).with_context(|| format!("the workspace has no program `{name}`"))
    }

    /// The part of the API's address before `/analytics/v1`.
    pub(crate) fn api_url(&self) -> String {
        self.domain.url()
    }

    /// The address of the pages for people.
    pub(crate) fn pages_url(&self) -> String {
        format!("{}/finance", self.domain.url())
    }

    pub(crate) fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    pub(crate) fn postgres(&self) -> &Postgres {
        &self.postgres
    }

    pub(crate) fn aws(&self) -> &Aws {
        &self.aws
    }

    pub(crate) fn checkout(&self) -> &Checkout {
        &self.checkout
    }

    /// The folder of this run.
    pub(crate) fn run(&self) -> &RunFolder {
        &self.run
    }

    /// An error if a part of the stack has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.postgres.check(&self.run)?;
        self.aws.check()?;
        self.watch.as_mut().map_or(Ok(()), Watch::check)
    }

    /// Runs a program to its end and returns whether it succeeded. A PostgreSQL that ends meanwhile is restarted, as by
    /// a service manager.
    pub(crate) fn attend(&mut self, spec: Spec) -> Result<bool> {
        let mut child = spec.spawn(&Output::Inherit)?;
        loop {
            if let Some(status) = child.ended()? {
                return Ok(status.success());
            }
            self.aws.check()?;
            if self.postgres.ended()? {
                pause(Duration::from_secs(1))?;
                self.postgres.restart()?;
            }
            pause(Duration::from_millis(50))?;
        }
    }

    /// The deployer of this stack.
    pub(crate) fn deployer(&self) -> Deployer<'_> {
        Deployer { checkout: &self.checkout, run: &self.run, aws: &self.aws }
    }

    /// Keeps the logs, with those of the functions, and prints where they are.
    pub(crate) fn keep_logs(&self) {
        if interrupted() {
            return;
        }
        if let Err(error) = self.deployer().save_function_logs() {
            terminal::note(&format!("can't save the functions' logs: {error:#}"));
        }
        if let Some(logs) = self.run.keep_logs() {
            terminal::note(&format!("the logs are in {}", self.checkout.short(logs)));
        }
    }
}

/// The parts while they start.
#[derive(Debug)]
struct Parts {
    watch: Option<Watch>,
    aws: Aws,
    postgres: Postgres,
    issuer: Issuer,
    key: Key,
    domain: CustomDomain,
    binaries: Binaries,
    variables: Vec<(String, String)>,
}

impl Parts {
    fn start(checkout: &Checkout, run: &RunFolder, kind: Kind, store: Option<&Store>) -> Result<Self> {
        let key = Key::of(checkout)?;
        let domain = CustomDomain::start()?;
        let client = Client::of(&domain.url())?;
        let issuer = Issuer::start(&key, Some(client.clone()))?;
        let partner = Issuer::start(&Key::of_partner(checkout)?, None)?;
        // These two take a second to start: meanwhile Cargo looks whether there is anything to build.
        let is_local_stack = kind == Kind::LocalStack;
        let aws = Aws::start(checkout, run, is_local_stack)?;
        let setup = postgres::set_up(checkout, run, issuer::secret()?)?;
        let binaries = binaries::build(checkout)?;
        let postgres = terminal::step("Starting PostgreSQL", |_| {
            let postgres = setup.start()?;
            let detail = format!("127.0.0.1:{}", postgres.port());
            Ok((postgres, detail))
        })?;
        let label = if is_local_stack { "Starting LocalStack" } else { "Starting the AWS emulator" };
        let mut aws = terminal::step(label, |_| {
            let aws = aws.ready(checkout, run)?;
            let detail = aws.url();
            Ok((aws, detail))
        })?;
        let port = matches!(kind, Kind::Watched | Kind::LocalStack).then(postgres::free_port).transpose()?;
        let (mut settings, of_suite) = match kind {
            Kind::Disturbed => fault_proxies::settings(aws.emulator(), &postgres, &issuer)?,
            // Soon enough for a test to wait.
            Kind::LocalStack => (Settings::of([("SweepMinutes", "2")]), Vec::new()),
            Kind::Plain | Kind::Watched => {
                (Settings::with_traces_to(env::var("AWS_XRAY_DAEMON_ADDRESS").ok()), Vec::new())
            }
        };
        settings.parameters.extend(store.into_iter().flat_map(Store::parameters));
        let receiver = receiver::add(&mut settings, domain.url())?;
        let deployed = terminal::step("Deploying template.yaml", |_| {
            let deployer = Deployer { checkout, run, aws: &aws };
            let invoke = port.map(Watch::address);
            let deployed =
                deployer.deploy([&issuer, &partner], &client, &postgres, &binaries, invoke.as_deref(), &settings)?;
            Ok((deployed, String::new()))
        })?;
        let mut watch = port.map(|port| Watch::start(checkout, run, &aws, &deployed, &postgres, port)).transpose()?;
        let mut variables = variables(checkout, &domain, &aws, &postgres, &deployed)?;
        variables.push(("PARTNER_ISSUER".to_owned(), partner.url().to_owned()));
        match watch.as_mut().filter(|_| is_local_stack) {
            Some(watch) => {
                terminal::step("Applying the migrations", |_| {
                    aws.connect(checkout, run, deployed.sources(), watch).map(|()| ((), String::new()))
                })?;
                domain.route_to_watch(watch.port());
                variables.push(("AWS_ENDPOINT_URL_LAMBDA".to_owned(), watch.url()));
                variables.push(("EXPORTS_STORE".to_owned(), Product::LocalStack.name().to_owned()));
            }
            None => domain.route_to(aws.emulator().port(), &deployed.api_id()?),
        }
        if watch.is_some() {
            variables.push(("FUNCTIONS_LOG".to_owned(), run.log("watch").display().to_string()));
        }
        variables.extend(of_suite);
        variables.push(receiver);
        variables.extend(store.into_iter().flat_map(Store::variables));
        let mut parts = Self { watch, aws, postgres, issuer, key, domain, binaries, variables };
        // A disturbed stack answers once its user listens.
        if kind != Kind::Disturbed {
            terminal::step("Waiting for the API", |_| parts.wait().map(|()| ((), parts.domain.url())))?;
        }
        Ok(parts)
    }

    /// Waits until the API says that it reaches everything it needs.
    fn wait(&mut self) -> Result<()> {
        let url = format!("{}/analytics/v1/status/readyz", self.domain.url());
        let agent = client::agent();
        let mut last = String::new();
        let ready = wait_for("the API", Duration::from_secs(90), || {
            self.aws.check()?;
            self.watch.as_mut().map_or(Ok(()), Watch::check)?;
            let Ok(mut response) = agent.get(&url).call() else { return Ok(false) };
            last = format!("{} {}", response.status(), response.body_mut().read_to_string().unwrap_or_default());
            Ok(response.status() == 200)
        });
        ready.with_context(|| format!("{url} answers {last}"))
    }

    fn into_stack(self, checkout: Checkout, run: RunFolder) -> Stack {
        let Self { watch, aws, postgres, issuer, key, domain, binaries, variables } = self;
        Stack { watch, aws, postgres, variables, issuer, key, domain, binaries, checkout, run }
    }
}

/// The variable that holds the name of a deployed function, by that of its binary.
pub(crate) fn function_variable(binary: &str) -> String {
    format!("{}_FUNCTION", binary.to_uppercase())
}

/// The variables of the functions, and those that only tests and people need.
fn variables(
    checkout: &Checkout,
    domain: &CustomDomain,
    aws: &Aws,
    postgres: &Postgres,
    deployed: &Deployed,
) -> Result<Vec<(String, String)>> {
    let more = [
        ("API_URL", domain.url()),
        ("EXPORTS_DLQ_URL", deployed.output("ExportsDlqUrl")?),
        ("EVENTS_QUEUE_URL", deployed.output("EventsQueueUrl")?),
        ("DELIVERIES_QUEUE_URL", deployed.output("DeliveriesQueueUrl")?),
        ("DELIVERIES_DLQ_URL", deployed.output("DeliveriesDlqUrl")?),
        ("EVENTS_DLQ_URL", deployed.output("EventsDlqUrl")?),
        ("MAIL_TOPIC", deployed.output("EventsTopic")?),
        ("TELEMETRY_QUEUE_URL", deployed.output("TelemetryQueueUrl")?),
        ("TELEMETRY_DLQ_URL", deployed.output("TelemetryDlqUrl")?),
        ("POSTGRES_DATA", postgres.data().display().to_string()),
        ("ISSUER_KEY_FILE", checkout.issuer_key().display().to_string()),
        ("PARTNER_CLIENT", issuer::PARTNER_CLIENT.to_owned()),
        ("PARTNER_KEY_FILE", checkout.partner_key().display().to_string()),
        ("PSQL", postgres.client().display().to_string()),
        ("DECISIONS", aws.emulator().decisions().display().to_string()),
    ];
    let more = more.map(|(name, value)| (name.to_owned(), value));
    let functions = deployed.functions().map(|(binary, name)| (function_variable(binary), name));
    let mut variables: Vec<_> =
        more.into_iter().chain(functions).chain(deployed.variables()).chain(aws.environment()).collect();
    // For tests and people: that of the database's superuser.
    variables.push(("DATABASE_URL".to_owned(), postgres.url()));
    Ok(variables)
}
