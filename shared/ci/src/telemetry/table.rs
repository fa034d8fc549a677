//! The tables of runs and rejections. Every change is one statement, safe to repeat.
//!
//! The columns of a run, and how each is made from a document, are in [`columns`] alone; the statement is built from
//! them.

use postgres::{DatabaseError, to_system_time};
use rust_decimal::Decimal;
use tokio_postgres::{
    Client,
    error::SqlState,
    types::{ToSql, Type},
};

use crate::{
    CiRun, ObjectVersion,
    sql::{Parameters, Value},
};

/// The effect of storing a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// The run was not known.
    New,
    /// The row of an older version was replaced.
    Replaced,
    /// Nothing changed: this version, or a newer one, was stored before.
    Unchanged,
}

/// The maximum number of other runs of the object that are removed before storing is given up. One is enough; more are
/// for races with other versions of the object, each of which one writer wins.
const MAX_REMOVALS: u32 = 8;

/// The log message of a run that documents at different keys tell of.
pub const REPLACED: &str = "documents at different keys tell of the same run";

/// Stores a run, unless a newer version describes it, or the same object's newer version describes another run.
///
/// Of the versions that tell of a run and do not count, those at another key than the one that counts, and those whose
/// object tells of another run now, are recorded in `ci_replacements`, each once.
///
/// # Errors
/// When the database fails. Rows that were stored before, or by a newer version, remain.
pub async fn store_run(client: &Client, run: &CiRun, object: &ObjectVersion) -> Result<Stored, DatabaseError> {
    let mut removals = 0;
    loop {
        let error = match upsert(client, run, object).await {
            Ok(Stored::Unchanged) => {
                if !record(client, run, object).await? {
                    add_checksum(client, object).await?;
                    return Ok(Stored::Unchanged);
                }
                // What its object said before counts no more, and what counted for the run may be gone meanwhile.
                remove(client, run, object, Remove::OtherRun).await?;
                continue;
            }
            Ok(stored) => {
                if stored == Stored::Replaced {
                    warn_of_replaced(client, object).await?;
                }
                // A newer version of the object may have been recorded while this one was stored.
                remove(client, run, object, Remove::Outdated).await?;
                return Ok(stored);
            }
            Err(error) => error,
        };
        // Another version of this object described another run.
        let taken = error.code() == Some(&SqlState::UNIQUE_VIOLATION) && error.constraint() == Some("ci_runs_object");
        if !taken || removals == MAX_REMOVALS {
            return Err(error);
        }
        if remove(client, run, object, Remove::OtherRun).await? {
            record(client, run, object).await?;
            return Ok(Stored::Unchanged);
        }
        removals += 1;
    }
}

/// The columns that identify a run: those of the constraint `ci_runs_run`.
const KEY: [&str; 3] = ["service", "run_id", "command"];

/// A column with its value.
struct Column<'a> {
    name: &'static str,
    kind: Type,
    value: Value<'a>,
    /// The conversion of the placeholder, if the driver has none.
    cast: &'static str,
}

impl<'a> Column<'a> {
    fn new(name: &'static str, kind: Type, value: impl ToSql + Sync + Send + 'a) -> Self {
        Self { name, kind, value: Box::new(value), cast: "" }
    }

    fn text(name: &'static str, value: impl ToSql + Sync + Send + 'a) -> Self {
        Self::new(name, Type::TEXT, value)
    }

    /// The driver has no decimals.
    fn numeric(name: &'static str, value: Decimal) -> Self {
        Self { cast: "::numeric", ..Self::text(name, value.to_string()) }
    }

    fn json(name: &'static str, value: &'a str) -> Self {
        Self { cast: "::jsonb", ..Self::text(name, value) }
    }
}

