-- Partitions are made while nobody writes to their table and no refresh runs.
--
-- Rows of the default partition move to the new one. A statement that was planned before and waits for the default
-- partition would find them in neither place, and a writer that was sent to the default partition would be refused by the
-- constraint that it has since.

-- Makes a table the partition of `parent` for [lower, upper), with the rows of that range that came to the default
-- partition before it. Returns how many those were, or null if the partition is there. Whoever must not wait long for the
-- users of the table sets lock_timeout.
create or replace function usage_create_partition(parent text, child text, lower timestamptz, upper timestamptz)
returns bigint
language plpgsql as $$
declare
    patience text := current_setting('lock_timeout');
    fallback text;
    key      text;
    astray   boolean := false;
    moved    bigint := 0;
begin
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
    return moved;
end
$$;
