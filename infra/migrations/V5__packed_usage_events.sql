-- Compressed raw events: a closed day's events as arrays, one per column, up to some thousand events of an organization
-- in a row. PostgreSQL compresses such arrays as it stores them.
--
-- A number is split into planes: its low 16 bits, the next 16, and the 32 above, each an array of its own. The planes
-- of what varies little are runs of equal values, which compress to almost nothing; a plane of zeros alone is null.
-- usage_pack writes this form and usage_events_between and usage_events_all read it: they change together.

create table usage_events_packed (
    day                   timestamptz not null,
    organization_id       uuid        not null,
    -- The times of the first and the last event in the row.
    first_at              timestamptz not null,
    last_at               timestamptz not null,
    events                integer     not null,
    event_ids             uuid[]      not null,
    model_ids             uuid[],
    -- The first letter: success, error, timeout; h for throttled.
    statuses              "char"[]    not null,
    -- Microseconds after the day's first instant.
    occurred_low          smallint[],
    occurred_middle       smallint[],
    occurred_high         integer[],
    -- Microseconds after the event occurred.
    received_low          smallint[],
    received_middle       smallint[],
    received_high         integer[],
    input_low             smallint[],
    input_middle          smallint[],
    input_high            integer[],
    output_low            smallint[],
    output_middle         smallint[],
    output_high           integer[],
    -- Ten-thousandths of a dollar.
    cost_low              smallint[],
    cost_middle           smallint[],
    cost_high             integer[]
) partition by range (day);

create index usage_events_packed_organization on usage_events_packed (organization_id, day);

do $$
declare
    plane name;
begin
    for plane in
        select attname from pg_attribute
        where attrelid = 'usage_events_packed'::regclass and attnum > 0 and attndims > 0
    loop
        execute format('alter table usage_events_packed alter column %I set compression lz4', plane);
    end loop;
exception when feature_not_supported then
    -- This server was built without lz4; its own method compresses as well, only slower.
    null;
end
$$;

-- A number from its planes.
create function usage_unpack(high integer, middle smallint, low smallint) returns bigint
language sql immutable parallel safe as $$
    select (coalesce(high, 0)::bigint << 32)
         | ((coalesce(middle, 0)::bigint & 65535) << 16)
         | (coalesce(low, 0)::bigint & 65535)
$$;

-- The planes of a number.
create function usage_low(value bigint) returns smallint
language sql immutable parallel safe as $$ select (((value & 65535) + 32768) % 65536 - 32768)::smallint $$;

create function usage_middle(value bigint) returns smallint
language sql immutable parallel safe as $$ select ((((value >> 16) & 65535) + 32768) % 65536 - 32768)::smallint $$;

create function usage_high(value bigint) returns integer
language sql immutable parallel safe as $$ select (value >> 32)::integer $$;

-- The microseconds from one instant to another, exactly.
create function usage_microseconds(since timestamptz, until timestamptz) returns bigint
language sql immutable parallel safe as $$
    select (extract(epoch from until - since) * 1000000)::bigint
$$;

-- The instant some microseconds after another, exactly.
create function usage_instant(since timestamptz, microseconds bigint) returns timestamptz
language sql immutable parallel safe as $$
    select since + (microseconds / 1000000) * interval '1 second' + (microseconds % 1000000) * interval '1 microsecond'
$$;

-- The packed events, one by one.
create view usage_events_unpacked as
select p.day,
       p.first_at,
       p.last_at,
       u.event_id,
       p.organization_id,
       u.model_id,
       usage_instant(p.day, usage_unpack(u.occurred_high, u.occurred_middle, u.occurred_low)) as occurred_at,
       usage_instant(p.day, usage_unpack(u.occurred_high, u.occurred_middle, u.occurred_low)
                                 + usage_unpack(u.received_high, u.received_middle, u.received_low)) as received_at,
       usage_unpack(u.input_high, u.input_middle, u.input_low) as input_tokens,
       usage_unpack(u.output_high, u.output_middle, u.output_low) as output_tokens,
       case u.status when 's' then 'success' when 'e' then 'error' when 't' then 'timeout' else 'throttled' end
           as status,
       (usage_unpack(u.cost_high, u.cost_middle, u.cost_low)::numeric / 10000)::numeric(14, 4) as cost_usd
from usage_events_packed p
cross join lateral unnest(
        p.event_ids, p.model_ids, p.statuses,
        p.occurred_low, p.occurred_middle, p.occurred_high,
        p.received_low, p.received_middle, p.received_high,
        p.input_low, p.input_middle, p.input_high,
        p.output_low, p.output_middle, p.output_high,
        p.cost_low, p.cost_middle, p.cost_high
     ) as u (
        event_id, model_id, status,
        occurred_low, occurred_middle, occurred_high,
        received_low, received_middle, received_high,
        input_low, input_middle, input_high,
        output_low, output_middle, output_high,
        cost_low, cost_middle, cost_high
     );

-- All events that are kept, compressed or not: what usage_events held, had none been compressed.
create view usage_events_all as
select event_id, organization_id, model_id, occurred_at, received_at, input_tokens, output_tokens, status, cost_usd
from usage_events
union all
select event_id, organization_id, model_id, occurred_at, received_at, input_tokens, output_tokens, status, cost_usd
from usage_events_unpacked;

