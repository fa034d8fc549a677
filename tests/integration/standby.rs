//! A standby of the database: it is refused unless it is asked for, and its exports state what it has.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use domain::ExportRequest;
use engine::{CsvFile, Settings, Snapshot};
use jiff::Timestamp;
use postgres::{Database, DatabaseError};
use tests::{
    Event, UsageDatabase,
    organization::export_of,
    poll::{WAIT_TIMEOUT, until},
    rollup::instant,
    stack::variable,
    usage::{PERIODS, send},
};
use tokio_postgres::{Config, config::TargetSessionAttrs};
use usage::{
    Completeness, Figures, changed_since, completeness,
    maintenance::{refresh::refresh, retention::retention},
};
use uuid::Uuid;

const ORG: Uuid = Uuid::from_u128(1);
const LONG: Duration = Duration::from_secs(60);

/// A standby of the stack's server; stopped and removed when it is dropped.
struct Standby {
    server: Child,
    data: PathBuf,
    port: u16,
}

impl Standby {
    fn start() -> Self {
        let psql = PathBuf::from(variable("PSQL"));
        let bin = psql.parent().unwrap();
        let data = std::env::temp_dir().join(format!("standby-{}", Uuid::new_v4().simple()));
        let url = variable("DATABASE_URL");
        let backup = Command::new(bin.join("pg_basebackup"))
            .args(["--checkpoint=fast", "--write-recovery-conf", "--no-sync", "--dbname"])
            .arg(&url)
            .arg("--pgdata")
            .arg(&data)
            .output()
            .unwrap();
        assert!(backup.status.success(), "{}", String::from_utf8_lossy(&backup.stderr));
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = as_user(&bin.join("postgres"), &data);
        server.arg("-D").arg(&data).args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
        server.args(["-c", &format!("port={port}"), "-c", "max_connections=200", "-c", "fsync=off"]);
        let log = fs::File::create(data.join("standby.log")).unwrap();
        let server = server.stderr(log).stdout(Stdio::null()).spawn().unwrap();
        Self { server, data, port }
    }

    /// The address of a database on it.
    fn config(&self, url: &str) -> Config {
        let (before, name) = url.rsplit_once('/').unwrap();
        let (before, _) = before.rsplit_once(':').unwrap();
        format!("{before}:{}/{name}", self.port).parse().unwrap()
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = fs::remove_dir_all(&self.data);
    }
}

/// A program that does not run as root: in a user namespace, or as nobody where there are none.
fn as_user(program: &Path, data: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let namespaces = Command::new("unshare").args(["--user", "true"]).status().is_ok_and(|status| status.success());
    if namespaces {
        let mut command = Command::new("unshare");
        command.arg("--user").arg(program);
        return command;
    }
    let given = Command::new("chown").args(["-R", "65534:65534"]).arg(data).status();
    assert!(given.is_ok_and(|status| status.success()), "the data folder is given to nobody");
    let mut command = Command::new(program);
    command.uid(65534).gid(65534);
    command
}

#[tokio::test]
async fn a_standby_is_refused_unless_it_is_asked_for() {
    let standby = tokio::task::spawn_blocking(Standby::start).await.unwrap();
    let refused = Database::new(standby.config(&variable("DATABASE_URL")), "tests");
    let error = until("the standby answers", WAIT_TIMEOUT, async || match refused.client().await {
        Err(DatabaseError::Standby) => Ok(DatabaseError::Standby),
        Err(error) => Err(format!("{error:?}")),
        Ok(_) => panic!("a standby was taken for the primary"),
    })
    .await;
    assert!(error.to_string().contains("use the primary"), "{error}");
    assert!(error.is_transient(), "a failover makes it the primary");
    // Whoever asks for it gets it.
    let mut config = standby.config(&variable("DATABASE_URL"));
    config.target_session_attrs(TargetSessionAttrs::ReadOnly);
    let database = Database::new(config, "tests");
    let client = database.client().await.unwrap();
    let in_recovery = client.query_one("select pg_is_in_recovery()", &[]).await.unwrap();
    assert!(in_recovery.get::<_, bool>(0));
}

