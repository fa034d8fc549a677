-- The retention makes, fills and drops partitions, which only their owner can. It does so through three functions that run
-- with their owner's rights, so that its own role needs none of the owner's. They accept no other tables than those of
-- usage, and only who is granted them can use them.

-- Makes a partition, and registers it; see usage_make_partition.
alter function usage_create_partition(text, text, timestamptz, timestamptz) rename to usage_make_partition;

create function usage_create_partition(parent text, child text, lower timestamptz, upper timestamptz)
returns bigint
language plpgsql security definer as $$
declare
    period text := case when starts_with(parent, 'usage_events') then 'YYYYMMDD' else 'YYYYMM' end;
    moved  bigint;
begin
    if parent is null or child is null
        or parent <> all (array['usage_events', 'usage_events_packed', 'analytics_hourly_rollups', 'analytics_daily_rollups'])
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
