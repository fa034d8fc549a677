-- Raw usage events, and what keeps the rollups true to them.
--
-- Any writer may insert into usage_events, with or without `on conflict do nothing`: one row per organization and event
-- id is kept, the first that came. Insert into usage_events itself, not into its partitions.

do $$
begin
    if to_regclass('usage_events') is not null then
        raise exception 'there is a table usage_events already'
            using hint = 'Rename it, migrate, and insert its rows into the new usage_events.';
    end if;
    -- Partition boundaries are UTC's, whatever zone the session is in.
    perform set_config('timezone', 'UTC', true);
end
$$;

create table usage_events (
    event_id        uuid           not null,
    organization_id uuid           not null,
    -- Null where the usage is of no particular model.
    model_id        uuid,
    occurred_at     timestamptz    not null check (isfinite(occurred_at)),
    received_at     timestamptz    not null default now() check (isfinite(received_at)),
    input_tokens    bigint         not null check (input_tokens >= 0),
    output_tokens   bigint         not null check (output_tokens >= 0),
    status          text           not null check (status in ('success', 'error', 'timeout', 'throttled')),
    -- Dollars; negative for a credit. NaN is a numeric, but no amount of money.
    cost_usd        numeric(14, 4) not null check (cost_usd <> 'NaN')
) partition by range (occurred_at);

create index usage_events_organization on usage_events (organization_id, occurred_at);

-- What has no partition of its own goes here: an event late by weeks, one from a clock that is ahead, and all of them if
-- partitions were not made in time. No event is refused for want of a partition.
create table usage_events_default partition of usage_events default;

-- To find its days.
create index usage_events_default_age on usage_events_default (occurred_at);

-- The ids of events, to know one that is sent again. A unique index on usage_events could not do that: it would have to
-- hold the partition key too, and an event that comes again with another time would be a second one.
--
-- A key is kept for some weeks; an event that comes again later is looked for among the events of its day.
create table usage_event_keys (
    organization_id uuid not null,
    event_id        uuid not null,
    received_on     date not null,
    primary key (organization_id, event_id)
);

-- Keys are made in the order of their day, so this small index finds the old ones.
create index usage_event_keys_age on usage_event_keys using brin (received_on) with (pages_per_range = 32);

-- Events that came after the events of their day were dropped. They are in no rollup: their buckets can no longer be
-- computed. They are kept to be seen.
create table usage_events_refused (
    event_id        uuid           not null,
    organization_id uuid           not null,
    model_id        uuid,
    occurred_at     timestamptz    not null,
    received_at     timestamptz    not null,
    input_tokens    bigint         not null,
    output_tokens   bigint         not null,
    status          text           not null,
    cost_usd        numeric(14, 4) not null,
    refused_at      timestamptz    not null default now(),
    primary key (organization_id, event_id)
);

-- The hours that received events since they were last computed. A row is written by the transaction that writes the
-- events and becomes visible with them, so that a refresh cannot see the one without the other, however long that
-- transaction was open. Rows are only added and deleted: no writer waits for another.
create table usage_dirty_hours (
    organization_id uuid        not null,
    hour            timestamptz not null,
    -- When the first of the events was received.
    received_at     timestamptz not null
);

create index usage_dirty_hours_hour on usage_dirty_hours (hour, organization_id);
create index usage_dirty_hours_organization on usage_dirty_hours (organization_id);

-- Until when an organization's rollups are computed.
create table usage_refreshed (
    organization_id uuid        primary key,
    last_event_at   timestamptz not null,
    last_refresh_at timestamptz not null
);

-- One row: from when on there is what.
create table usage_state (
    one          boolean     primary key default true check (one),
    -- Raw events that occurred before this are dropped.
    events_from  timestamptz not null default '-infinity',
    -- Rollups of buckets before this are dropped.
    rollups_from timestamptz not null default '-infinity',
    -- Keys of events that occurred and were received before this are forgotten.
    keys_from    timestamptz not null default '-infinity',
    -- When a refresh last began that left nothing to do.
    refreshed_at timestamptz
);

insert into usage_state default values;

-- How fresh an organization's rollups are. The lag is how long the oldest event that is not in them has waited; 0 if
-- all are.
create view usage_freshness as
select known.organization_id,
       refreshed.last_event_at,
       -- Null, where none ever reached it.
       case when refreshed.last_refresh_at is not null
           then greatest(refreshed.last_refresh_at, state.refreshed_at)
       end as last_refresh_at,
       coalesce(greatest(extract(epoch from now() - waiting.since), 0), 0)::bigint as lag_seconds
