//! Checks of rollup tables that a platform already had: for exports, which read them, and for maintenance.

use tokio_postgres::Client;

const ROLLUPS: [&str; 2] = ["analytics_hourly_rollups", "analytics_daily_rollups"];
const TIMES: &[&str] = &["timestamptz", "timestamp", "date"];
const COUNTS: &[&str] = &["int8", "int4", "int2", "numeric"];
/// The columns of a rollup table with the types that an export reads exactly.
const COLUMNS: [(&str, &[&str]); 7] = [
    ("bucket_start", TIMES),
    ("organization_id", &["uuid"]),
    ("model_id", &["uuid"]),
    ("request_count", COUNTS),
    ("tokens_total", COUNTS),
    ("error_count", COUNTS),
    ("cost_total", COUNTS),
];

/// Returns the reason why a rollup table cannot be read, as a sentence. A table that does not exist yet will be ours.
pub(crate) async fn unreadable(client: &Client) -> Result<Option<String>, tokio_postgres::Error> {
    let columns = "select attname::text, typname::text from pg_attribute join pg_type on pg_type.oid = atttypid
                   where attrelid = to_regclass($1) and attnum > 0 and not attisdropped";
    for table in ROLLUPS {
        let rows = client.query(columns, &[&table]).await?;
        if rows.is_empty() {
            continue;
        }
        let mut found = Vec::new();
        for row in &rows {
            found.push((row.try_get::<_, String>(0)?, row.try_get::<_, String>(1)?));
        }
        for (column, types) in COLUMNS {
            match found.iter().find(|(name, _)| name == column) {
                None => return Ok(Some(format!("{table} has no column {column}; exports read it"))),
                Some((_, kind)) if !types.contains(&kind.as_str()) => {
                    let types = types.join(", ");
                    return Ok(Some(format!("{table}.{column} is of type {kind}; exports read {types}")));
                }
                Some(_) => {}
            }
        }
    }
    Ok(None)
}

/// Returns the limits of maintenance on rollup tables, as sentences.
pub(crate) async fn limits(client: &Client) -> Result<Vec<String>, tokio_postgres::Error> {
    // 8 is an insert and 16 a delete, as `pg_relation_is_updatable` counts them; triggers are included.
    let writes =
        "select case relkind when 'v' then 'view' when 'm' then 'materialized view' when 'f' then 'foreign table'
                                      else 'table' end,
                         pg_relation_is_updatable(oid, true) & 24 = 24
                         and has_table_privilege(oid, 'insert') and has_table_privilege(oid, 'delete'),
                         (select string_agg(attname::text, ', ' order by attnum) from pg_attribute
                          where attrelid = pg_class.oid and attnum > 0 and not attisdropped and attnotnull
                            and not atthasdef and attidentity = '' and attname <> all ($2::text[]::name[])),
                         row_security_active(oid)
                  from pg_class where oid = to_regclass($1)";
    let known: Vec<&str> = COLUMNS.iter().map(|(column, _)| *column).collect();
    let mut limits = Vec::new();
    for table in ROLLUPS {
        let Some(row) = client.query_opt(writes, &[&table, &known]).await? else { continue };
        let kind: &str = row.try_get(0)?;
        if !row.try_get::<_, bool>(1)? {
            limits.push(format!(
                "{table} is a {kind} that accepts no rows: raw events are in no rollup, and old rollups are not deleted"
            ));
        }
        if row.try_get(3)? {
            limits.push(format!(
                "{table} has row-level security that applies to this user: exports fail instead of lacking rows. \
                 Give the user BYPASSRLS"
            ));
        }
        if let Some(columns) = row.try_get::<_, Option<String>>(2)? {
            limits.push(format!(
                "{table} demands values of columns that rollups do not have: {columns}. Raw events are in no rollup"
            ));
        }
    }
    Ok(limits)
}

/// Reports whether the second migration would mistake a platform's own rollup table for one of ours, in a database that
/// has the migrations up to `version`.
pub(crate) async fn look_like_ours(client: &Client, version: i32) -> Result<bool, tokio_postgres::Error> {
    // Before the first migration no table is ours; after it, ours have a key in which two missing models are the same.
    let looks = "select to_regclass($1 || '_default') is not null and to_regclass($1) is not null
                        and ($2 = 0 or not exists (
                                select from pg_index
                                where indrelid = to_regclass($1) and indexrelid = to_regclass($1 || '_key')
                                  and indnullsnotdistinct
                            ))";
    if version >= 2 {
        return Ok(false);
    }
    for table in ROLLUPS {
        if client.query_one(looks, &[&table, &version]).await?.try_get(0)? {
            return Ok(true);
        }
    }
    Ok(false)
}