/// Makes an export. Returns its rows and its completeness.
async fn export(database: &Database, request: &ExportRequest) -> (u64, Completeness) {
    let settings = Settings { connections: 1, limit: LONG };
    let snapshot = Snapshot::begin(database, ORG.into(), request, settings).await.unwrap();
    let known = completeness(snapshot.client(), ORG.into(), request.range, request.granularity, Timestamp::now()).await;
    let mut csv = CsvFile::read(snapshot).await.unwrap();
    while csv.next().await.unwrap().is_some() {}
    (csv.finish().await.unwrap().row_count, known.unwrap())
}

#[tokio::test]
async fn an_export_of_a_standby_that_is_behind_says_so() {
    let primary = UsageDatabase::create().await;
    let mut client = primary.client().await;
    let now = instant("2026-03-05T03:00:00Z");
    retention(&mut client, &mut [], now, &PERIODS, LONG).await.unwrap();
    let own = Database::new(primary.url().parse::<Config>().unwrap(), "tests");
    let request =
        ExportRequest::from_json(&export_of("2026-03-01T00:00:00Z", "2026-03-05T00:00:00Z", "daily")).unwrap();
    // The watermark waits for the transactions of other tests on the same server.
    let mut refreshed_after = async |before: Option<Timestamp>| {
        until("a watermark", WAIT_TIMEOUT, async || {
            refresh(&mut client, now, LONG).await.unwrap();
            let (rows, known) = export(&own, &request).await;
            if known.watermark > before { Ok((rows, known)) } else { Err(known) }
        })
        .await
    };
    let writer = primary.client().await;
    send(&writer, &[Event::at(ORG, instant("2026-03-03T10:30:00Z"))]).await;
    let (_, first) = refreshed_after(None).await;

    let standby = tokio::task::spawn_blocking(Standby::start).await.unwrap();
    let mut config = standby.config(&primary.url());
    config.target_session_attrs(TargetSessionAttrs::ReadOnly);
    let replica = Database::new(config, "tests");
    let watcher = until("the standby answers", WAIT_TIMEOUT, async || replica.connect().await).await;
    watcher.batch_execute("select pg_wal_replay_pause()").await.unwrap();
    until("it is behind", WAIT_TIMEOUT, async || {
        let state = watcher.query_one("select pg_get_wal_replay_pause_state()", &[]).await.unwrap();
        let state: String = state.get(0);
        if state == "paused" { Ok(()) } else { Err(state) }
    })
    .await;

    send(&writer, &[Event::at(ORG, instant("2026-03-04T10:30:00Z"))]).await;
    let (rows_ahead, ahead) = refreshed_after(first.watermark).await;
    let (rows, behind) = export(&replica, &request).await;
    assert_eq!((rows, rows_ahead), (1, 2));
    assert!(behind.watermark < ahead.watermark, "{behind:?} {ahead:?}");
    let figures = |known: &Completeness| Figures {
        range: request.range,
        granularity: request.granularity,
        changed_at: known.changed_at,
    };
    let changed = changed_since(&writer, ORG.into(), &[figures(&behind), figures(&ahead)]).await.unwrap();
    assert_eq!(changed, [true, false], "the primary tells which file lacks usage");

    watcher.batch_execute("select pg_wal_replay_resume()").await.unwrap();
    until("the standby has it all", WAIT_TIMEOUT, async || {
        let (rows, known) = export(&replica, &request).await;
        if rows == 2 && known.watermark == ahead.watermark { Ok(()) } else { Err(format!("{rows} rows, {known:?}")) }
    })
    .await;
    drop((watcher, replica, standby));
    primary.drop().await;
}
