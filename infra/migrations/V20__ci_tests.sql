-- The results of single tests in runs of CI. A row holds all tests of a run, packed: of 5,000 tests in 200 runs a day, rows
-- of their own would take 60 times the space, see docs/adr/0022.

-- The names of tests. Results refer to them by their ids.
create table ci_test_names (
    id      integer generated always as identity primary key,
    service text    not null,
    suite   text    not null,
    name    text    not null,
    -- The day of the last run with this test, or one up to a week before it: it is not written for each run.
    last_on date    not null,

    constraint ci_test_names_test unique (service, suite, name)
);

create table ci_tests (
    -- The object that it was read from. Its newest version counts.
    object_key        text        primary key collate "C",
    -- Null where the bucket keeps no versions.
    object_version    text,
    object_etag       text        not null,
    -- When the store took this version, in whole seconds.
    object_time       timestamptz not null,
    -- S3's sequencer without its trailing zeros; empty where no event told it.
    object_sequencer  text        not null default '' collate "C",
    ingested_at       timestamptz not null default now(),

    -- The run. Of several objects that tell of one run, readers take the newest.
    run_id            text        not null,
    service           text        not null,
    command           text        not null,
    environment       text        not null,
    commit_sha        text        not null,
    -- Whether the working copy differed from the commit.
    modified          boolean     not null,
    started_at        timestamptz not null,
    collector_version text        not null,

    -- The files that the results are from, and those that they lack.
    files_read        bigint      not null check (files_read >= 0),
    files_unreadable  bigint      not null check (files_unreadable >= 0),
    files_older       bigint      not null check (files_older >= 0),
    files_other       bigint      not null check (files_other >= 0),
    -- The results that the document had no room for.
    left_out          bigint      not null check (left_out >= 0),

    -- The number of results, and three lists of that length, by ascending id; shared/ci/src/test_results/packed.rs has
    -- the form: the differences of the ids, the durations, and a letter for each outcome.
    tests             bigint      not null check (tests >= 0),
    test_ids          bytea       not null,
    milliseconds      bytea       not null,
    outcomes          bytea       not null check (octet_length(outcomes) = tests)
);

create index ci_tests_series on ci_tests (service, command, environment, started_at);
create index ci_tests_newest on ci_tests (started_at, object_key);
create index ci_tests_run on ci_tests (service, run_id, command);
