//! The tables of test results. Every change is one statement, safe to repeat.

use domain::instant::day_of;
use postgres::{DatabaseError, to_system_time};
use tokio_postgres::{Client, types::Type};

use super::Stored;
use crate::{
    ObjectVersion, TestRun,
    sql::Parameters,
    test_results::{TestResult, packed::Packed},
};

/// Days for which the last day of a name is not written anew, so that a usual run writes no name.
///
/// The retention keeps names for as many days longer than results.
const DAYS_BETWEEN_NAMES: i32 = 7;

/// Stores the results of a run's tests, unless a newer version of the object was stored before.
///
/// Two versions of an object that compare equal are treated as in [`store_run`](super::store_run). Rows of other objects
/// that tell of the same run stay: readers take the newest.
///
/// # Errors
/// When the database fails. Names of tests may have been stored.
pub async fn store_tests(client: &Client, run: &TestRun, object: &ObjectVersion) -> Result<Stored, DatabaseError> {
    add_names(client, run).await?;
    let ids = ids(client, run).await?;
    let results = ids.into_iter().zip(run.results.iter().map(|(_, result)| result)).collect();
    upsert(client, run, results, object).await
}

/// Adds the names that are not known yet, and says of the others that they are used.
///
/// The lock makes writers of one service wait for each other: of two that add the same names in different order, each
/// could wait for the other one. Ids are taken for new names alone: 2³¹ last for ever, but not if each run took 5,000.
async fn add_names(client: &Client, run: &TestRun) -> Result<(), DatabaseError> {
    let mut parameters = Parameters::default();
    let service = parameters.text(&run.service);
    let (suites, names) = lists(&mut parameters, run);
    let day = parameters.text(day_of(run.started_at).to_string());
    let statement = format!(
        "with turn as materialized (select pg_advisory_xact_lock(hashtextextended('ci_test_names ' || {service}, 0))),
         given as materialized (
             select given.suite, given.name, known.id, known.last_on
             from turn, unnest({suites}, {names}) given (suite, name)
             left join ci_test_names known on known.service = {service} and known.suite = given.suite
                                          and known.name = given.name
         ),
         used as (
             update ci_test_names set last_on = {day}::date
             where id in (select id from given where last_on < {day}::date - {DAYS_BETWEEN_NAMES})
               and last_on < {day}::date
         )
         insert into ci_test_names (service, suite, name, last_on)
         select {service}, suite, name, {day}::date from given where id is null order by suite, name
         on conflict on constraint ci_test_names_test do nothing"
    );
    client.query_typed(&statement, &parameters.typed()).await?;
    Ok(())
}

/// Reads the ids of the tests, in the order of the results.
async fn ids(client: &Client, run: &TestRun) -> Result<Vec<u32>, DatabaseError> {
    let mut parameters = Parameters::default();
    let service = parameters.text(&run.service);
    let (suites, names) = lists(&mut parameters, run);
    // A strict join: a name that was removed meanwhile fails the statement, and the next attempt adds it again.
    let statement = format!(
        "select coalesce(array_agg(known.id order by given.place), '{{}}') as ids
         from unnest({suites}, {names}) with ordinality as given (suite, name, place)
         left join ci_test_names known on known.service = {service} and known.suite = given.suite
                                      and known.name = given.name"
    );
    let row = client.query_typed_one(&statement, &parameters.typed()).await?;
    let ids: Vec<i32> = row.try_get("ids")?;
    Ok(ids.into_iter().map(i32::unsigned_abs).collect())
}

/// Adds the suites and the names of the tests as two lists. Returns their placeholders.
fn lists<'a>(parameters: &mut Parameters<'a>, run: &'a TestRun) -> (String, String) {
    let suites: Vec<&str> = run.results.iter().map(|(test, _)| test.suite.as_str()).collect();
    let names: Vec<&str> = run.results.iter().map(|(test, _)| test.name.as_str()).collect();
    (parameters.push(Type::TEXT_ARRAY, suites), parameters.push(Type::TEXT_ARRAY, names))
}

/// Inserts the row of an object, or updates it if this version is newer. A rejection of the same version, by earlier,
/// stricter rules, is removed.
async fn upsert(
    client: &Client,
    run: &TestRun,
    results: Vec<(u32, TestResult)>,
    object: &ObjectVersion,
) -> Result<Stored, DatabaseError> {
    // A document has at most `MAX_TESTS`.
    let tests = i64::try_from(results.len()).unwrap_or(i64::MAX);
    let packed = Packed::of(results);
    let mut parameters = Parameters::default();
    let key = parameters.text(&object.key);
    let version = parameters.text(&object.version);
    let etag = parameters.text(&object.etag);
    let files = run.files;
    let columns = [
        ("object_key", key.clone()),
        ("object_version", version.clone()),
        ("object_etag", etag.clone()),
        ("object_time", parameters.push(Type::TIMESTAMPTZ, to_system_time(object.time))),
        ("object_sequencer", parameters.text(object.sequencer.as_str())),
        ("run_id", parameters.text(&run.run_id)),
        ("service", parameters.text(&run.service)),
        ("command", parameters.text(&run.command)),
        ("environment", parameters.text(&run.environment)),
        ("commit_sha", parameters.text(&run.commit_sha)),
        ("modified", parameters.push(Type::BOOL, run.modified)),
        ("started_at", parameters.push(Type::TIMESTAMPTZ, to_system_time(run.started_at))),
        ("collector_version", parameters.text(&run.collector_version)),
        ("files_read", parameters.push(Type::INT8, i64::from(files.read))),
        ("files_unreadable", parameters.push(Type::INT8, i64::from(files.unreadable))),
        ("files_older", parameters.push(Type::INT8, i64::from(files.older))),
        ("files_other", parameters.push(Type::INT8, i64::from(files.other))),
        ("left_out", parameters.push(Type::INT8, i64::from(run.left_out))),
        ("tests", parameters.push(Type::INT8, tests)),
        ("test_ids", parameters.push(Type::BYTEA, packed.ids)),
        ("milliseconds", parameters.push(Type::BYTEA, packed.milliseconds)),
        ("outcomes", parameters.push(Type::BYTEA, packed.outcomes)),
    ];
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let values: Vec<&str> = columns.iter().map(|(_, value)| value.as_str()).collect();
    let updates: Vec<String> = names.iter().map(|name| format!("{name} = excluded.{name}")).collect();
    let statement = format!(
        "with accepted as (
             delete from ci_rejections
             where object_key = {key} and object_version is not distinct from {version} and object_etag = {etag}
         )
         insert into ci_tests as run ({names})
         values ({values})
         on conflict (object_key) do update set {updates}, ingested_at = excluded.ingested_at
         where (run.object_time, run.object_sequencer) < (excluded.object_time, excluded.object_sequencer)
            or ((run.object_time, run.object_sequencer) = (excluded.object_time, excluded.object_sequencer)
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
