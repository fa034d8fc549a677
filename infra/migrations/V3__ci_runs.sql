-- The CI runs that telemetry documents tell of, and the documents that could not be taken.

create table ci_runs (
    -- For pages: unlike the time of a run, it is unique.
    id                bigint      generated always as identity primary key,

    -- The document's own fields.
    run_id            text        not null,
    service           text        not null,
    command           text        not null,
    status            text        not null check (status in ('success', 'failure', 'cancelled')),
    started_at        timestamptz not null,
    finished_at       timestamptz not null check (finished_at >= started_at),
    -- As the document states it, to the last digit.
    duration_seconds  numeric     not null check (duration_seconds >= 0),
    commit_sha        text        not null,
    actor             text        not null,
    environment       text        not null,
    collector_version text        not null,
    -- Its other fields, as an object.
    extra             jsonb       not null default '{}' check (jsonb_typeof(extra) = 'object'),

    -- The object that it was read from: the evidence.
    object_key        text        not null collate "C",
    -- Null where the bucket keeps no versions.
    object_version    text,
    object_etag       text        not null,
    -- When the store took this version, in whole seconds.
    object_time       timestamptz not null,
    -- S3's sequencer without its trailing zeros, which orders the versions of one key; empty where no event told it.
    object_sequencer  text        not null default '' collate "C",
    ingested_at       timestamptz not null default now(),

    constraint ci_runs_run unique (service, run_id, command),
    -- An object tells of one run. What its newest version says replaces what an older one said.
    constraint ci_runs_object unique (object_key)
);

create index ci_runs_series on ci_runs (service, command, environment, started_at);
create index ci_runs_newest on ci_runs (started_at, id);

create table ci_rejections (
    id             bigint      generated always as identity primary key,
    object_key     text        not null collate "C",
    object_version text,
    object_etag    text        not null,
    -- Every mistake found, as sentences for the document's author.
    reason         text        not null,
    rejected_at    timestamptz not null default now(),

    -- However often the same version is read, it is rejected once.
    constraint ci_rejections_object unique nulls not distinct (object_key, object_version, object_etag)
);

create index ci_rejections_newest on ci_rejections (rejected_at, id);