/// Every column of `ci_runs` but those that the table fills itself: `id` and `ingested_at`.
fn columns<'a>(run: &'a CiRun, object: &'a ObjectVersion) -> Vec<Column<'a>> {
    vec![
        Column::text("run_id", &run.run_id),
        Column::text("service", &run.service),
        Column::text("command", &run.command),
        Column::text("status", run.status.name()),
        Column::new("started_at", Type::TIMESTAMPTZ, to_system_time(run.started_at)),
        Column::new("finished_at", Type::TIMESTAMPTZ, to_system_time(run.finished_at)),
        Column::numeric("duration_seconds", run.duration_seconds),
        Column::text("commit_sha", &run.commit_sha),
        Column::text("actor", &run.actor),
        Column::text("environment", &run.environment),
        Column::text("collector_version", &run.collector_version),
        Column::json("extra", &run.extra),
        Column::text("object_key", &object.key),
        Column::text("object_version", &object.version),
        Column::text("object_etag", &object.etag),
        Column::new("object_sha256", Type::BYTEA, object.sha256.as_ref().map(<[u8; 32]>::as_slice)),
        Column::new("object_time", Type::TIMESTAMPTZ, to_system_time(object.time)),
        Column::text("object_sequencer", object.sequencer.as_str()),
    ]
}

/// Inserts a run, or updates its row if this version is newer, as [`ObjectVersion`] defines it.
///
/// Two different versions that compare equal were both found by a listing: they are of one second, and the listing
/// reads the newest one, so the later writer is right. A version that was listed first and whose event arrives later
/// gets the event's sequencer, which orders it among the versions of its second.
///
/// A rejection of the same version, by earlier, stricter rules, is removed.
///
/// Nothing is stored if the object's newer version tells of another run for which it does not count. A trigger keeps what
/// an object at another key said.
///
/// The lock allows one writer per object at a time. With two unique indexes, two writers could otherwise wait for each
/// other, one for the run and one for the object.
async fn upsert(client: &Client, run: &CiRun, object: &ObjectVersion) -> Result<Stored, DatabaseError> {
    let mut parameters = Parameters::default();
    let key = parameters.text(&object.key);
    let version = parameters.text(&object.version);
    let etag = parameters.text(&object.etag);
    let time = parameters.push(Type::TIMESTAMPTZ, to_system_time(object.time));
    let sequencer = parameters.text(object.sequencer.as_str());
    let [service, run_id, command] = identity(&mut parameters, run);
    let mut names = Vec::new();
    let mut values = Vec::new();
    let mut updates = Vec::new();
    for Column { name, kind, value, cast } in columns(run, object) {
        values.push(parameters.push_boxed(kind, value) + cast);
        names.push(name);
        if !KEY.contains(&name) {
            updates.push(format!("{name} = excluded.{name}"));
        }
    }
    let statement = format!(
        "with accepted as (
             delete from ci_rejections
             where object_key = {key} and object_version is not distinct from {version} and object_etag = {etag}
         )
         insert into ci_runs as run ({names})
         select {values} from pg_advisory_xact_lock(hashtextextended({key}, 0))
         where not exists (
             select from ci_replacements other
             where other.object_key = {key} and (other.object_time, other.object_sequencer) > ({time}, {sequencer})
               and (other.service, other.run_id, other.command) <> ({service}, {run_id}, {command})
         )
         on conflict on constraint ci_runs_run do update set
             {updates},
             ingested_at = case when run.object_version = excluded.object_version then run.ingested_at
                                else excluded.ingested_at end
         where (run.object_time, run.object_key, run.object_sequencer)
                 < (excluded.object_time, excluded.object_key, excluded.object_sequencer)
             or ((run.object_time, run.object_key, run.object_sequencer)
                     = (excluded.object_time, excluded.object_key, excluded.object_sequencer)
                 and (run.object_version, run.object_etag)
                     is distinct from (excluded.object_version, excluded.object_etag))
         returning xmax = 0 as is_new",
        names = names.join(", "),
        values = values.join(", "),
        updates = updates.join(", "),
    );
    let row = client.query_typed_opt(&statement, &parameters.typed()).await?;
    Ok(match row.map(|row| row.try_get("is_new")).transpose()? {
        Some(true) => Stored::New,
        Some(false) => Stored::Replaced,
        None => Stored::Unchanged,
    })
}

