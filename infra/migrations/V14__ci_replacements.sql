-- Documents that tell of a run whose row another document has: of each run, only the newest counts. Their facts stay here,
-- so that no run is replaced unseen. Functions only add rows.

create table ci_replacements (
    id                  bigint      generated always as identity primary key,

    -- The run.
    service             text        not null,
    run_id              text        not null,
    command             text        not null,

    -- The object that does not count, and all that it says: the columns of ci_runs.
    object_key          text        not null collate "C",
    object_version      text,
    object_etag         text        not null,
    object_time         timestamptz not null,
    object_sequencer    text        not null collate "C",
    run                 jsonb       not null check (jsonb_typeof(run) = 'object'),

    -- The object that counted when this was recorded.
    replaced_by_key     text        not null collate "C",
    replaced_by_version text,
    replaced_at         timestamptz not null default now(),

    -- However often the same version is read, it is recorded once. A version tells of one run.
    constraint ci_replacements_object unique nulls not distinct (object_key, object_version, object_etag)
);

create index ci_replacements_run on ci_replacements (service, run_id, command);

-- Keeps what a run's row said when a document at another key replaces it, whoever writes the row. With its owner's
-- rights, since the role of an earlier version of the function has none on this table.
create function ci_keep_replaced() returns trigger
language plpgsql security definer as $$
begin
    insert into ci_replacements (service, run_id, command, object_key, object_version, object_etag, object_time,
                                 object_sequencer, run, replaced_by_key, replaced_by_version)
    values (old.service, old.run_id, old.command, old.object_key, old.object_version, old.object_etag, old.object_time,
            old.object_sequencer, to_jsonb(old), new.object_key, new.object_version)
    on conflict do nothing;
    return null;
end
$$;

do $$
begin
    execute format('alter function ci_keep_replaced() set search_path = %I, pg_temp', current_schema());
    revoke execute on function ci_keep_replaced() from public;
end
$$;

create trigger ci_runs_keep_replaced after update on ci_runs for each row
    when (old.object_key <> new.object_key) execute function ci_keep_replaced();
