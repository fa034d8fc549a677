-- Takes events in by the batch. The trigger of usage_events takes them one by one, which costs several times what the rows
-- themselves do; usage_load does the same for a whole batch at once, with the same outcome. Both may write at once.

-- Whether an event is kept whose key is forgotten. A packed row is opened only if its events are of that time.
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
        where organization_id = organization and day = date_trunc('day', at, 'UTC')
          and first_at <= at and last_at >= at and event = any (event_ids)
    )
$$;

-- Not for what usage_load inserts: it has let these events in. Its setting alone would prove nothing, since everybody can
-- make it. It counts only for those who may write keys: their owner, with whose rights usage_load runs.
drop trigger usage_events_accept on usage_events;
create trigger usage_events_accept before insert on usage_events
for each row
when (current_setting('usage.loading', true) is distinct from 'on'
      or not has_table_privilege('usage_event_keys'::regclass, 'insert'))
execute function usage_events_accept();

-- Keeps the events of a batch aside of which `keep` is false.
create function usage_load_refuse(event_ids uuid[], organization_ids uuid[], model_ids uuid[], times timestamptz[],
                                  inputs bigint[], outputs bigint[], statuses text[], costs numeric[], keep boolean[],
                                  received timestamptz, why text) returns void
language sql as $$
    insert into usage_events_refused
        (event_id, organization_id, model_id, occurred_at, received_at, input_tokens, output_tokens, status, cost_usd,
         reason)
    select event, organization, model, at, received, input, output, status, trim_scale(cost), why
    from unnest(event_ids, organization_ids, model_ids, times, inputs, outputs, statuses, costs, keep)
         as given (event, organization, model, at, input, output, status, cost, keeps)
    where keeps is false
    order by organization, event
    on conflict do nothing
$$;

-- Makes the keys of a batch of which some are there already, or come twice. Returns which events are new: of those with
-- the same id, the first. The events whose `keeps` is false get no key.
create function usage_load_keys(event_ids uuid[], organization_ids uuid[], times timestamptz[], keep boolean[],
                                received timestamptz) returns boolean[]
language plpgsql
-- The planner does not know the sizes of arrays that are not constants, and takes nested loops for them.
set plan_cache_mode = force_custom_plan
set enable_nestloop = off
set enable_mergejoin = off
as $$
declare
    is_new boolean[];
begin
    with given as materialized (
        select * from unnest(event_ids, organization_ids, times, keep) with ordinality
                      as given (event, organization, at, keeps, nth)
    ),
    made as (
        insert into usage_event_keys (organization_id, event_id, received_on)
        select organization, event, (greatest(received, at) at time zone 'UTC')::date
        from given
        where keeps is not false
        order by organization, event
        on conflict do nothing
        returning organization_id, event_id
    ),
    first as (
        select min(nth) as nth
        from given join made on organization_id = organization and event_id = event
        where keeps is not false
        group by organization, event
    )
    select array_agg(first.nth is not null order by given.nth) into is_new
    from given left join first using (nth);
    return is_new;
end
$$;

-- Returns which events of a batch go on: not those that occurred `before` and are kept already, as
-- usage_event_is_kept says of one. Every packed row is opened once.
create function usage_load_unknown(ids uuid[], organizations uuid[], times timestamptz[], keep boolean[],
                                   before timestamptz) returns boolean[]
language plpgsql stable
set plan_cache_mode = force_custom_plan
set enable_nestloop = off
set enable_mergejoin = off
as $$
declare
    -- The days of the late events by organization, with the times of the first and the last of them.
    range_organizations uuid[];
    range_days          timestamptz[];
    range_firsts        timestamptz[];
    range_lasts         timestamptz[];
    first_day           timestamptz;
    last_day            timestamptz;
    is_dense            boolean;
    known               integer[];
