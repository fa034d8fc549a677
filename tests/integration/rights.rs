//! The roles of the refresh and the retention have every right that they need, and no other: with any one of them taken
//! away, something is left undone. The fault `rights_taken_away` does the same to the other functions.

use std::time::Duration;

use postgres::Connection;
use tests::{
    Event, UsageDatabase,
    rights::rights,
    rollup::instant,
    usage::{PERIODS, send},
};
use tokio::time::Instant;
use usage::maintenance::{refresh::refresh, retention::retention};
use uuid::Uuid;

const LONG: Duration = Duration::from_secs(60);
/// An organization of which all can be computed, one whose hours are large, one whose hours fail, one with rollups that
/// were made elsewhere.
const WHOLE: Uuid = Uuid::from_u128(1);
const LARGE: Uuid = Uuid::from_u128(2);
const FAILING: Uuid = Uuid::from_u128(3);
const ADOPTED: Uuid = Uuid::from_u128(4);

/// The rows of all tables that maintenance writes, but for times and what a snapshot is called.
const LEFT: &str = "
    select concat_ws(E'\\n',
        (select string_agg(r::text, ' ' order by r::text) from analytics_hourly_rollups r),
        (select string_agg(r::text, ' ' order by r::text) from analytics_daily_rollups r),
        (select string_agg(concat_ws(',', organization_id, day, computed), ' ' order by organization_id, day) from usage_days),
        (select string_agg(concat_ws(',', organization_id, hour, events), ' ' order by organization_id, hour) from usage_dirty_hours),
        (select string_agg(concat_ws(',', subject, sentence), ' ' order by subject) from usage_notices),
        (select string_agg(concat_ws(',', organization_id, last_event_at), ' ' order by organization_id) from usage_refreshed),
        (select string_agg(concat_ws(',', organization_id, hour, lower), ' ' order by organization_id, lower) from usage_slices),
        (select string_agg(concat_ws(',', organization_id, bucket, bucket_start, kind, reason), ' '
                           order by organization_id, bucket, bucket_start) from usage_troubles),
        (select concat_ws(',', events_from, rollups_from, keys_from, unfinished_nights, days_are_known, refreshed_at) from usage_state),
        (select string_agg(child, ' ' order by child) from usage_partitions where parent like 'usage%'),
        (select count(*) from usage_events), (select count(*) from usage_events_unpacked),
        (select count(*) from usage_event_keys), (select count(*) from usage_events_refused),
        (select count(*) from usage_watermarks),
        (select string_agg(object_key, ' ' order by object_key) from ci_tests),
        (select string_agg(name, ' ' order by name) from ci_test_names))";

struct Maintenance {
    database: UsageDatabase,
    admin: Connection,
    worker: Connection,
}

impl Maintenance {
    async fn of(template: &UsageDatabase, role: &str) -> Self {
        let database = template.copy().await;
        let (admin, worker) = (database.client().await, database.client().await);
        worker.batch_execute(&format!("set role {role}")).await.unwrap();
        Self { database, admin, worker }
    }

    /// Runs everything that a role's function does, and returns what came of it.
    async fn outcome(mut self, role: &str) -> String {
        let mut reports = Vec::new();
        for (sql, events, now) in self.days() {
            self.admin.batch_execute(sql).await.unwrap();
            send(&self.admin, &events).await;
            let large = format!("update usage_dirty_hours set events = 3000000 where organization_id = '{LARGE}'");
            self.admin.batch_execute(&large).await.unwrap();
            let report = if role == "analytics_refresh" {
                refresh(&mut self.worker, instant(now), LONG).await.map(|report| format!("{report:?}"))
            } else {
                retention(&mut self.worker, &mut [], instant(now), &PERIODS, LONG).await.map(|mut report| {
                    // Sizes depend on what the server's pages held before.
                    (report.bytes_before, report.bytes_after) = (0, 0);
                    format!("{report:?}")
                })
            };
            reports.push(report.unwrap_or_else(|error| format!("{error}: {:?}", error.code())));
        }
        reports.push(self.admin.query_one(LEFT, &[]).await.unwrap().get(0));
        drop((self.admin, self.worker));
        self.database.drop().await;
        reports.join("\n")
    }

