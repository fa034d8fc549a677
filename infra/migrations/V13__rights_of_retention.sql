-- The retention makes, fills and drops partitions, which only their owner can. It does so through three functions that run
-- with their owner's rights, so that its own role needs none of the owner's. They accept no other tables than those of
-- usage, and only who is granted them can use them.

-- Makes a table the partition of `parent` for [lower, upper), with the rows of that range that came to the default
-- partition before it, and registers it. Returns how many those were, or null if the partition is there. Whoever must not
-- wait long for the users of the table sets lock_timeout.
create or replace function usage_create_partition(parent text, child text, lower timestamptz, upper timestamptz)
returns bigint
language plpgsql security definer as $$
declare
    patience text := current_setting('lock_timeout');
    period   text := case when starts_with(parent, 'usage_events') then 'YYYYMMDD' else 'YYYYMM' end;
    fallback text;
    key      text;
    astray   boolean := false;
    moved    bigint := 0;
begin
    if parent is null or child is null
        or parent <> all (array['usage_events', 'usage_events_packed', 'analytics_hourly_rollups', 'analytics_daily_rollups'])
        or not (starts_with(parent, 'usage_events') or usage_manages(parent))
        or child <> parent || '_' || to_char(lower at time zone 'UTC', period)
    then
        raise insufficient_privilege using message = format('%L is no partition of %L', child, parent);
    end if;
    if to_regclass(quote_ident(child)) is not null then
        return null;
    end if;
    -- The end of a batch of a refresh, as long as it takes: nobody waits behind this lock.
    perform set_config('lock_timeout', '60s', true);
    perform pg_advisory_xact_lock(x'0072656672657368'::bigint);
    perform set_config('lock_timeout', patience, true);
    -- Writers lock the table before they choose a partition.
    execute format('lock table only %I in share row exclusive mode', parent);

    select attname, partdefid::regclass into strict key, fallback
    from pg_partitioned_table
    join pg_attribute on attrelid = partrelid and attnum = partattrs[0]
    where partrelid = quote_ident(parent)::regclass;
    if fallback <> '-' then
        execute format('select exists (select from %s where %I >= $1 and %I < $2)', fallback, key, key)
            into astray using lower, upper;
    end if;
    if astray then
        -- Readers too: they choose partitions as writers do.
        execute format('lock table only %I in access exclusive mode', parent);
        execute format('lock table %s in access exclusive mode', fallback);
    end if;
    -- Attached when it is filled: no trigger of the parent sees these rows again.
    execute format('create table %I (like %I including defaults including constraints including storage
                                     including compression)', child, parent);
    if astray then
        execute format('with moved as (delete from %s where %I >= $1 and %I < $2 returning *)
                        insert into %I select * from moved', fallback, key, key, child) using lower, upper;
        get diagnostics moved = row_count;
    end if;
    execute format('alter table %I attach partition %I for values from (%L) to (%L)', parent, child, lower, upper);
    insert into usage_partitions values (parent, child, lower, upper) on conflict do nothing;
    return moved;
end
$$;

-- Drops a partition of a day or month, and its registration. With `if_empty` only if it has no rows, else only if all of
-- it is before the limit in usage_state from which on events or rollups are kept. Returns whether it dropped it.
create function usage_drop_partition(child text, if_empty boolean) returns boolean
language plpgsql security definer as $$
declare
    parent   text;
    upper    timestamptz;
    is_empty boolean;
begin
    select there.parent, (to_date(right(child, digits), left('YYYYMMDD', digits))::timestamp
                          + case digits when 8 then interval '1 day' else interval '1 month' end) at time zone 'UTC'
        into parent, upper
    from (values ('usage_events', 8), ('usage_events_packed', 8), ('analytics_hourly_rollups', 6),
                 ('analytics_daily_rollups', 6)) there (parent, digits)
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

-- Packs rows of a partition of usage_events; see usage_pack_rows.
alter function usage_pack(text, timestamptz, integer) rename to usage_pack_rows;

create function usage_pack(source text, the_day timestamptz, most integer) returns bigint
language plpgsql security definer as $$
begin
    if not exists (select from pg_inherits where inhparent = to_regclass('usage_events')
                                             and inhrelid = to_regclass(quote_ident(source))) then
        raise insufficient_privilege using message = format('%L is no partition of usage_events', source);
    end if;
    return usage_pack_rows(source, the_day, most);
end
$$;

do $$
declare
    signature text;
begin
    foreach signature in array array[
        'usage_create_partition(text, text, timestamptz, timestamptz)', 'usage_drop_partition(text, boolean)',
        'usage_pack(text, timestamptz, integer)'
    ] loop
        execute format('alter function %s set search_path = %I, pg_temp', signature, current_schema());
        execute format('revoke execute on function %s from public', signature);
    end loop;
end
$$;
