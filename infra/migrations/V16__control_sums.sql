-- Control sums of packed events. The retention packs events itself and sums them as it does, so that the raw events of a
-- month are summed without unpacking them.
--
-- Rows that were packed before, and rows of few events for each hour and model, have no control sums. usage_pack stays for
-- functions of the version before this one.

-- Whether usage_events_packed_sums holds the row's events.
alter table usage_events_packed add column is_summed boolean not null default false;

-- Sums of packed events. Each step of a compression adds rows, so that an hour and model may have several.
create table usage_events_packed_sums (
    organization_id uuid        not null,
    hour            timestamptz not null,
    -- Null where the usage is of no particular model.
    model_id        uuid,
    events          bigint      not null,
    errors          bigint      not null,
    tokens          numeric     not null,
    -- Dollars, not rounded.
    cost            numeric     not null
) partition by range (hour);

create index usage_events_packed_sums_organization on usage_events_packed_sums (organization_id, hour);

-- The packed events, one by one.
create or replace view usage_events_unpacked as
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
       coalesce(u.cost, usage_unpack(u.cost_high, u.cost_middle, u.cost_low) * p.cost_unit) as cost_usd,
       p.is_summed
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

-- The sums of an organization's events of whole hours from `lower` up to `upper`, by hour and model: of the events
-- themselves, and of control sums for those that have some. An hour and model may have several rows.
create function usage_sums_between(organization uuid, lower timestamptz, upper timestamptz)
returns table (
    hour timestamptz, model_id uuid, events bigint, errors bigint, tokens numeric, cost numeric
)
language sql stable as $$
    select date_trunc('hour', occurred_at, 'UTC'), model_id, count(*), count(*) filter (where status <> 'success'),
           sum(input_tokens::numeric + output_tokens), sum(cost_usd)
    from (
        select occurred_at, model_id, status, input_tokens, output_tokens, cost_usd
        from usage_events
        where organization_id = organization and occurred_at >= lower and occurred_at < upper
        union all
        select occurred_at, model_id, status, input_tokens, output_tokens, cost_usd
        from usage_events_unpacked
        where organization_id = organization and occurred_at >= lower and occurred_at < upper
          and first_at < upper and last_at >= lower
          and day > lower - interval '24 hours' and day < upper
          and not is_summed
    ) unsummed
    group by 1, 2
    union all
    select hour, model_id, events, errors, tokens, cost
    from usage_events_packed_sums
    where organization_id = organization and hour >= lower and hour < upper
$$;

-- ---- The functions that make and drop partitions, now those of the control sums too. ----

create or replace function usage_create_partition(parent text, child text, lower timestamptz, upper timestamptz)
returns bigint
language plpgsql security definer as $$
declare
    period text := case when starts_with(parent, 'usage_events') then 'YYYYMMDD' else 'YYYYMM' end;
    moved  bigint;
begin
    if parent is null or child is null
        or parent <> all (array['usage_events', 'usage_events_packed', 'usage_events_packed_sums',
                                  'analytics_hourly_rollups', 'analytics_daily_rollups'])
        or not (starts_with(parent, 'usage_events') or usage_manages(parent))
        or child <> parent || '_' || to_char(lower at time zone 'UTC', period)
    then
        raise insufficient_privilege using message = format('%L is no partition of %L', child, parent);
    end if;
    moved := usage_make_partition(parent, child, lower, upper);
    if moved is not null then
        insert into usage_partitions values (parent, child, lower, upper) on conflict do nothing;
    end if;
    return moved;
end
$$;

-- Drops a partition of a day or month, and its registration. With `if_empty` only if it has no rows, else only if all of
-- it is before the limit in usage_state from which on events or rollups are kept. Returns whether it dropped it.
create or replace function usage_drop_partition(child text, if_empty boolean) returns boolean
language plpgsql security definer as $$
declare
    parent   text;
    upper    timestamptz;
    is_empty boolean;
begin
    select there.parent, (to_date(right(child, digits), left('YYYYMMDD', digits))::timestamp
                          + case digits when 8 then interval '1 day' else interval '1 month' end) at time zone 'UTC'
        into parent, upper
    from (values ('usage_events', 8), ('usage_events_packed', 8), ('usage_events_packed_sums', 8),
                 ('analytics_hourly_rollups', 6), ('analytics_daily_rollups', 6)) there (parent, digits)
    join pg_inherits on inhparent = to_regclass(there.parent) and inhrelid = to_regclass(quote_ident(child))
    where child ~ format('^%s_[0-9]{%s}$', there.parent, digits)
      and (digits = 8 or usage_manages(there.parent));
    if not found then
        raise insufficient_privilege using message = format('%L is no partition of usage', child);
    end if;
    if if_empty then
        execute format('lock table only %I in access exclusive mode', parent);
        execute format('select not exists (select from %I)', child) into is_empty;
        if not is_empty then
            return false;
        end if;
    elsif upper > (select case when starts_with(parent, 'usage_events') then events_from else rollups_from end
                   from usage_state)
    then
        raise insufficient_privilege using message = format('%I is kept', child);
    end if;
    delete from usage_partitions where usage_partitions.child = usage_drop_partition.child;
    execute format('drop table %I', child);
    return true;
end
$$;

do $$
declare
    signature text;
begin
    -- `create or replace` forgot it.
    foreach signature in array array[
        'usage_create_partition(text, text, timestamptz, timestamptz)', 'usage_drop_partition(text, boolean)'
    ] loop
        execute format('alter function %s set search_path = %I, pg_temp', signature, current_schema());
    end loop;
end
$$;

-- Only usage_pack uses it, with its owner's rights.
revoke execute on function usage_pack_rows(text, timestamptz, integer) from public;
