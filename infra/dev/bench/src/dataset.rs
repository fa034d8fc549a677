//! The usage that is exported: organizations of given sizes, each with a row per hour and model.

use std::collections::BTreeMap;

use anyhow::Result;
use domain::{ExportRequest, Granularity, OrgId, TimeRange};
use futures_util::future::try_join_all;
use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};
use terminal::Progress;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::{report::count, stack::Stack};

/// The hours of every organization: nearly 21 days. Sizes differ in the number of models.
const HOURS: u64 = 500;
/// The rows that one statement adds, about.
const CHUNK: u64 = 250_000;
/// The sessions that add rows at once.
const SESSIONS: usize = 2;

/// Days and models of a typical monthly export.
pub(crate) const DAYS: u64 = 31;
pub(crate) const MODELS: u64 = 20;

/// An organization with usage.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Organization {
    pub(crate) id: Uuid,
    pub(crate) rows: u64,
    start: Timestamp,
    hours: u64,
}

/// The organizations that have been loaded, by their number of hourly rows.
#[derive(Debug, Default)]
pub(crate) struct Dataset {
    hourly: BTreeMap<u64, Organization>,
}

impl Organization {
    /// One that is to have so many rows in the hours from the beginning of the month on.
    fn new(stack: &Stack, rows: u64, hours: u64) -> Result<Self> {
        Ok(Self { id: stack.organization()?, rows, start: stack.month, hours })
    }

    pub(crate) fn range(&self) -> Result<(Timestamp, Timestamp)> {
        Ok((self.start, self.start.checked_add(i64::try_from(self.hours)?.hours())?))
    }

    /// The export of all its hourly rows, as a client of the API asks for it.
    pub(crate) fn hourly(&self) -> Result<Value> {
        let (start, end) = self.range()?;
        Ok(json!({"timeRange": {"start": start, "end": end}, "granularity": "hourly"}))
    }

    /// The export of all its daily rows.
    pub(crate) fn daily(&self) -> Result<Value> {
        let (start, end) = self.range()?;
        Ok(json!({"timeRange": {"start": start, "end": end}, "granularity": "daily"}))
    }

    /// The export of all its hourly rows, as the engine is asked for it.
    pub(crate) fn request(&self) -> Result<(OrgId, ExportRequest)> {
        let (start, end) = self.range()?;
        let range = TimeRange::new(start, end).map_err(|_| anyhow::anyhow!("{start} to {end} is no range"))?;
        Ok((self.id.into(), ExportRequest { range, granularity: Granularity::Hourly, models: None }))
    }

    /// The condition in SQL that selects its rows.
    pub(crate) fn condition(&self) -> Result<String> {
        let (start, end) = self.range()?;
        let id = self.id;
        Ok(format!("organization_id = '{id}' and bucket_start >= '{start}' and bucket_start < '{end}'"))
    }
}

impl Dataset {
    /// The organization with so many hourly rows, which [`load`](Self::load) has loaded.
    pub(crate) fn of(&self, rows: u64) -> Result<Organization> {
        self.hourly.get(&rows).copied().ok_or_else(|| anyhow::anyhow!("{rows} rows are not loaded"))
    }

    /// Loads organizations of these sizes, in rows: multiples of [`HOURS`].
    pub(crate) fn load(stack: &Stack, sizes: &[u64]) -> Result<Self> {
        let mut dataset = Self::default();
        for rows in sizes {
            dataset.hourly.insert(*rows, Organization::new(stack, *rows, HOURS)?);
        }
        if sizes.is_empty() {
            return Ok(dataset);
        }
        stack.runtime.block_on(dataset.insert(stack))?;
        Ok(dataset)
    }

