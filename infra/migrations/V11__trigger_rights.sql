-- The triggers of `usage_events` run with their owner's rights, and every role could make them triggers of a table of its
-- own, such as a temporary one: an event that it inserted there was known from then on, and the writer's was dropped; an
-- hour was marked that has no events. Now only their owner can, and they refuse other tables.

create or replace function usage_events_mark() returns trigger
language plpgsql security definer as $$
begin
    if tg_relid is distinct from to_regclass('usage_events') then
        raise insufficient_privilege using message = format('%I is not the table of usage events', tg_table_name);
    end if;
    insert into usage_dirty_hours (organization_id, hour, received_at, events, first_at, last_at)
    select organization_id, date_trunc('hour', occurred_at, 'UTC') as hour, min(received_at), count(*),
           min(occurred_at), max(occurred_at)
    from arrived
    group by 1, 2;
    return null;
end
$$;

-- Lets each event in once.
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

do $$
begin
    execute format('alter function usage_events_accept() set search_path = %I, pg_temp', current_schema());
    execute format('alter function usage_events_mark() set search_path = %I, pg_temp', current_schema());
end
$$;

-- Whoever inserts needs no right to the function of a trigger that is there already.
revoke execute on function usage_events_accept(), usage_events_mark(), usage_events_refuse(usage_events, text) from public;