    /// What happens to the database, and which events come, before each run.
    fn days(&self) -> Vec<(&'static str, Vec<Event>, &'static str)> {
        let event = |organization, at| Event::at(organization, instant(at));
        vec![
            (
                "alter table analytics_hourly_rollups add constraint not_three
                     check (organization_id <> '00000000-0000-0000-0000-000000000003');
                 insert into analytics_hourly_rollups values
                     ('2024-03-01T05:00:00Z', '00000000-0000-0000-0000-000000000004', null, 7, 7, 7, 7),
                     ('2020-03-01T05:00:00Z', '00000000-0000-0000-0000-000000000001', null, 7, 7, 7, 7);
                 insert into usage_refreshed values ('00000000-0000-0000-0000-000000000004', '2024-03-01', '2024-03-01');
                 insert into ci_test_names (service, suite, name, last_on) values ('s', 's', 'n', '2023-01-01');
                 insert into ci_tests (object_key, object_etag, object_time, run_id, service, command, environment,
                     commit_sha, modified, started_at, collector_version, files_read, files_unreadable, files_older,
                     files_other, left_out, tests, test_ids, milliseconds, outcomes)
                 values ('k', 'e', '2023-01-01', 'r', 's', 'c', 'e', 'c', false, '2023-01-01', '1', 0, 0, 0, 0, 0, 0, '', '', '')",
                vec![
                    event(WHOLE, "2022-06-01T12:00:00Z"),
                    event(WHOLE, "2024-02-29T12:00:00Z"),
                    event(WHOLE, "2024-03-07T12:00:00Z"),
                    event(WHOLE, "2024-03-07T13:00:00Z"),
                    event(LARGE, "2024-03-07T12:00:00Z"),
                    event(FAILING, "2024-03-07T12:00:00Z"),
                    event(ADOPTED, "2024-03-01T05:30:00Z"),
                ],
                "2024-03-08T02:30:00Z",
            ),
            // A late event of a packed day; the hour that failed can be computed now; deletes fail.
            (
                "alter table analytics_hourly_rollups drop constraint not_three;
                 create function no() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
                 insert into analytics_daily_rollups values
                     ('2019-03-01T00:00:00Z', '00000000-0000-0000-0000-000000000001', null, 7, 7, 7, 7);
                 create trigger no before delete on analytics_daily_rollups_default for each row
                     when (old.bucket_start = '2019-03-01T00:00:00Z') execute function no();
                 update analytics_daily_rollups set request_count = 0 where bucket_start = '2024-02-29T00:00:00Z'",
                vec![event(WHOLE, "2024-02-29T13:00:00Z"), event(LARGE, "2024-03-07T12:30:00Z")],
                "2024-03-09T02:30:00Z",
            ),
            // The trigger goes; everything of that time is dropped.
            (
                "drop trigger no on analytics_daily_rollups_default",
                vec![event(WHOLE, "2025-05-31T13:00:00Z")],
                "2025-06-01T02:30:00Z",
            ),
            // No rollups can be written, and then they can again.
            ("alter table analytics_daily_rollups rename to elsewhere", Vec::new(), "2025-06-02T02:30:00Z"),
            ("alter table elsewhere rename to analytics_daily_rollups", Vec::new(), "2025-06-03T02:30:00Z"),
        ]
    }
}

#[tokio::test]
async fn maintenance_needs_each_of_its_rights_and_no_other() {
    let template = UsageDatabase::create_empty().await;
    let mut client = template.client().await;
    migrate::migrate(&mut client, Instant::now() + LONG).await.unwrap();
    let mut unnoticed = Vec::new();
    let mut all = Vec::new();
    for role in ["analytics_refresh", "analytics_retention"] {
        all.push((role, rights(&client, role).await));
    }
    drop(client);
    for (role, rights) in all {
        assert!(rights.len() > 30, "{role}: {rights:?}");
        let whole = Maintenance::of(&template, role).await.outcome(role).await;
        assert!(!whole.contains("permission denied"), "{role}: {whole}");
        for right in rights {
            let maintenance = Maintenance::of(&template, role).await;
            maintenance.admin.batch_execute(&right.revoke).await.unwrap();
            if maintenance.outcome(role).await == whole {
                unnoticed.push(right.revoke);
            }
        }
    }
    assert!(unnoticed.is_empty(), "nothing is left undone after {unnoticed:#?}");
    template.drop().await;
}