/// Adds the checksum of a version to its row, if that was stored when no checksums were kept.
async fn add_checksum(client: &Client, object: &ObjectVersion) -> Result<(), DatabaseError> {
    let Some(sha256) = &object.sha256 else { return Ok(()) };
    let mut parameters = Parameters::default();
    let key = parameters.text(&object.key);
    let version = parameters.text(&object.version);
    let etag = parameters.text(&object.etag);
    let sha256 = parameters.push(Type::BYTEA, sha256.as_slice());
    let statement = format!(
        "update ci_runs set object_sha256 = {sha256}
         where object_key = {key} and object_version is not distinct from {version} and object_etag = {etag}
           and object_sha256 is null"
    );
    client.query_typed_opt(&statement, &parameters.typed()).await?;
    Ok(())
}

/// Adds the values that identify a run, in the order of [`KEY`].
fn identity<'a>(parameters: &mut Parameters<'a>, run: &'a CiRun) -> [String; 3] {
    [&run.service, &run.run_id, &run.command].map(|name| parameters.text(name))
}

/// The columns of `ci_replacements` that say which document does not count.
const REPLACED_COLUMNS: &str =
    "service, run_id, command, object_key, object_version, object_etag, object_time, object_sequencer";

/// Which row of an object is removed.
#[derive(Clone, Copy)]
enum Remove {
    /// That of another run, if an older version described it.
    OtherRun,
    /// That of the run, if a newer version of the object is recorded, which describes another run.
    Outdated,
}

/// Removes a row of an object that describes another run by now, and records what it said. The newest of the other
/// documents that tell of the removed run counts then. Reports whether the object has a newer version's row.
async fn remove(client: &Client, run: &CiRun, object: &ObjectVersion, which: Remove) -> Result<bool, DatabaseError> {
    let mut parameters = Parameters::default();
    let key = parameters.text(&object.key);
    let version = parameters.text(&object.version);
    let time = parameters.push(Type::TIMESTAMPTZ, to_system_time(object.time));
    let sequencer = parameters.text(object.sequencer.as_str());
    let names = columns(run, object).into_iter().map(|column| column.name).collect::<Vec<_>>().join(", ");
    let condition = match which {
        Remove::OtherRun => {
            let [service, run_id, command] = identity(&mut parameters, run);
            format!(
                "(object_time, object_sequencer) <= ({time}, {sequencer})
             and (service, run_id, command) <> ({service}, {run_id}, {command})"
            )
        }
        Remove::Outdated => "exists (
                 select from ci_replacements newer
                 where newer.object_key = ci_runs.object_key
                   and (newer.object_time, newer.object_sequencer) > (ci_runs.object_time, ci_runs.object_sequencer)
                   and (newer.service, newer.run_id, newer.command)
                       <> (ci_runs.service, ci_runs.run_id, ci_runs.command)
             )"
        .to_owned(),
    };
    let statement = format!(
        "with removed as (
             delete from ci_runs
             where object_key = {key} and {condition}
             returning ci_runs.*
         ),
         recorded as (
             insert into ci_replacements ({REPLACED_COLUMNS}, run, replaced_by_key, replaced_by_version)
             select {REPLACED_COLUMNS}, to_jsonb(removed), {key}, {version} from removed
             on conflict do nothing
         ),
         restored as (
             insert into ci_runs ({names})
             select {names} from (
                 select kept.run
                 from removed
                 join ci_replacements kept using (service, run_id, command)
                 where kept.object_key <> {key}
                   and not exists (
                       select from ci_replacements newer
                       where newer.object_key = kept.object_key
                         and (newer.object_time, newer.object_sequencer) > (kept.object_time, kept.object_sequencer)
                         and (newer.service, newer.run_id, newer.command)
                             <> (kept.service, kept.run_id, kept.command)
                   )
                   and not exists (select from ci_runs taken where taken.object_key = kept.object_key)
                 order by kept.object_time desc, kept.object_key desc, kept.object_sequencer desc
                 limit 1
             ) best, jsonb_populate_record(null::ci_runs, best.run)
             on conflict do nothing
         )
         select exists (
             select from ci_runs where object_key = {key} and (object_time, object_sequencer) > ({time}, {sequencer})
         ) as is_newer, exists (select from removed) as is_removed"
    );
    let row = client.query_typed_one(&statement, &parameters.typed()).await?;
    if row.try_get("is_removed")? {
        tracing::warn!(key = object.key, version = object.version, "a document tells of another run than before");
    }
    Ok(row.try_get("is_newer")?)
}

