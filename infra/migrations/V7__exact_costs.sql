-- Costs keep every digit that came in: in events, in packed events, in refused events and in rollups. They are rounded
-- once, where a file states them.
--
-- A cost is below 10 billion dollars and has at most 18 decimals. More decimals are refused at the insert, since the
-- readers' decimals have 96 bits: a sum of such costs is exact up to 79 billion dollars.
--
-- No table is rewritten: a numeric without a precision holds whatever a numeric(p, s) holds, in the same bytes. The keys
-- of the rollup tables, which hold the costs, are built again: a second for a million rollups.

drop view usage_events_all;
drop view usage_events_unpacked;

alter table usage_events alter column cost_usd type numeric;
-- Not validated: the rows that are there were numeric(14, 4), and a scan of all of them would hold the writers up.
alter table usage_events add constraint usage_events_cost_usd_digits
    check (abs(cost_usd) < 10000000000 and min_scale(cost_usd) <= 18) not valid;
alter table usage_events_refused alter column cost_usd type numeric;

-- The planes of a packed cost count units of this many dollars. Rows that were packed before count ten-thousandths.
alter table usage_events_packed add column cost_unit numeric not null default 0.0001;
-- The costs themselves, where one of them has more digits than the planes: 63 bits.
alter table usage_events_packed add column costs numeric[];

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
       -- A product is exact, whatever the scales; a quotient would be cut off.
       coalesce(u.cost, usage_unpack(u.cost_high, u.cost_middle, u.cost_low) * p.cost_unit) as cost_usd
from usage_events_packed p
cross join lateral unnest(
        p.event_ids, p.model_ids, p.statuses,
        p.occurred_low, p.occurred_middle, p.occurred_high,
        p.received_low, p.received_middle, p.received_high,
        p.input_low, p.input_middle, p.input_high,
        p.output_low, p.output_middle, p.output_high,
        p.cost_low, p.cost_middle, p.cost_high, p.costs
     ) as u (
        event_id, model_id, status,
        occurred_low, occurred_middle, occurred_high,
        received_low, received_middle, received_high,
        input_low, input_middle, input_high,
        output_low, output_middle, output_high,
        cost_low, cost_middle, cost_high, cost
     );

-- All events that are kept, compressed or not: what usage_events held, had none been compressed.
create view usage_events_all as
select event_id, organization_id, model_id, occurred_at, received_at, input_tokens, output_tokens, status, cost_usd
from usage_events
union all
select event_id, organization_id, model_id, occurred_at, received_at, input_tokens, output_tokens, status, cost_usd
from usage_events_unpacked;

-- Moves up to `most` events of a day from `source`, usage_events' partition of the day or its default one, into packed
-- rows. The day's packed partition has to be there. Returns how many it moved.
--
-- One statement: whoever reads meanwhile sees each event once. An event that comes in meanwhile stays where it is.
create or replace function usage_pack(source text, the_day timestamptz, most integer) returns bigint
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
        scales as (
            select organization_id, part, max(min_scale(cost_usd)) as scale,
                   -- The planes of a cost are those of a bigint.
                   max(abs(cost_usd)) * ('1e' || max(min_scale(cost_usd)))::numeric < 9000000000000000000 as fits
            from numbered
            group by organization_id, part
        ),
        numbers as (
            select organization_id, part, event_id, model_id, occurred_at,
                   (case status when 'throttled' then 'h' else status end)::"char" as status,
                   usage_microseconds($1, occurred_at) as occurred,
                   usage_microseconds(occurred_at, received_at) as received,
                   input_tokens as input,
                   output_tokens as output,
                   scale,
                   fits,
                   cost_usd,
                   case when fits then (cost_usd * ('1e' || scale)::numeric)::bigint else 0 end as cost
            from numbered join scales using (organization_id, part)
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
                 cost_low, cost_middle, cost_high, cost_unit, costs)
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
                   case when bool_or(usage_high(cost) <> 0) then array_agg(usage_high(cost)) end,
                   ('1e-' || max(scale))::numeric,
                   case when not bool_and(fits) then array_agg(cost_usd) end
            from numbers
            group by organization_id, part
            returning events
        )
        select coalesce(sum(events), 0) from packed
    $pack$, source) into moved using the_day, most;
    return moved;
end
$$;

-- The mark of the rollup tables that this service made and manages: it makes and drops their partitions. A name proves
-- nothing, since a platform may have chosen the same; the comment goes with the table through a rename and a dump.
create function usage_manages(rollups text) returns boolean
language sql stable as $$
    select coalesce(obj_description(to_regclass(rollups), 'pg_class') = 'managed by analytics exports', false)
$$;

do $$
declare
    rollup   text;
    was_made boolean;
begin
    foreach rollup in array array['analytics_hourly_rollups', 'analytics_daily_rollups'] loop
        -- A table that the first migration made, by all that it gave the table: the names, the default partition below
        -- this very table, the types, and the key in which two missing models are the same.
        select count(*) = 1 into was_made
        from pg_partitioned_table parent
        join pg_class fallback on fallback.oid = parent.partdefid and fallback.relname = rollup || '_default'
        join pg_index key on key.indrelid = parent.partrelid and key.indisunique and key.indnullsnotdistinct
        join pg_class key_name on key_name.oid = key.indexrelid and key_name.relname = rollup || '_key'
        where parent.partrelid = to_regclass(rollup)
          and parent.partstrat = 'r'
          and pg_get_partkeydef(parent.partrelid) = 'RANGE (bucket_start)'
          and (select string_agg(attname || ' ' || format_type(atttypid, atttypmod) || ' ' || attnotnull, ', ' order by attnum)
               from pg_attribute
               where attrelid = parent.partrelid and attnum > 0 and not attisdropped)
              = 'bucket_start timestamp with time zone true, organization_id uuid true, model_id uuid false, '
             || 'request_count bigint true, tokens_total bigint true, error_count bigint true, '
             || 'cost_total numeric(20,4) true';
        continue when not was_made;

        execute format('comment on table %I is %L', rollup, 'managed by analytics exports');
        execute format('alter table %I alter column cost_total type numeric', rollup);
        -- The second migration is left out where the other table is a platform's own and looks like one of ours.
        if not exists (select from pg_index key
                       where key.indexrelid = to_regclass(rollup || '_key') and key.indnatts = 7) then
            execute format(
                'create unique index %I on %I (organization_id, bucket_start, model_id)
                 include (request_count, tokens_total, error_count, cost_total) nulls not distinct',
                rollup || '_cover', rollup);
            execute format('drop index %I', rollup || '_key');
            execute format('alter index %I rename to %I', rollup || '_cover', rollup || '_key');
        end if;
    end loop;
end
$$;
