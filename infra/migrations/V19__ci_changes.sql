-- Changes of the durations of CI's commands, as they were told: each has an id, a state and a history, and people answer it.

-- Series whose successful runs changed since they were looked at: a mark for each run that was stored, replaced or removed.
-- A mark becomes visible together with its run, so that a look cannot miss a run of a transaction that commits later.
create table ci_unseen (
    id          bigint      generated always as identity primary key,
    service     text        not null,
    command     text        not null,
    environment text        not null,
    marked_at   timestamptz not null default now()
);

create index ci_unseen_series on ci_unseen (service, command, environment);

-- Marks the series of a run, whoever writes it: of the one that was, and of the one that is. With its owner's rights, since
-- the role of an earlier version of the function has none on these tables.
create function ci_mark_unseen() returns trigger
language plpgsql security definer as $$
begin
    if tg_op <> 'INSERT' and old.status = 'success' then
        insert into ci_unseen (service, command, environment) values (old.service, old.command, old.environment);
    end if;
    if tg_op <> 'DELETE' and new.status = 'success' then
        insert into ci_unseen (service, command, environment) values (new.service, new.command, new.environment);
    end if;
    return null;
end
$$;

do $$
begin
    execute format('alter function ci_mark_unseen() set search_path = %I, pg_temp', current_schema());
    revoke execute on function ci_mark_unseen() from public;
end
$$;

create trigger ci_runs_mark_unseen after insert or update or delete on ci_runs for each row
    execute function ci_mark_unseen();

-- What is there already.
insert into ci_unseen (service, command, environment)
select distinct service, command, environment from ci_runs where status = 'success';

-- The series that were looked at.
create table ci_looks (
    service     text        not null,
    command     text        not null,
    environment text        not null,
    -- The number of successful runs at the last look, at most 1,000.
    runs        integer     not null check (runs >= 0),
    looked_at   timestamptz not null,

    constraint ci_looks_series primary key (service, command, environment)
);

create table ci_changes (
    id              uuid        primary key,
    service         text        not null,
    command         text        not null,
    environment     text        not null,
    -- Its place among those of its series, in the order in which they were told, from 0.
    number          integer     not null check (number >= 0),
    -- The first run after it, as it was first told.
    told_run_id     text        not null,
    -- That run as it is known now, with what is told of it.
    run_id          text        not null,
    commit_sha      text        not null,
    changed_at      timestamptz not null,
    state           text        not null check (state in ('provisional', 'confirmed', 'withdrawn')),
    reason          text        check (reason in ('chance', 'smaller')),
    before_seconds  float8      not null,
    after_seconds   float8      not null,
    -- The change of the median when it was told, as a share of the median before. Positive is slower.
    told            float8      not null,
    p_value         float8      not null,
    correlated      boolean     not null,
    -- Correlated noise, or days that differ.
    low_confidence  boolean     not null,
    possible_causes text[]      not null,
    -- Found by the first look at its series, and long ago then: it is listed, and nobody is told of it.
    is_history      boolean     not null,
    told_at         timestamptz not null,
    confirmed_at    timestamptz,
    withdrawn_at    timestamptz,

    constraint ci_changes_number unique (service, command, environment, number),
    check ((state = 'withdrawn') = (reason is not null)),
    check ((state = 'withdrawn') = (withdrawn_at is not null)),
    check (state <> 'confirmed' or confirmed_at is not null)
);

-- What is told of changes on the event bus: written with the change, and kept until the bus has confirmed it.
create table ci_change_events (
    id          uuid        primary key,
    change_id   uuid        not null references ci_changes,
    kind        text        not null check (kind in ('confirmed', 'withdrawn')),
    occurred_at timestamptz not null,
    -- JSON, as text: however often it is told, it has the same bytes.
    detail      text        not null,
    told_at     timestamptz
);

create index ci_change_events_untold on ci_change_events (occurred_at, id) where told_at is null;

-- What people answered to a change. Rows are only added: the last of a change counts.
create table ci_acknowledgements (
    change_id uuid        not null references ci_changes,
    version   integer     not null check (version > 0),
    -- Null takes the one before back.
    note      text        check (char_length(note) between 1 and 500),
    -- The subject of the token: issuer and name.
    subject   jsonb       not null check (jsonb_typeof(subject) = 'object'),
    made_at   timestamptz not null default now(),

    constraint ci_acknowledgements_version primary key (change_id, version)
);

-- Changes with the answer that counts. `is_over`: a later change took back at least half of it. `needs_attention`: a
-- confirmed slowdown to which nobody has answered.
create view ci_changes_now as
with judged as (
    select change.*, answer.version as answer_version, answer.note,
           answer.subject::text as subject, answer.made_at,
           exists (
               select from ci_changes later
               where (later.service, later.command, later.environment)
                   = (change.service, change.command, change.environment)
                 and later.state = 'confirmed' and later.changed_at > change.changed_at
                 and case when change.told > 0
                          then later.after_seconds <= (change.before_seconds + change.after_seconds) / 2
                          else later.after_seconds >= (change.before_seconds + change.after_seconds) / 2 end
           ) as is_over
    from ci_changes change
         left join lateral (
             select version, note, subject, made_at from ci_acknowledgements
             where change_id = change.id
             order by version desc
             limit 1
         ) answer on true
)
select judged.*, state = 'confirmed' and told > 0 and note is null and not is_over and not is_history as needs_attention
from judged;