/// Records a version that does not count: because another object tells of its run, or because its object tells of another
/// run. Reports whether the record is new.
async fn record(client: &Client, run: &CiRun, object: &ObjectVersion) -> Result<bool, DatabaseError> {
    let mut parameters = Parameters::default();
    let key = parameters.text(&object.key);
    let time = parameters.push(Type::TIMESTAMPTZ, to_system_time(object.time));
    let sequencer = parameters.text(object.sequencer.as_str());
    let [service, run_id, command] = identity(&mut parameters, run);
    let facts: Vec<String> = columns(run, object)
        .into_iter()
        .map(|Column { name, kind, value, cast }| {
            let value = parameters.push_boxed(kind, value);
            format!("{value}{cast} as {name}")
        })
        .collect();
    let statement = format!(
        "insert into ci_replacements ({REPLACED_COLUMNS}, run, replaced_by_key, replaced_by_version)
         select {REPLACED_COLUMNS}, to_jsonb(facts), by_key, by_version
         from (select {facts}) facts,
              (select object_key as by_key, object_version as by_version,
                      (service, run_id, command) = ({service}, {run_id}, {command}) as is_same
               from ci_runs
               where ((service, run_id, command) = ({service}, {run_id}, {command})) <> (object_key = {key})
                 and ((service, run_id, command) = ({service}, {run_id}, {command}) or object_key = {key})
               union all
               select object_key, object_version, false from ci_replacements
               where object_key = {key} and (service, run_id, command) <> ({service}, {run_id}, {command})
                 and (object_time, object_sequencer) > ({time}, {sequencer})
               order by is_same desc
               limit 1) counting
         on conflict do nothing
         returning replaced_by_key",
        facts = facts.join(", "),
    );
    let Some(row) = client.query_typed_opt(&statement, &parameters.typed()).await? else { return Ok(false) };
    let by: &str = row.try_get("replaced_by_key")?;
    tracing::warn!(key = object.key, version = object.version, replaced_by = by, "{REPLACED}");
    Ok(true)
}

/// Logs it if the run's row was that of another key before.
async fn warn_of_replaced(client: &Client, object: &ObjectVersion) -> Result<(), DatabaseError> {
    let mut parameters = Parameters::default();
    let key = parameters.text(&object.key);
    let version = parameters.text(&object.version);
    let statement = format!(
        "select object_key, object_version from ci_replacements
         where replaced_by_key = {key} and replaced_by_version is not distinct from {version} and object_key <> {key}
           and (service, run_id, command) in (select service, run_id, command from ci_runs where object_key = {key})
         order by id desc limit 1"
    );
    if let Some(row) = client.query_typed_opt(&statement, &parameters.typed()).await? {
        let (replaced, replaced_version): (&str, Option<&str>) =
            (row.try_get("object_key")?, row.try_get("object_version")?);
        tracing::warn!(key = replaced, version = replaced_version, replaced_by = object.key, "{REPLACED}");
    }
    Ok(())
}

/// Records why a version is no valid document. Reports whether the rejection is new. A run that an older version of the
/// object described stays: its row names that version.
///
/// # Errors
/// When the database fails.
pub async fn store_rejection(client: &Client, object: &ObjectVersion, reason: &str) -> Result<bool, DatabaseError> {
    let mut parameters = Parameters::default();
    let key = parameters.text(&object.key);
    let version = parameters.text(&object.version);
    let etag = parameters.text(&object.etag);
    let reason = parameters.text(reason);
    let statement = format!(
        "insert into ci_rejections as rejection (object_key, object_version, object_etag, reason)
         values ({key}, {version}, {etag}, {reason})
         on conflict on constraint ci_rejections_object do update set reason = excluded.reason
         returning xmax = 0 as is_new"
    );
    Ok(client.query_typed_one(&statement, &parameters.typed()).await?.try_get("is_new")?)
}