    async fn insert(&self, stack: &Stack) -> Result<()> {
        let total = self.hourly.keys().sum();
        let step = std::cell::RefCell::new((Progress::start(format!("Loading {} rows", count(total))), 0));
        let chunks = std::cell::RefCell::new(self.chunks());
        let session = async || -> Result<()> {
            let client = stack.database.connect().await?;
            loop {
                let Some(chunk) = chunks.borrow_mut().pop() else { return Ok(()) };
                let added = chunk.insert(&client).await?;
                let (step, done) = &mut *step.borrow_mut();
                *done += added;
                step.at(format!("{} of {}", count(*done), count(total)));
            }
        };
        try_join_all((0..SESSIONS).map(|_| session())).await?;
        // What autovacuum does in its time: without it no index-only scan is one.
        step.borrow_mut().0.at("vacuum");
        let client = stack.database.connect().await?;
        // Each by itself: neither can run in the transaction that several together are.
        client.batch_execute("vacuum (freeze, analyze) analytics_hourly_rollups").await?;
        client.batch_execute("checkpoint").await?;
        let (step, done) = step.into_inner();
        step.done(&format!("{} organizations, {} rows", self.hourly.len(), count(done)));
        Ok(())
    }

    /// The work, the last of it first.
    fn chunks(&self) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        for organization in self.hourly.values() {
            let models = organization.rows / HOURS;
            let step = (CHUNK / models).clamp(1, HOURS);
            let starts = (0..HOURS).step_by(usize::try_from(step).unwrap_or(1));
            chunks.extend(starts.map(|from| Chunk {
                organization: *organization,
                models,
                from,
                to: (from + step).min(HOURS),
            }));
        }
        chunks.reverse();
        chunks
    }
}

/// Some hours of one organization.
#[derive(Debug)]
struct Chunk {
    organization: Organization,
    models: u64,
    from: u64,
    to: u64,
}

impl Chunk {
    async fn insert(&self, client: &Client) -> Result<u64> {
        let Organization { id, start, .. } = self.organization;
        let from = self.from;
        let to = self.to - 1;
        let models = self.models - 1;
        // One of the models is null. The numbers are of the length that they have in practice, and the same on every
        // run. Costs have the four decimals of a file, so that psql prints them without a cast.
        let insert = format!(
            "insert into analytics_hourly_rollups
                 (bucket_start, organization_id, model_id, request_count, tokens_total, error_count, cost_total)
             select timestamptz '{start}' + hour * interval '1 hour', '{id}', model.id,
                 requests, requests * (150 + number % 1500), requests / (20 + number % 80),
                 round(requests * (150 + number % 1500) * (1 + number % 9) * 0.0000025, 4)
             from generate_series({from}, {to}) as hour
             cross join (
                 select number, case when number > 0 then md5(number::text)::uuid end as id
                 from generate_series(0, {models}) as number
                 order by 2
             ) as model
             cross join lateral (select hashint8(hour * 1000003 + number)::bigint & 16383 as requests) as load"
        );
        Ok(client.execute(&insert, &[]).await?)
    }
}

/// An organization with daily rows of a month.
pub(crate) fn load_month(stack: &Stack, models: u64) -> Result<Organization> {
    let organization = Organization::new(stack, DAYS * models, DAYS * 24)?;
    let Organization { id, start, .. } = organization;
    let insert = format!(
        "insert into analytics_daily_rollups
             (bucket_start, organization_id, model_id, request_count, tokens_total, error_count, cost_total)
         select timestamptz '{start}' + day * interval '1 day', '{id}', md5(model::text)::uuid,
             100000 + 37 * day * model, 1000000 * (day + model), day + model, 12.3456 * (day + 1) * model
         from generate_series(0, {DAYS} - 1) as day cross join generate_series(1, {models}) as model;
         vacuum analyze analytics_daily_rollups"
    );
    stack.runtime.block_on(async {
        let client = stack.database.connect().await?;
        for statement in insert.split(';') {
            client.batch_execute(statement).await?;
        }
        anyhow::Ok(())
    })?;
    Ok(organization)
}