-- Of usage_events_all, an organization's events of a range of time. It opens only what holds some of them, which the
-- view cannot know.
create function usage_events_between(organization uuid, lower timestamptz, upper timestamptz)
returns table (
    event_id uuid, organization_id uuid, model_id uuid, occurred_at timestamptz, received_at timestamptz,
    input_tokens bigint, output_tokens bigint, status text, cost_usd numeric
)
language sql stable as $$
    select event_id, organization_id, model_id, occurred_at, received_at, input_tokens, output_tokens, status, cost_usd
    from usage_events
    where organization_id = organization and occurred_at >= lower and occurred_at < upper
    union all
    select event_id, organization_id, model_id, occurred_at, received_at, input_tokens, output_tokens, status, cost_usd
    from usage_events_unpacked
    where organization_id = organization and occurred_at >= lower and occurred_at < upper
      and first_at < upper and last_at >= lower
      -- Not '1 day', which has 23 hours or 25 where the session's clocks change.
      and day > lower - interval '24 hours' and day < upper
$$;

-- Moves up to `most` events of a day from `source`, usage_events' partition of the day or its default one, into packed
-- rows. The day's packed partition has to be there. Returns how many it moved.
--
-- One statement: whoever reads meanwhile sees each event once. An event that comes in meanwhile stays where it is.
create function usage_pack(source text, the_day timestamptz, most integer) returns bigint
language plpgsql as $$
declare
    moved bigint;
begin
    execute format($pack$
        with moved as (
            delete from %1$I
            where ctid = any (array(
                select ctid from %1$I
                where occurred_at >= $1 and occurred_at < $1 + interval '24 hours'
                order by organization_id, occurred_at
                limit $2
            ))
            returning *
        ),
        numbered as (
            -- 5000 events: an array that compresses well, and one late event opens no more than that.
            select *, (row_number() over (partition by organization_id order by occurred_at) - 1) / 5000 as part
            from moved
        ),
        numbers as (
            select organization_id, part, event_id, model_id, occurred_at,
                   (case status when 'throttled' then 'h' else status end)::"char" as status,
                   usage_microseconds($1, occurred_at) as occurred,
                   usage_microseconds(occurred_at, received_at) as received,
                   input_tokens as input,
                   output_tokens as output,
                   (cost_usd * 10000)::bigint as cost
            from numbered
            -- What is alike comes together.
            order by organization_id, part, model_id, occurred_at
        ),
        packed as (
            insert into usage_events_packed
                (day, organization_id, first_at, last_at, events, event_ids, model_ids, statuses,
                 occurred_low, occurred_middle, occurred_high,
                 received_low, received_middle, received_high,
                 input_low, input_middle, input_high,
                 output_low, output_middle, output_high,
                 cost_low, cost_middle, cost_high)
            select $1, organization_id, min(occurred_at), max(occurred_at), count(*),
                   array_agg(event_id),
                   case when bool_or(model_id is not null) then array_agg(model_id) end,
                   array_agg(status),
                   case when bool_or(usage_low(occurred) <> 0) then array_agg(usage_low(occurred)) end,
                   case when bool_or(usage_middle(occurred) <> 0) then array_agg(usage_middle(occurred)) end,
                   case when bool_or(usage_high(occurred) <> 0) then array_agg(usage_high(occurred)) end,
                   case when bool_or(usage_low(received) <> 0) then array_agg(usage_low(received)) end,
                   case when bool_or(usage_middle(received) <> 0) then array_agg(usage_middle(received)) end,
                   case when bool_or(usage_high(received) <> 0) then array_agg(usage_high(received)) end,
                   case when bool_or(usage_low(input) <> 0) then array_agg(usage_low(input)) end,
                   case when bool_or(usage_middle(input) <> 0) then array_agg(usage_middle(input)) end,
                   case when bool_or(usage_high(input) <> 0) then array_agg(usage_high(input)) end,
                   case when bool_or(usage_low(output) <> 0) then array_agg(usage_low(output)) end,
                   case when bool_or(usage_middle(output) <> 0) then array_agg(usage_middle(output)) end,
                   case when bool_or(usage_high(output) <> 0) then array_agg(usage_high(output)) end,
                   case when bool_or(usage_low(cost) <> 0) then array_agg(usage_low(cost)) end,
                   case when bool_or(usage_middle(cost) <> 0) then array_agg(usage_middle(cost)) end,
                   case when bool_or(usage_high(cost) <> 0) then array_agg(usage_high(cost)) end
            from numbers
            group by organization_id, part
            returning events
        )
        select coalesce(sum(events), 0) from packed
    $pack$, source) into moved using the_day, most;
    return moved;
end
$$;

-- Whether an event is kept whose key is forgotten, now in packed rows too.
create or replace function usage_event_is_kept(organization uuid, event uuid, at timestamptz) returns boolean
language sql stable
-- Planned for its day, which leaves one partition of hundreds.
set plan_cache_mode = force_custom_plan
as $$
    select exists (
        select from usage_events
        where organization_id = organization and occurred_at = at and event_id = event
    ) or exists (
        select from usage_events_packed
        where organization_id = organization and day = date_trunc('day', at, 'UTC') and event = any (event_ids)
    )
$$;
