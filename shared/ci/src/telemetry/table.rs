//! The tables of runs and rejections. Every change is one statement, safe to repeat.

use tokio_postgres::{
    Client,
    error::SqlState,
    types::{ToSql, Type},
};

use crate::{CiRun, ObjectVersion};
use postgres::{DatabaseError, to_system_time};

/// What storing a run changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// A run that was not known.
    New,
    /// An older version's row.
    Replaced,
    /// Nothing: this version, or a newer one, was there before.
    Unchanged,
}

/// How often place is made for an object's run. Once is enough; more are for races with other versions of the object,
/// each of which somebody wins.
const MOST_REMOVALS: u32 = 8;

/// Stores a run, unless a newer version told of it, or the same object's newer version tells of another run.
///
/// # Errors
/// When the database fails. What was stored before, or another's newer version, remains.
pub async fn store_run(client: &Client, run: &CiRun, object: &ObjectVersion) -> Result<Stored, DatabaseError> {
    let mut removals = 0;
    loop {
        let error = match upsert(client, run, object).await {
            Ok(stored) => return Ok(stored),
            Err(error) => error,
        };
        // Another version of this object told of another run.
        let taken = error.code() == Some(&SqlState::UNIQUE_VIOLATION) && error.constraint() == Some("ci_runs_object");
        if !taken || removals == MOST_REMOVALS {
            return Err(error);
        }
        if make_place(client, run, object).await? {
            return Ok(Stored::Unchanged);
        }
        removals += 1;
    }
}

async fn upsert(client: &Client, run: &CiRun, object: &ObjectVersion) -> Result<Stored, DatabaseError> {
    let (started_at, finished_at, time) =
        (to_system_time(run.started_at), to_system_time(run.finished_at), to_system_time(object.time));
    let (status, sequencer) = (run.status.name(), object.sequencer.as_str());
    let duration_seconds = run.duration_seconds.to_string();
    let parameters: [(&(dyn ToSql + Sync), Type); 17] = [
        (&run.run_id, Type::TEXT),
        (&run.service, Type::TEXT),
        (&run.command, Type::TEXT),
        (&status, Type::TEXT),
        (&started_at, Type::TIMESTAMPTZ),
        (&finished_at, Type::TIMESTAMPTZ),
        (&duration_seconds, Type::TEXT),
        (&run.commit_sha, Type::TEXT),
        (&run.actor, Type::TEXT),
        (&run.environment, Type::TEXT),
        (&run.collector_version, Type::TEXT),
        (&run.extra, Type::TEXT),
        (&object.key, Type::TEXT),
        (&object.version, Type::TEXT),
        (&object.etag, Type::TEXT),
        (&time, Type::TIMESTAMPTZ),
        (&sequencer, Type::TEXT),
    ];
    let rows = client.query_typed(UPSERT, &parameters).await?;
    Ok(match rows.first().map(|row| row.try_get(0)).transpose()? {
        Some(true) => Stored::New,
        Some(false) => Stored::Replaced,
        None => Stored::Unchanged,
    })
}

/// What is newer is said at [`ObjectVersion`]. Two versions that compare equal were both listed, not told of by events:
/// they are of one second, and who lists reads the newest. A version that was listed first and told of by its event later
/// gets the sequencer of the event, by which it stands against others of its second.
///
/// A version that was rejected once, by stricter rules, is no longer.
///
/// One writer per object at a time: with two unique indexes, one that waits for the other's run and the other for its
/// object would wait for good.
const UPSERT: &str = "\
    with accepted as (
        delete from ci_rejections
        where object_key = $13 and object_version is not distinct from $14 and object_etag = $15
    )
    insert into ci_runs as run (
        run_id, service, command, status, started_at, finished_at, duration_seconds,
        commit_sha, actor, environment, collector_version, extra,
        object_key, object_version, object_etag, object_time, object_sequencer
    )
    select $1, $2, $3, $4, $5, $6, $7::numeric, $8, $9, $10, $11, $12::jsonb, $13, $14, $15, $16, $17
    from pg_advisory_xact_lock(hashtextextended($13, 0))
    on conflict on constraint ci_runs_run do update set
        status = excluded.status, started_at = excluded.started_at, finished_at = excluded.finished_at,
        duration_seconds = excluded.duration_seconds, commit_sha = excluded.commit_sha, actor = excluded.actor,
        environment = excluded.environment, collector_version = excluded.collector_version, extra = excluded.extra,
        object_key = excluded.object_key, object_version = excluded.object_version,
        object_etag = excluded.object_etag, object_time = excluded.object_time,
        object_sequencer = excluded.object_sequencer,
        ingested_at = case when run.object_version = excluded.object_version then run.ingested_at
                           else excluded.ingested_at end
    where (run.object_time, run.object_key, run.object_sequencer)
            < (excluded.object_time, excluded.object_key, excluded.object_sequencer)
        or ((run.object_time, run.object_key, run.object_sequencer)
                = (excluded.object_time, excluded.object_key, excluded.object_sequencer)
            and (run.object_version, run.object_etag)
                is distinct from (excluded.object_version, excluded.object_etag))
    returning xmax = 0";

/// Removes the other run that an older version of this object told of. Answers whether a newer version told of one.
async fn make_place(client: &Client, run: &CiRun, object: &ObjectVersion) -> Result<bool, DatabaseError> {
    let (time, sequencer) = (to_system_time(object.time), object.sequencer.as_str());
    let rows = client
        .query_typed(
            "with removed as (
                 delete from ci_runs
                 where object_key = $1 and (object_time, object_sequencer) <= ($2, $3)
                   and (service, run_id, command) <> ($4, $5, $6)
             )
             select exists (
                 select from ci_runs where object_key = $1 and (object_time, object_sequencer) > ($2, $3)
             )",
            &[
                (&object.key, Type::TEXT),
                (&time, Type::TIMESTAMPTZ),
                (&sequencer, Type::TEXT),
                (&run.service, Type::TEXT),
                (&run.run_id, Type::TEXT),
                (&run.command, Type::TEXT),
            ],
        )
        .await?;
    Ok(rows.first().map(|row| row.try_get(0)).transpose()?.unwrap_or_default())
}

/// Records why a version is no document; whether it was not recorded before. A run that an older version of the object
/// told of stays: its row names that version.
///
/// # Errors
/// When the database fails.
pub async fn store_rejection(client: &Client, object: &ObjectVersion, reason: &str) -> Result<bool, DatabaseError> {
    let rows = client
        .query_typed(
            "insert into ci_rejections as rejection (object_key, object_version, object_etag, reason)
             values ($1, $2, $3, $4)
             on conflict on constraint ci_rejections_object do update set reason = excluded.reason
             returning xmax = 0",
            &[
                (&object.key, Type::TEXT),
                (&object.version, Type::TEXT),
                (&object.etag, Type::TEXT),
                (&reason, Type::TEXT),
            ],
        )
        .await?;
    Ok(rows.first().map(|row| row.try_get(0)).transpose()?.unwrap_or_default())
}
