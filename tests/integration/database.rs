//! Connections to PostgreSQL: what they refuse, what they show of errors, and what they leave behind.

use std::{error::Error, time::Duration};

use postgres::{Database, DatabaseError, LimitedReads, set_statement_timeout, tables};
use rust_decimal::{Decimal, RoundingStrategy};
use tests::stack::variable;
use tokio_postgres::{
    Config,
    config::{Host, TargetSessionAttrs},
};

fn config() -> Config {
    variable("DATABASE_URL").parse().unwrap()
}

fn database(config: Config) -> Database {
    Database::new(config, "tests")
}

#[tokio::test]
async fn the_session_that_the_address_asks_for_is_checked_with_one_host_as_with_two() {
    for hosts in 1..=2 {
        for (wanted, is_read_only, accepted) in [
            (TargetSessionAttrs::ReadWrite, false, true),
            (TargetSessionAttrs::ReadWrite, true, false),
            (TargetSessionAttrs::ReadOnly, true, true),
            (TargetSessionAttrs::ReadOnly, false, false),
            (TargetSessionAttrs::Any, true, true),
        ] {
            let mut config = config();
            let host = config.get_hosts()[0].clone();
            let port = config.get_ports()[0];
            if let (2, Host::Tcp(host)) = (hosts, host) {
                config.host(host).port(port);
            }
            config.target_session_attrs(wanted);
            config.options(format!("-c default_transaction_read_only={is_read_only}"));
            let connected = database(config).connect().await;
            assert_eq!(connected.is_ok(), accepted, "{hosts} hosts, {wanted:?}, {is_read_only}: {connected:?}");
        }
    }
}

#[tokio::test]
async fn a_host_that_does_not_answer_leaves_time_for_the_next() {
    // The kernel accepts the connection, but no process answers.
    let silent = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let real = config();
    let mut both = Config::new();
    both.user(real.get_user().unwrap()).password(real.get_password().unwrap()).dbname(real.get_dbname().unwrap());
    let Host::Tcp(host) = real.get_hosts()[0].clone() else { panic!("the stack's database has one host") };
    both.host("127.0.0.1").port(silent.local_addr().unwrap().port()).host(host).port(real.get_ports()[0]);
    database(both).connect().await.unwrap();
}

/// Everything that an error shows, to whoever prints it in whatever way.
fn shown(error: &DatabaseError) -> String {
    let mut text = format!("{error} {error:?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(" {error} {error:?}");
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn an_error_shows_no_rows() {
    let client = database(config()).connect().await.unwrap();
    client
        .batch_execute("create temporary table secrets (name text primary key, length int check (length < 9))")
        .await
        .unwrap();
    client.batch_execute("insert into secrets values ('hush', 4)").await.unwrap();
    for (statement, code) in [
        ("insert into secrets values ('hush', 4)", "23505"),
        ("insert into secrets values ('hush-hush', 9)", "23514"),
        ("insert into secrets values (null, 'hush'::text::int)", "22P02"),
    ] {
        let error = DatabaseError::from(client.batch_execute(statement).await.unwrap_err());
        let shown = shown(&error);
        assert_eq!(error.code().unwrap().code(), code);
        assert!(shown.contains(code), "{shown}");
        assert!(!shown.contains("DETAIL") && !shown.to_lowercase().contains("detail"), "{shown}");
        // The message of an invalid text quotes the text, not the row.
        assert!(code == "22P02" || !shown.contains("hush"), "{shown}");
    }
    client.close().await;
}

#[tokio::test]
async fn a_statement_timeout_ends_with_its_request() {
    let database = database(config());
    let client = database.client().await.unwrap();
    let timeout = async || client.query_one("show statement_timeout", &[]).await.unwrap().get::<_, String>(0);
    let usual = timeout().await;
    {
        let limited = LimitedReads::begin(&client, Duration::from_millis(50)).await.unwrap();
        let error = DatabaseError::from(limited.batch_execute("select pg_sleep(5)").await.unwrap_err());
        assert!(error.is_timeout(), "{error:?}");
    }
    assert_eq!(timeout().await, usual);
    // A caller that does not wait for its end leaves nothing behind either.
    let begun = LimitedReads::begin(&client, Duration::from_secs(50));
    assert!(tokio::time::timeout(Duration::ZERO, begun).await.is_err() || timeout().await == usual);
    assert_eq!(timeout().await, usual);
    assert_eq!(set_statement_timeout(Duration::ZERO), "set local statement_timeout = 1");
}

#[tokio::test]
async fn a_lease_gives_back_an_idle_connection_and_closes_a_busy_one() {
    let database = database(config());
    let backend = async || -> (i32, postgres::Lease) {
        let lease = database.take().await.unwrap();
        (lease.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0), lease)
    };
    let (first, lease) = backend().await;
    drop(lease);
    let (second, mut lease) = backend().await;
    assert_eq!(first, second);
    lease.mark_busy();
    lease.batch_execute("begin").await.unwrap();
    drop(lease);
    let (third, _) = backend().await;
    assert_ne!(second, third);
}

#[tokio::test]
async fn the_database_rounds_half_to_even_as_the_lines_are() {
    let client = database(config()).connect().await.unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..400 {
        let digits = random.i64(-1_000_000..1_000_000);
        let scale = random.u32(0..=12);
        let cost = if round % 2 == 0 { Decimal::new(digits * 10 + 5, 5) } else { Decimal::new(digits, scale) };
        let query = format!("select ({})::text", tables::rounded(&format!("'{cost}'::numeric")));
        let rounded: String = client.query_one(&query, &[]).await.unwrap().get(0);
        let expected = cost.round_dp_with_strategy(4, RoundingStrategy::MidpointNearestEven);
        assert_eq!(Decimal::from_str_exact(&rounded).unwrap(), expected, "{cost}");
    }
    let query = format!("select ({})::text", tables::rounded("'NaN'::numeric"));
    assert_eq!(client.query_one(&query, &[]).await.unwrap().get::<_, String>(0), "NaN");
    client.close().await;
}