from (select organization_id from usage_refreshed union select organization_id from usage_dirty_hours) known
left join usage_refreshed refreshed using (organization_id)
left join lateral (
    select min(received_at) as since
    from usage_dirty_hours dirty
    where dirty.organization_id = known.organization_id
) waiting on true
cross join usage_state state;

-- Makes a table the partition of `parent` for [lower, upper), with the rows of that range that came to the default
-- partition before it. Returns how many those were, or null if the partition is there.
create function usage_create_partition(parent text, child text, lower timestamptz, upper timestamptz) returns bigint
language plpgsql as $$
declare
    fallback text := parent || '_default';
    key      text;
    moved    bigint;
begin
    if to_regclass(quote_ident(child)) is not null then
        return null;
    end if;
    select attname into strict key
    from pg_partitioned_table
    join pg_attribute on attrelid = partrelid and attnum = partattrs[0]
    where partrelid = quote_ident(parent)::regclass;
    -- Attached when it is filled: no trigger of the parent sees these rows again, and the parent is never locked for
    -- reading or writing.
    execute format('create table %I (like %I including defaults including constraints including storage
                                     including compression)', child, parent);
    if to_regclass(quote_ident(fallback)) is not null then
        execute format('lock table %I in access exclusive mode', fallback);
        execute format('with moved as (delete from %I where %I >= $1 and %I < $2 returning *)
                        insert into %I select * from moved', fallback, key, key, child) using lower, upper;
        get diagnostics moved = row_count;
    end if;
    execute format('alter table %I attach partition %I for values from (%L) to (%L)', parent, child, lower, upper);
    return coalesce(moved, 0);
end
$$;

-- Whether an event is kept whose key is forgotten.
create function usage_event_is_kept(organization uuid, event uuid, at timestamptz) returns boolean
language sql stable as $$
    select exists (
        select from usage_events
        where organization_id = organization and occurred_at = at and event_id = event
    )
$$;

-- Lets each event in once.
create function usage_events_accept() returns trigger
language plpgsql security definer as $$
declare
    state record;
begin
    -- Of two transactions that bring the same event, the second waits here for the end of the first. The key's day is
    -- never before the event's, so that an event whose key is forgotten is older than keys_from.
    insert into usage_event_keys (organization_id, event_id, received_on)
    values (new.organization_id, new.event_id,
            (greatest(new.received_at, new.occurred_at) at time zone 'UTC')::date)
    on conflict do nothing;
    if not found then
        return null;
    end if;
    -- Read after the key was made: had it been forgotten just before, keys_from says so.
    select events_from, keys_from into strict state from usage_state;
    if new.occurred_at < state.events_from then
        insert into usage_events_refused
            (event_id, organization_id, model_id, occurred_at, received_at, input_tokens, output_tokens, status, cost_usd)
        values
            (new.event_id, new.organization_id, new.model_id, new.occurred_at, new.received_at, new.input_tokens,
             new.output_tokens, new.status, new.cost_usd)
        on conflict do nothing;
        return null;
    end if;
    if new.occurred_at < state.keys_from
        and usage_event_is_kept(new.organization_id, new.event_id, new.occurred_at)
    then
        return null;
    end if;
    return new;
end
$$;

create trigger usage_events_accept before insert on usage_events
for each row execute function usage_events_accept();

-- Marks the hours of what came in.
create function usage_events_mark() returns trigger
language plpgsql security definer as $$
begin
    insert into usage_dirty_hours (organization_id, hour, received_at)
    select organization_id, date_trunc('hour', occurred_at, 'UTC') as hour, min(received_at)
    from arrived
    group by 1, 2;
    return null;
end
$$;

create trigger usage_events_mark after insert on usage_events
referencing new table as arrived
for each statement execute function usage_events_mark();

do $$
declare
    day timestamptz;
begin
    -- A writer needs no rights but to insert into usage_events. What runs with the owner's rights finds its tables here
    -- and nowhere else.
    execute format('alter function usage_events_accept() set search_path = %I, pg_temp', current_schema());
    execute format('alter function usage_events_mark() set search_path = %I, pg_temp', current_schema());

    -- The days that are not compressed yet, and a week to come. The nightly retention goes on with them.
    for day in
        select generate_series(date_trunc('day', now(), 'UTC') - interval '7 days',
                               date_trunc('day', now(), 'UTC') + interval '7 days', interval '1 day')
    loop
        perform usage_create_partition('usage_events', 'usage_events' || to_char(day, '_YYYYMMDD'), day,
                                       day + interval '1 day');
    end loop;
end
$$;
