//! The rights of the roles in `infra/database/roles.sql`: one for each function, and those of the platform's writers and
//! readers. Given anew by every run, so that they are those of this version.

use postgres::DatabaseError;
use tokio_postgres::{Client, Transaction, error::SqlState};

/// A role, and what it may do.
struct Role {
    name: &'static str,
    rights: &'static [&'static [Right]],
}

/// Privileges on tables and views, or the use of functions.
struct Right {
    privileges: &'static str,
    objects: &'static [&'static str],
}

const fn right(privileges: &'static str, objects: &'static [&'static str]) -> Right {
    Right { privileges, objects }
}

const ROLES: [Role; 10] = [
    Role { name: "analytics_api", rights: &[ROLLUPS, COMPLETENESS, EVENTS, FRESHNESS, RUNS, VERSION] },
    Role { name: "analytics_worker", rights: &[ROLLUPS, COMPLETENESS] },
    Role { name: "analytics_monthly", rights: &[&[right("select", &["analytics_daily_rollups"])], COMPLETENESS] },
    Role { name: "analytics_reconcile", rights: &[ROLLUPS, COMPLETENESS, EVENTS] },
    Role { name: "analytics_telemetry", rights: &[INGEST] },
    Role { name: "analytics_refresh", rights: &[REFRESH] },
    Role { name: "analytics_retention", rights: &[REFRESH, RETENTION] },
    Role { name: "analytics_writer", rights: &[WRITE] },
    Role { name: "analytics_reader", rights: &[ROLLUPS, &[right("select", &["usage_events_all", "usage_freshness"])]] },
    Role { name: "analytics_eraser", rights: &[ERASE] },
];

const ROLLUPS: &[Right] = &[right("select", &["analytics_daily_rollups", "analytics_hourly_rollups"])];

/// The reading of the tables that tell whether rollups are whole.
const COMPLETENESS: &[Right] = &[right(
    "select",
    &[
        "usage_cut_overs",
        "usage_days",
        "usage_dirty_hours",
        "usage_events_refused",
        "usage_partitions",
        "usage_troubles",
        "usage_watermarks",
    ],
)];

/// The reading of raw events, to explain a rollup by them.
const EVENTS: &[Right] =
    &[right("select", &["usage_events", "usage_events_packed_sums", "usage_events_unpacked", "usage_state"])];

/// The reading of what the API tells of the lag of rollups.
const FRESHNESS: &[Right] = &[right("select", &["usage_freshness"])];

/// The writing of events, one by one or by the batch.
const WRITE: &[Right] = &[
    right("insert", &["usage_events"]),
    right("execute", &["usage_load(uuid[], uuid[], uuid[], timestamptz[], bigint[], bigint[], text[], numeric[])"]),
];

const RUNS: &[Right] = &[
    right(
        "select",
        &["ci_changes_now", "ci_pseudonym_key", "ci_rejections", "ci_replacements", "ci_runs", "ci_unseen"],
    ),
    // Answers to changes are never changed.
    right("select, insert", &["ci_acknowledgements"]),
];

/// The reading of the schema's version, to say when it is not this one's.
const VERSION: &[Right] = &[right("select", &["refinery_schema_history"])];

const INGEST: &[Right] = &[
    right("select, insert, update, delete", &["ci_rejections", "ci_runs"]),
    // Records of replacements are never changed.
    right("select, insert", &["ci_replacements"]),
    // Changes of durations, as they are told.
    right("select", &["ci_changes_now"]),
    right("select, delete", &["ci_unseen"]),
    right("select, insert, update", &["ci_change_events", "ci_changes", "ci_looks"]),
];

/// The rights of the refresh, which the retention runs as well.
const REFRESH: &[Right] = &[
    right("select", &["usage_cut_overs", "usage_events", "usage_events_packed", "usage_events_unpacked"]),
    right("select, update", &["usage_state"]),
    right("select, delete", &["usage_dirty_hours"]),
    right("select, insert, update", &["usage_days", "usage_refreshed"]),
    right(
        "select, insert, delete",
        &["analytics_daily_rollups", "analytics_hourly_rollups", "usage_slice_sums", "usage_watermarks"],
    ),
    right("select, insert, update", &["usage_slices"]),
    right("select, insert, update, delete", &["usage_notices", "usage_troubles"]),
];

const RETENTION: &[Right] = &[
    // To pack them: events are deleted where they were, and inserted packed with their control sums.
    right("delete", &["usage_events"]),
    right("insert", &["usage_events_packed"]),
    right("select, insert", &["usage_events_packed_sums"]),
    right("insert", &["usage_dirty_hours"]),
    right("delete", &["usage_days", "usage_slices"]),
    right("select, delete", &["usage_event_keys", "usage_events_default", "usage_events_refused"]),
    right("select, delete", &["analytics_daily_rollups_default", "analytics_hourly_rollups_default"]),
    right(
        "execute",
        &["usage_create_partition(text, text, timestamptz, timestamptz)", "usage_drop_partition(text, boolean)"],
    ),
];

/// The erasure of an organization, by functions that delete nothing before its beginning is on record.
const ERASE: &[Right] = &[
    right("select", &["usage_erasures"]),
    right(
        "execute",
        &["usage_erasable()", "usage_erasable_rows(uuid, text)", "usage_erase_begin(uuid)", "usage_erase(uuid, text)"],
    ),
];

/// Takes back what a role was given before, in tables and functions of this schema.
const REVOKE: &str = "
    select format('revoke all on %s from %I', pg_class.oid::regclass, $1::text)
    from pg_class, aclexplode(relacl)
    where relnamespace = current_schema()::regnamespace and grantee = to_regrole($1::text) and grantor = current_user::regrole
    union
    select format('revoke all on function %s from %I', pg_proc.oid::regprocedure, $1::text)
    from pg_proc, aclexplode(proacl)
    where pronamespace = current_schema()::regnamespace and grantee = to_regrole($1::text) and grantor = current_user::regrole";

/// Checks that the role has all of these privileges on a table. A grant by somebody who may not give one is only a warning.
const HAS: &str = "select bool_and(has_table_privilege($1::text, $2::text, privilege))
                   from unnest(string_to_array($3::text, ', ')) privilege";

/// Gives each role that exists the rights of this version, and no others. Returns what could not be given, as sentences:
/// a platform's own tables may belong to somebody else.
pub(crate) async fn give(client: &mut Client) -> Result<Vec<String>, DatabaseError> {
    let mut missing = Vec::new();
    for Role { name, rights } in ROLES {
        if !client.query_one("select to_regrole($1) is not null", &[&name]).await?.try_get::<_, bool>(0)? {
            continue;
        }
        let mut transaction = client.transaction().await?;
        for row in transaction.query(REVOKE, &[&name]).await? {
            transaction.batch_execute(row.try_get(0)?).await?;
        }
        for right in rights.iter().flat_map(|rights| rights.iter()) {
            for object in right.objects {
                if !grant(&mut transaction, name, right.privileges, object).await? {
                    let Right { privileges, .. } = right;
                    missing.push(format!(
                        "{object} belongs to another role, which has to grant {privileges} on it to {name}"
                    ));
                }
            }
        }
        transaction.commit().await?;
    }
    Ok(missing)
}

/// Returns whether the role has the right now.
async fn grant(
    transaction: &mut Transaction<'_>,
    role: &str,
    privileges: &str,
    object: &str,
) -> Result<bool, tokio_postgres::Error> {
    if privileges == "execute" {
        transaction.batch_execute(&format!("grant execute on function {object} to {role}")).await?;
        return Ok(true);
    }
    let table = "select to_regclass($1) is null";
    if transaction.query_one(table, &[&object]).await?.try_get(0)? {
        // A platform's own rollup table has no such partition.
        return Ok(object.ends_with("_default"));
    }
    let attempt = transaction.savepoint("grant_of_a_right").await?;
    match attempt.batch_execute(&format!("grant {privileges} on {object} to {role}")).await {
        Ok(()) => attempt.commit().await?,
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => attempt.rollback().await?,
        Err(error) => return Err(error),
    }
    transaction.query_one(HAS, &[&role, &object, &privileges]).await?.try_get(0)
}
