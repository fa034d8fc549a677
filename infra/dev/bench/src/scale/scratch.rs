//! A database of its own on the stack's server, and the work that is measured in it.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use tokio_postgres::{Client, Config, NoTls};
use usage::maintenance::{
    refresh::refresh,
    retention::{Periods, retention},
};
use uuid::Uuid;

use crate::stack::{Stack, variable};

/// The periods of the template.
const PERIODS: Periods = Periods {
    events_plain_days: 7,
    events_kept_days: 400,
    keys_kept_days: 8,
    rollups_kept_months: 13,
    tests_kept_days: 90,
};
/// Events in one statement of a writer.
const STATEMENT: u32 = 10_000;
/// Time that no work takes.
const LONG: Duration = Duration::from_secs(3600);

/// Events of one day: as many for each organization, spread over its 24 hours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Events {
    pub(super) organizations: u32,
    pub(super) each: u32,
    /// Distinguishes the organizations of several loads.
    pub(super) seed: u32,
}

impl Events {
    pub(super) const fn count(self) -> u32 {
        self.organizations * self.each
    }
}

/// The cost of a step.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Took {
    /// CPU time of the server.
    pub(super) cpu: f64,
    pub(super) wal_bytes: f64,
    pub(super) seconds: f64,
}

impl std::ops::AddAssign for Took {
    fn add_assign(&mut self, other: Self) {
        self.cpu += other.cpu;
        self.wal_bytes += other.wal_bytes;
        self.seconds += other.seconds;
    }
}

/// The database, which is dropped by [`Scratch::remove`].
pub(super) struct Scratch<'a> {
    stack: &'a Stack,
    config: Config,
    name: String,
    client: Client,
}

impl<'a> Scratch<'a> {
    /// Creates the database with the product's tables.
    pub(super) fn create(stack: &'a Stack) -> Result<Self> {
        stack.runtime.block_on(async {
            let mut config: Config = variable("DATABASE_URL")?.parse()?;
            let name = format!("scale_{}", Uuid::new_v4().simple());
            connect(&config).await?.batch_execute(&format!("create database {name}")).await?;
            let server = config.clone();
            config.dbname(&name);
            let client = connect(&config).await?;
            for migration in migrations()? {
                client.batch_execute(&format!("begin; {migration}; commit")).await?;
            }
            Ok(Self { stack, config: server, name, client })
        })
    }

    /// Drops the database.
    pub(super) fn remove(self) -> Result<()> {
        let Self { stack, config, name, client } = self;
        drop(client);
        stack.runtime.block_on(async {
            Ok(connect(&config).await?.batch_execute(&format!("drop database {name} with (force)")).await?)
        })
    }

    /// Writes events as a writer does, some thousand in a statement.
    pub(super) fn ingest(&mut self, events: Events) -> Result<Took> {
        let Events { organizations, each, seed } = events;
        let make = format!(
            "create temporary table made as
             select gen_random_uuid() as event_id, md5('{seed} ' || n % {organizations})::uuid as organization_id,
                    md5('model ' || n / {organizations} % 5)::uuid as model_id,
                    date_trunc('day', now()) - interval '1 day'
                        + n / {organizations} * (interval '24 hours' / {each}) as occurred_at,
                    (random() * 4000)::bigint as input_tokens, (random() * 1000)::bigint as output_tokens,
                    case when n % 10 = 0 then 'error' else 'success' end as status,
                    round((random() * 0.1)::numeric, 6) as cost_usd, n / {STATEMENT} as part
             from generate_series(0, {organizations} * {each} - 1) n
             order by occurred_at;
             create index on made (part);
             analyze made"
        );
        self.stack.runtime.block_on(self.client.batch_execute(&make))?;
        let took = self.measure(async |client| {
            for part in 0..=(events.count() / STATEMENT) {
                let write = format!(
                    "insert into usage_events (event_id, organization_id, model_id, occurred_at, input_tokens,
                                               output_tokens, status, cost_usd)
                     select event_id, organization_id, model_id, occurred_at, input_tokens, output_tokens, status, cost_usd
                     from made where part = {part}
                     on conflict do nothing"
                );
                client.execute(&write, &[]).await?;
            }
            Ok(())
        })?;
        self.stack.runtime.block_on(self.client.batch_execute("drop table made"))?;
        Ok(took)
    }

    /// Computes the rollups of all that came in, and returns with the time the number of hours.
    pub(super) fn refresh(&mut self) -> Result<(Took, u64)> {
        let mut hours = 0;
        let took = self.measure(async |client| {
            let report = refresh(client, Timestamp::now(), LONG).await?;
            ensure!(report.failed == 0 && report.dirty_hours == 0, "the refresh left hours: {report:?}");
            hours = report.hours;
            Ok(())
        })?;
        Ok((took, hours))
    }

    /// Packs all events: as the retention of some days later.
    pub(super) fn pack(&mut self, events: u64) -> Result<Took> {
        self.measure(async |client| {
            let later = Timestamp::now() + SignedDuration::from_hours(9 * 24);
            let report = retention(client, &mut [], later, &PERIODS, LONG).await?;
            ensure!(report.events_packed == events, "the retention did not pack {events} events: {report:?}");
            Ok(())
        })
    }

    /// A number that a query returns.
    pub(super) fn number(&self, expression: &str) -> Result<f64> {
        let query = format!("select ({expression})::float8");
        Ok(self.stack.runtime.block_on(self.client.query_one(&query, &[]))?.try_get(0)?)
    }

    fn measure(&mut self, work: impl AsyncFnOnce(&mut Client) -> Result<()>) -> Result<Took> {
        self.stack.runtime.block_on(self.client.batch_execute("checkpoint"))?;
        let state = |this: &Self| -> Result<_> {
            Ok((this.stack.postgres_cpu()?, this.number("pg_current_wal_insert_lsn() - '0/0'")?))
        };
        let (cpu, wal) = state(self)?;
        let start = std::time::Instant::now();
        self.stack.runtime.block_on(work(&mut self.client))?;
        let seconds = start.elapsed().as_secs_f64();
        let (cpu_after, wal_after) = state(self)?;
        Ok(Took { cpu: cpu_after.saturating_sub(cpu).as_secs_f64(), wal_bytes: wal_after - wal, seconds })
    }
}

async fn connect(config: &Config) -> Result<Client> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    client.batch_execute("set timezone = 'UTC'").await?;
    Ok(client)
}

/// The text of each migration, in their order.
fn migrations() -> Result<Vec<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
    let mut numbered = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("can't read {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let number = name.strip_prefix('V').and_then(|rest| rest.split('_').next()?.parse::<u32>().ok());
        numbered.push((number.with_context(|| format!("{name} is no migration"))?, fs::read_to_string(&path)?));
    }
    numbered.sort_unstable();
    Ok(numbered.into_iter().map(|(_, text)| text).collect())
}