begin
    select array_agg(organization), array_agg(day), array_agg(first_at), array_agg(last_at), min(day), max(day)
        into range_organizations, range_days, range_firsts, range_lasts, first_day, last_day
    from (
        select organization, date_bin('1 day', at, '2000-01-01 00:00Z') as day, min(at) as first_at, max(at) as last_at
        from (select unnest(organizations) as organization, unnest(times) as at, unnest(keep) as keeps) given
        where keeps is not false and at < before and isfinite(at)
        group by 1, 2
    ) ranges;
    if first_day is null then
        return keep;
    end if;
    -- A batch in the order of time meets few events that are there. Where it meets many, each of its own is looked up.
    is_dense := exists (
        select from unnest(range_organizations, range_firsts, range_lasts) as r (organization, first_at, last_at)
        cross join lateral (
            select from usage_events
            where organization_id = r.organization and occurred_at >= r.first_at and occurred_at <= r.last_at
            -- A look into the index for each range.
            offset 0
        ) there
        offset cardinality(ids)
    );
    -- One statement, since packing moves events from one table to the other.
    with late as materialized (
        select id, organization, at, nth
        from (select unnest(ids) as id, unnest(organizations) as organization, unnest(times) as at, unnest(keep) as keeps,
                     generate_series(1, cardinality(ids)) as nth) given
        where keeps is not false and at < before and isfinite(at)
    ),
    -- Materialized, so that each is joined by its ids at once.
    plain as materialized (
        select there.*
        from unnest(range_organizations, range_firsts, range_lasts) as r (organization, first_at, last_at)
        cross join lateral (
            select organization_id as organization, occurred_at as at, event_id as id
            from usage_events
            where organization_id = r.organization and occurred_at >= r.first_at and occurred_at <= r.last_at
            offset 0
        ) there
        where not is_dense
    ),
    packed as materialized (
        select there.organization_id as organization, there.first_at, there.last_at, unnest(there.event_ids) as id
        from unnest(range_organizations, range_days, range_firsts, range_lasts) as r (organization, day, first_at, last_at)
        cross join lateral (
            select organization_id, first_at, last_at, event_ids
            from usage_events_packed
            where organization_id = r.organization and day = r.day and day >= first_day and day <= last_day
              and first_at <= r.last_at and last_at >= r.first_at
            offset 0
        ) there
    )
    select array_agg(nth) into known
    from (
        select nth from late join plain using (organization, at, id)
        union all
        select nth from late
        where is_dense and (
            select true from usage_events
            where organization_id = organization and occurred_at = at and event_id = id
            limit 1
        )
        union all
        select nth from late join packed using (organization, id) where at >= first_at and at <= last_at
    ) there;
    if known is null then
        return keep;
    end if;
    return (
        select array_agg(keeps is not false and known.nth is null order by given.nth)
        from unnest(ids, keep) with ordinality as given (id, keeps, nth)
        left join (select distinct nth from unnest(known) nth) known using (nth)
    );
end
$$;

-- Takes a batch of events in, each once: the n-th elements of the arrays are an event. Of events with the same id the first
-- is taken. Returns how many are new, and how many are of dropped days or more than a day ahead.
--
-- The batch is one statement: if it fails, nothing of it is stored, and it can be sent again. Batches of some ten thousand
-- events are fast.
create function usage_load(event_ids uuid[], organization_ids uuid[], model_ids uuid[], times timestamptz[],
                           inputs bigint[], outputs bigint[], statuses text[], costs numeric[],
                           out accepted bigint, out refused bigint)
language plpgsql security definer
-- The keys of a batch are sorted in memory.
set work_mem = '32MB'
as $$
declare
    size     integer := cardinality(event_ids);
    received timestamptz;
    ahead    timestamptz;
    state    record;
    -- Which events go on; null for all.
    keep     boolean[];
    expected bigint;
