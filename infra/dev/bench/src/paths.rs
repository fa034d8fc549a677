//! The ways from the rollups to a CSV that are compared. Each gives the checksum of what it wrote, but for the server's
//! own bound, which writes no CSV.

use std::{
    io::{self, Write},
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use engine::{CsvFile, Settings};
use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use rust_decimal::Decimal;
use sha2::{Digest as _, Sha256};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    dataset::Organization,
    stack::{Stack, variable},
};

/// The columns.
const HEADER: &str = "bucket_start,organization_id,model_id,request_count,tokens_total,error_count,cost_total";

/// The way of a user without this project.
pub(crate) fn psql(organization: &Organization) -> Result<String> {
    let copy = format!(
        r#"\copy (select to_char(r.bucket_start at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as bucket_start, organization_id, model_id, request_count, tokens_total, error_count, cost_total from analytics_hourly_rollups r where {} order by r.bucket_start, r.model_id nulls last) to stdout csv header"#,
        organization.condition()?
    );
    let shell = Command::new("sh")
        .args(["-c", r#""$PSQL" --no-psqlrc --quiet "$DATABASE_URL" -c "$BENCH_COPY" | sha256sum"#])
        .env("PSQL", variable("PSQL")?)
        .env("BENCH_COPY", copy)
        .output()?;
    let errors = String::from_utf8_lossy(&shell.stderr);
    ensure!(shell.status.success() && errors.is_empty(), "psql failed: {errors}");
    let text = String::from_utf8(shell.stdout)?;
    Ok(format!("sha256:{}", text.split_whitespace().next().unwrap_or_default()))
}

/// The least that the server has to do for any client: to read the rows in order and to write them in its own binary
/// form, to nowhere.
pub(crate) fn server(stack: &Stack, organization: &Organization) -> Result<()> {
    let copy = format!(
        "copy (select bucket_start, model_id, request_count, tokens_total, error_count, cost_total
               from analytics_hourly_rollups where {} order by bucket_start, model_id nulls last)
         to '/dev/null' (format binary)",
        organization.condition()?
    );
    stack.runtime.block_on(async { Ok(stack.database.client().await?.batch_execute(&copy).await?) })
}

/// The engine over so many connections, to a sink that discards everything.
pub(crate) fn engine(stack: &Stack, organization: &Organization, connections: usize) -> Result<String> {
    let (org, request) = organization.request()?;
    let settings = Settings { connections, limit: Duration::from_secs(300) };
    stack.runtime.block_on(async {
        let mut file = CsvFile::open(&stack.database, org, &request, settings).await?;
        while file.next().await?.is_some() {}
        Ok(file.finish().await?.checksum)
    })
}

/// The way that anybody would write down first: query rows, the `csv` crate, a decimal type. It is the reference for
/// the engine's bytes, since it has nothing in common with it.
pub(crate) fn naive(stack: &Stack, organization: &Organization) -> Result<String> {
    let query = format!(
        "select bucket_start, model_id, request_count, tokens_total, error_count, cost_total::text
         from analytics_hourly_rollups where {} order by bucket_start, model_id nulls last",
        organization.condition()?
    );
    let id = organization.id.to_string();
    let mut csv = csv::WriterBuilder::new().terminator(csv::Terminator::Any(b'\n')).from_writer(Hash::default());
    csv.write_record(HEADER.split(','))?;
    stack.runtime.block_on(async {
        let client = stack.database.client().await?;
        let mut rows = std::pin::pin!(client.query_raw(&query, std::iter::empty::<i32>()).await?);
        while let Some(row) = rows.try_next().await? {
            csv.write_record(fields(&row, &id)?)?;
        }
        anyhow::Ok(())
    })?;
    let hash = csv.into_inner().context("the last record could not be written")?.0;
    Ok(format!("sha256:{}", hex::encode(hash.finalize())))
}

fn fields(row: &Row, id: &str) -> Result<[String; 7]> {
    let bucket: SystemTime = row.try_get(0)?;
    let model: Option<Uuid> = row.try_get(1)?;
    let count = |column| row.try_get::<_, i64>(column).map(|count| count.to_string());
    let mut cost = Decimal::from_str_exact(row.try_get(5)?)?;
    cost.rescale(4);
    Ok([
        Timestamp::try_from(bucket)?.to_string(),
        id.to_owned(),
        model.map(|model| model.to_string()).unwrap_or_default(),
        count(2)?,
        count(3)?,
        count(4)?,
        cost.to_string(),
    ])
}

#[derive(Default)]
struct Hash(Sha256);

impl Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
