-- Erasure of an organization: its usage is deleted, and what comes later is counted and stored nowhere.

-- The erased organizations. A row stays for ever: without it, late events would make the organization anew.
create table usage_erasures (
    organization_id uuid        primary key,
    erased_at       timestamptz not null default now(),
    -- Events that came afterwards.
    refused         bigint      not null default 0,
    refused_at      timestamptz
);

-- Counts the events of erased organizations among these, and returns their number.
create function usage_refuse_erased(organizations uuid[]) returns bigint
language plpgsql as $$
declare
    found_here bigint;
begin
    -- Hardly any organization is erased, so this is all that an event costs.
    if not exists (select from usage_erasures where organization_id = any (organizations)) then
        return 0;
    end if;
    with counted as (
        select organization, count(*) as events
        from unnest(organizations) organization
        where exists (select from usage_erasures where organization_id = organization)
        group by 1
        order by 1
    ),
    told as (
        update usage_erasures
        set refused = usage_erasures.refused + events, refused_at = clock_timestamp()
        from counted
        where organization_id = organization
    )
    select sum(events) into found_here from counted;
    return found_here;
end
$$;

-- Lets each event in once; see V11.
create or replace function usage_events_accept() returns trigger
language plpgsql security definer as $$
declare
    state record;
begin
    -- A partition, by its schema and name: a look at the catalog for each row would take longer than the row.
    if tg_table_schema <> current_schema() or not starts_with(tg_table_name, 'usage_events') then
        raise insufficient_privilege using message = format('%I is not the table of usage events', tg_table_name);
    end if;
    -- Zeros at the end are no digits of the cost.
    if scale(new.cost_usd) > 18 then
        new.cost_usd := trim_scale(new.cost_usd);
    end if;
    -- Events of an erased organization are counted and stored nowhere.
    if usage_refuse_erased(array[new.organization_id]) > 0 then
        return null;
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

-- Takes a batch of events in; see V15.
create or replace function usage_load(event_ids uuid[], organization_ids uuid[], model_ids uuid[], times timestamptz[],
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

    -- Events of an erased organization are counted and stored nowhere: the batch goes on without them.
    expected := usage_refuse_erased(organization_ids);
    if expected > 0 then
        select others.accepted, others.refused + expected into accepted, refused
        from (
            select array_agg(event order by nth) as events, array_agg(organization order by nth) as organizations,
                   array_agg(model order by nth) as models, array_agg(at order by nth) as ats,
                   array_agg(input order by nth) as ins, array_agg(output order by nth) as outs,
                   array_agg(status order by nth) as states, array_agg(cost order by nth) as amounts
            from (select unnest(event_ids) as event, unnest(organization_ids) as organization,
                         unnest(model_ids) as model, unnest(times) as at, unnest(inputs) as input,
                         unnest(outputs) as output, unnest(statuses) as status, unnest(costs) as cost,
                         generate_series(1, size) as nth) given
            where not exists (select from usage_erasures where organization_id = organization)
        ) present,
        lateral usage_load(events, organizations, models, ats, ins, outs, states, amounts) others;
        return;
    end if;

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

-- The tables with an organization's usage: parents that have partitions by these, rollups that belong to the platform not.
create function usage_erasable() returns table (parent text, child text)
language sql stable security definer as $$
    with known (parent) as (
        values ('usage_events'), ('usage_events_packed'), ('usage_events_packed_sums'), ('usage_events_refused'),
               ('usage_event_keys'), ('usage_dirty_hours'), ('usage_refreshed'), ('usage_days'), ('usage_slices'),
               ('usage_slice_sums'), ('usage_troubles'), ('usage_cut_overs'), ('analytics_hourly_rollups'),
               ('analytics_daily_rollups')
    )
    select known.parent, leaf.relid::regclass::text
    from known, pg_partition_tree(to_regclass(known.parent)) leaf
    where leaf.isleaf and (starts_with(known.parent, 'usage_') or usage_manages(known.parent))
    union all
    -- A table without partitions is no tree.
    select known.parent, known.parent
    from known join pg_class on pg_class.oid = to_regclass(known.parent) and relkind = 'r'
    where (starts_with(known.parent, 'usage_') or usage_manages(known.parent))
      and not exists (select from pg_partition_tree(to_regclass(known.parent)))
    order by 1, 2
$$;

-- Counts the rows of an organization in one of these tables.
create function usage_erasable_rows(organization uuid, child text) returns bigint
language plpgsql stable security definer as $$
declare
    found_here bigint;
begin
    if not exists (select from usage_erasable() there where there.child = usage_erasable_rows.child) then
        raise insufficient_privilege using message = format('%L is no table of an organization''s usage', child);
    end if;
    execute format('select count(*) from %s where organization_id = $1', child) into found_here using organization;
    return found_here;
end
$$;

-- Begins an erasure: from the end of this transaction on no event of the organization is stored. Waits for the writers that
-- are at work, which do not know of it yet.
create function usage_erase_begin(organization uuid) returns timestamptz
language plpgsql security definer as $$
declare
    at timestamptz;
begin
    lock table only usage_events in share mode;
    insert into usage_erasures (organization_id) values (organization) on conflict do nothing;
    select erased_at into strict at from usage_erasures where organization_id = organization;
    return at;
end
$$;

-- Deletes the organization's rows of one of these tables, once its erasure has begun. Returns their number.
create function usage_erase(organization uuid, child text) returns bigint
language plpgsql security definer as $$
declare
    deleted bigint;
begin
    if not exists (select from usage_erasures where organization_id = organization) then
        raise insufficient_privilege using message = format('the erasure of %s has not begun', organization);
    end if;
    if not exists (select from usage_erasable() there where there.child = usage_erase.child) then
        raise insufficient_privilege using message = format('%L is no table of an organization''s usage', child);
    end if;
    execute format('delete from %s where organization_id = $1', child) using organization;
    get diagnostics deleted = row_count;
    return deleted;
end
$$;

do $$
declare
    signature text;
begin
    foreach signature in array array[
        'usage_refuse_erased(uuid[])', 'usage_events_accept()', 'usage_erasable()', 'usage_erasable_rows(uuid, text)',
        'usage_erase_begin(uuid)', 'usage_erase(uuid, text)',
        'usage_load(uuid[], uuid[], uuid[], timestamptz[], bigint[], bigint[], text[], numeric[])'
    ] loop
        execute format('alter function %s set search_path = %I, pg_temp', signature, current_schema());
        execute format('revoke execute on function %s from public', signature);
    end loop;
end
$$;
