-- What a refresh has done, what it could not do, and from when on it may: the books that say whether the rollups of an
-- organization's range are whole.

-- ---- Marks: how much came in, when it occurred, and by which transaction. ----

alter table usage_dirty_hours
    add column events   bigint not null default 0,
    -- The times of the first and the last event; null means anywhere in the hour.
    add column first_at timestamptz,
    add column last_at  timestamptz,
    -- Whether a snapshot had these events is known by their transaction. Null for marks of before.
    add column writer   xid8;
alter table usage_dirty_hours alter column writer set default pg_current_xact_id();

-- The time of the insert, not of the transaction's begin: no event is received before its transaction has a number.
alter table usage_events alter column received_at set default clock_timestamp();

create or replace function usage_events_mark() returns trigger
language plpgsql security definer as $$
begin
    insert into usage_dirty_hours (organization_id, hour, received_at, events, first_at, last_at)
    select organization_id, date_trunc('hour', occurred_at, 'UTC') as hour, min(received_at), count(*),
           min(occurred_at), max(occurred_at)
    from arrived
    group by 1, 2;
    return null;
end
$$;

-- ---- Events that are kept aside. ----

-- 'dropped': the events of that day were dropped before. 'future': more than a day ahead of when it was received, such as
-- milliseconds taken for seconds.
alter table usage_events_refused
    add column reason text not null default 'dropped' check (reason in ('dropped', 'future'));
create index usage_events_refused_time on usage_events_refused (organization_id, occurred_at);
create index usage_events_refused_age on usage_events_refused (refused_at);

create function usage_events_refuse(event usage_events, why text) returns void
language sql as $$
    insert into usage_events_refused
        (event_id, organization_id, model_id, occurred_at, received_at, input_tokens, output_tokens, status, cost_usd,
         reason)
    values
        (event.event_id, event.organization_id, event.model_id, event.occurred_at, event.received_at, event.input_tokens,
         event.output_tokens, event.status, event.cost_usd, why)
    on conflict do nothing
$$;

-- Lets each event in once.
create or replace function usage_events_accept() returns trigger
language plpgsql security definer as $$
declare
    state record;