begin
    -- Each statement has to see what committed before it.
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'usage_load needs the isolation level read committed' using errcode = 'feature_not_supported';
    end if;
    if (size, size, size, size, size, size, size) is distinct from
        (cardinality(organization_ids), cardinality(model_ids), cardinality(times), cardinality(inputs),
         cardinality(outputs), cardinality(statuses), cardinality(costs))
    then
        raise exception 'the arrays of events differ in length' using errcode = 'invalid_parameter_value';
    end if;
    accepted := 0;
    refused := 0;
    if size is null or size = 0 then
        return;
    end if;

    -- No day is dropped from here on to the end of the transaction.
    lock table only usage_events in row exclusive mode;
    -- No event is received before its transaction has a number.
    perform pg_current_xact_id();
    received := clock_timestamp();
    ahead := received + interval '24 hours';

    -- Before keys are made: the same event is taken when it comes again with the right time.
    select count(*) into refused from unnest(times) at where at > ahead and isfinite(at);
    if refused > 0 then
        keep := array(select not (at > ahead and isfinite(at)) from unnest(times) at);
        perform usage_load_refuse(event_ids, organization_ids, model_ids, times, inputs, outputs, statuses, costs,
                                  keep, received, 'future');
    end if;

    -- In an order that all loads have, so that two that load the same wait for each other and do not block.
    begin
        insert into usage_event_keys (organization_id, event_id, received_on)
        select organization, event, (greatest(received, at) at time zone 'UTC')::date
        from (select unnest(organization_ids) as organization, unnest(event_ids) as event, unnest(times) as at,
                     unnest(keep) as keeps) given
        where keeps is not false
        order by organization, event;
    exception when unique_violation then
        -- `on conflict` costs as much again, and most batches have no conflict.
        keep := usage_load_keys(event_ids, organization_ids, times, keep, received);
    end;

    -- Read after the keys were made: had some been forgotten just before, keys_from says so.
    select events_from, keys_from into strict state from usage_state;
    if exists (select from unnest(times) at where at < state.events_from) then
        refused := refused + (select count(*) from unnest(times) at where at < state.events_from);
        perform usage_load_refuse(event_ids, organization_ids, model_ids, times, inputs, outputs, statuses, costs,
                                  array(select keeps is false or at >= state.events_from
                                               from unnest(times, keep) as given (at, keeps)), received, 'dropped');
        keep := array(select keeps is not false and at >= state.events_from
                      from unnest(times, keep) as given (at, keeps));
    end if;
    if exists (select from unnest(times, keep) as given (at, keeps) where at < state.keys_from and keeps is not false) then
        keep := usage_load_unknown(event_ids, organization_ids, times, keep, state.keys_from);
    end if;

    -- Not by the function's own settings, since only a superuser may give it one that the server does not know.
    perform set_config('usage.loading', 'on', true);
    insert into usage_events (event_id, organization_id, model_id, occurred_at, received_at, input_tokens, output_tokens,
                              status, cost_usd)
    select event, organization, model, at, received, input, output, status,
           -- Zeros at the end are no digits of the cost.
           case when scale(cost) > 18 then trim_scale(cost) else cost end
    from (select unnest(event_ids) as event, unnest(organization_ids) as organization, unnest(model_ids) as model,
                 unnest(times) as at, unnest(inputs) as input, unnest(outputs) as output,
                 unnest(statuses) as status, unnest(costs) as cost, unnest(keep) as keeps) given
    where keeps is not false;
    get diagnostics accepted = row_count;
    perform set_config('usage.loading', 'off', true);
    expected := case when keep is null then size else (select count(*) from unnest(keep) keeps where keeps) end;
    if accepted <> expected then
        raise exception '% of % new events were stored', accepted, expected
            using hint = 'A trigger of usage_events kept them out.';
    end if;
end
$$;

do $$
declare
    signature regprocedure;
begin
    for signature in
        select oid from pg_proc
        where pronamespace = current_schema()::regnamespace and starts_with(proname, 'usage_load')
    loop
        execute format('alter function %s set search_path = %I, pg_temp', signature, current_schema());
        execute format('revoke execute on function %s from public', signature);
    end loop;
end
$$;