begin
    -- Zeros at the end are no digits of the cost.
    if scale(new.cost_usd) > 18 then
        new.cost_usd := trim_scale(new.cost_usd);
    end if;
    -- Before a key is made: the same event is taken when it comes again with the right time. A clock that is ahead may
    -- have stamped both times. (Infinity is no time, which the table's own check says.)
    if isfinite(new.occurred_at) and new.occurred_at > least(new.received_at, clock_timestamp()) + interval '24 hours' then
        perform usage_events_refuse(new, 'future');
        return null;
    end if;
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
        perform usage_events_refuse(new, 'dropped');
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

-- ---- What was computed. ----

-- The days of organizations of which a refresh computed rollups. A rollup of another hour was made elsewhere.
create table usage_days (
    organization_id uuid        not null,
    day             timestamptz not null,
    -- Bit n is the day's hour n, and bit 24 the day itself.
    computed        integer     not null,
    -- When a rollup of the day or of one of its hours last changed. Refreshes write one after the other, so that a later
    -- change has a later time.
    changed_at      timestamptz not null,
    primary key (organization_id, day)
);

-- Hours of very many events, which are summed in slices.
create table usage_slices (
    organization_id uuid        not null,
    hour            timestamptz not null,
    lower           timestamptz not null,
    upper           timestamptz not null,
    -- The snapshot that the sums were read from; null while they are to be read.
    seen            pg_snapshot,
    primary key (organization_id, hour, lower)
);

create table usage_slice_sums (
    organization_id uuid        not null,
    hour            timestamptz not null,
    lower           timestamptz not null,
    model_id        uuid,
    request_count   numeric     not null,
    tokens_total    numeric     not null,
    error_count     numeric     not null,
    cost_total      numeric     not null,
    last_event_at   timestamptz not null,
    foreign key (organization_id, hour, lower) references usage_slices on delete cascade
);

create index usage_slice_sums_slice on usage_slice_sums (organization_id, hour, lower);

-- ---- What was not. ----

-- Buckets whose rollups are not what their raw events say, and why.
create table usage_troubles (
    organization_id uuid        not null,
    bucket          text        not null check (bucket in ('hour', 'day')),
    bucket_start    timestamptz not null,
    -- failed:          the events could not be summed, or the rollup table refuses the sums; it is tried again.
    -- adopted:         the rollups were made elsewhere and differ; they are kept.
    -- fewer_events:    the rollups count more requests than there are raw events; they are kept.
    -- before_cut_over: events came for a bucket before the organization's cut-over; they are in no rollup of ours.
    -- abandoned:       the raw events were dropped before they could be summed.
    kind            text        not null
                    check (kind in ('failed', 'adopted', 'fewer_events', 'before_cut_over', 'abandoned')),
    -- A sentence, without values of rows.
    reason          text        not null,
    sqlstate        text,
    attempts        integer     not null default 1,
    -- Raw events that are in no rollup, where they were counted.
    events          bigint,
    first_at        timestamptz not null,
    last_at         timestamptz not null,
    -- A refresh leaves the hour alone until then.
    next_try_at     timestamptz,
    primary key (organization_id, bucket, bucket_start)
);

-- Troubles of a whole table or task, such as a rollup view that takes no writes. Each is reported when it appears.
create table usage_notices (
    subject  text        primary key,
    sentence text        not null,
    first_at timestamptz not null,
    last_at  timestamptz not null
);

-- ---- From when on raw events are complete. ----

-- Before complete_from no bucket of the organization is computed from raw events. It is the first instant of a day of
-- UTC, where an hour and a day begin at once: no bucket has events of both origins.
create table usage_cut_overs (
    organization_id uuid        primary key,
    complete_from   timestamptz not null check (complete_from = date_trunc('day', complete_from, 'UTC')),
    set_at          timestamptz not null default now()
);

-- Sets it. With `force` also where that changes what is computed already: after a move back, the rollups of the days
-- between are replaced by sums of raw events; after a move on, late events of those days change them no more.
-- Returns whether anything changed.
create function usage_set_complete_from(organization uuid, first_day timestamptz, force boolean default false)
returns boolean
language plpgsql as $$
declare
    before timestamptz;
    days   bigint;
begin
    if first_day is null or not isfinite(first_day) or first_day <> date_trunc('day', first_day, 'UTC') then
        raise exception 'the cut-over has to be the first instant of a day in UTC'
            using errcode = 'invalid_parameter_value';
    end if;
    if first_day > now() + interval '31 days' then
        raise exception 'the cut-over is more than 31 days ahead' using errcode = 'invalid_parameter_value',
            hint = 'Check the year.';
    end if;
    -- Between two batches of a refresh.
    perform pg_advisory_xact_lock(x'0072656672657368'::bigint);
    select complete_from into before from usage_cut_overs where organization_id = organization;
    if before = first_day then
        return false;
    end if;
    if not force then
        select count(*) into days from usage_days
        where organization_id = organization and day < first_day and (before is null or day >= before);
        if days > 0 then
            raise exception 'the rollups of % days before the cut-over are computed from raw events already', days
                using errcode = 'object_not_in_prerequisite_state',
                      hint = 'With force they stay as they are, and late events change them no more.';
        end if;
        if first_day < before then
            raise exception 'the cut-over would move back' using errcode = 'object_not_in_prerequisite_state',
                hint = 'With force the rollups between are replaced by the sums of the raw events.';
        end if;
    end if;
    insert into usage_cut_overs (organization_id, complete_from) values (organization, first_day)
    on conflict (organization_id) do update set complete_from = excluded.complete_from, set_at = excluded.set_at;
    -- What waited for this decision is computed by the next refresh.
    insert into usage_dirty_hours (organization_id, hour, received_at)
    select organization, hour, now()
    from (
        select distinct date_trunc('hour', occurred_at, 'UTC') as hour
        from usage_troubles, usage_events_between(
            organization, bucket_start,
            bucket_start + case bucket when 'hour' then interval '1 hour' else interval '24 hours' end)
        where usage_troubles.organization_id = organization and bucket_start >= first_day
          and kind in ('adopted', 'before_cut_over')
    ) waiting;
    delete from usage_troubles
    where usage_troubles.organization_id = organization and bucket_start >= first_day
      and kind in ('adopted', 'before_cut_over');
    return true;
end
$$;

-- ---- How far the rollups go. ----

-- Points in time with the number of the next transaction: when all before that number have ended, all events received
-- before the time are to be seen, as rollups or as marks.
create table usage_watermarks (
    at          timestamptz not null,
    next_writer xid8        not null
);

alter table usage_state
    -- Whether usage_days knows of the days that were computed before there was such a table.
    add column days_are_known boolean not null default false,
    -- Since when a drop of raw events waits for hours that are to be computed.
    add column drop_waits_since timestamptz,
    -- The nights in a row in which the retention did not end, and the last of them.
    add column unfinished_nights integer not null default 0,
    add column unfinished_on date;

-- Everything that is known of whether the rollups of an organization's buckets from `lower` up to `upper` are whole. One
-- statement, so that it is of one snapshot, that of the caller's transaction where it has one.
create function usage_completeness(organization uuid, lower timestamptz, upper timestamptz)
returns table (
    -- All events of the range that were received before are in the rollups. Null before the first refresh.
    watermark       timestamptz,
    complete_from   timestamptz,
    -- Whether a refresh ever computed a rollup of the organization.
    is_rolled_up    boolean,
    -- Hours with events that are not in the rollups, but for those that failed.
    waiting         timestamptz[],
    oldest_wait     timestamptz,
    troubles        jsonb,
    refused_dropped bigint,
    refused_future  bigint,
    -- When a rollup of the range last changed.
    changed_at      timestamptz
)
language sql stable as $$
    select least(
               (select max(at) from usage_watermarks
                where next_writer <= pg_snapshot_xmin(pg_current_snapshot())),
               (select min(received_at) from usage_dirty_hours
                where organization_id = organization and hour >= lower and hour < upper)
           ),
           (select cut.complete_from from usage_cut_overs cut where cut.organization_id = organization),
           exists (select from usage_days where organization_id = organization),
           coalesce(waiting.hours, '{}'),
           waiting.since,
           coalesce(troubles.list, '[]'),
           refused.dropped,
           refused.future,
           (select nullif(max(days.changed_at), '-infinity') from usage_days days
            where organization_id = organization
              and day >= date_trunc('day', lower, 'UTC') and day < upper)
    from (
        select array_agg(distinct hour order by hour) as hours, min(received_at) as since
        from usage_dirty_hours
        where organization_id = organization and hour >= lower and hour < upper
          and not exists (
              select from usage_troubles failed
              where failed.organization_id = organization and failed.bucket = 'hour' and failed.bucket_start = hour
                and failed.kind = 'failed'
          )
    ) waiting
    cross join (
        select jsonb_agg(jsonb_build_object(
                   'bucket', bucket, 'bucketStart', extract(epoch from bucket_start)::bigint, 'kind', kind,
                   'reason', reason, 'attempts', attempts, 'events', events
               ) order by bucket_start, bucket) as list
        from usage_troubles
        where organization_id = organization
          and bucket_start < upper
          and bucket_start + case bucket when 'hour' then interval '1 hour' else interval '24 hours' end > lower
    ) troubles
    cross join (
        select count(*) filter (where reason = 'dropped') as dropped, count(*) filter (where reason = 'future') as future
        from usage_events_refused
        where organization_id = organization and occurred_at >= lower and occurred_at < upper
    ) refused
$$;

do $$
begin
    -- What runs with the owner's rights finds its tables here and nowhere else: `create or replace` forgot it.
    execute format('alter function usage_events_accept() set search_path = %I, pg_temp', current_schema());
    execute format('alter function usage_events_mark() set search_path = %I, pg_temp', current_schema());
    execute format('alter function usage_events_refuse(usage_events, text) set search_path = %I, pg_temp',
                   current_schema());
end
$$;

-- A time from a clock that is ahead says nothing of how fresh the rollups are.
update usage_refreshed set last_event_at = last_refresh_at + interval '24 hours'
where last_event_at > last_refresh_at + interval '24 hours';
