-- The partitions that the tables of usage have. A partition that another session detached or dropped takes its rows with it,
-- and its parent gives no sign of that: what reads a range looks here for what should be there.
create table usage_partitions (
    parent text        not null,
    child  text        primary key,
    lower  timestamptz not null,
    upper  timestamptz not null
);

-- Days of raw events, and months of rollups where the table is ours.
insert into usage_partitions (parent, child, lower, upper)
select parent.relname, child.relname, period.lower at time zone 'UTC', (period.lower + period.length) at time zone 'UTC'
from (values ('usage_events', 8), ('usage_events_packed', 8), ('analytics_hourly_rollups', 6),
             ('analytics_daily_rollups', 6)) known (name, digits)
join pg_class parent on parent.oid = to_regclass(known.name)
join pg_inherits on inhparent = parent.oid
join pg_class child on child.oid = inhrelid
cross join lateral (
    select to_date(right(child.relname, digits), left('YYYYMMDD', digits))::timestamp as lower,
           case digits when 8 then interval '1 day' else interval '1 month' end as length
) period
where child.relname ~ format('^%s_[0-9]{%s}$', known.name, known.digits)
  and (known.digits = 8 or usage_manages(known.name));

-- Returns the registered partitions of [lower, upper) that a query of `parent` does not read.
--
-- `pg_partition_tree` reads the catalog as the planner does, not the snapshot of the transaction: it finds also what was
-- detached since the snapshot.
create function usage_missing_partitions(parent text, lower timestamptz, upper timestamptz) returns text[]
language sql stable as $$
    select coalesce(array_agg(known.child order by known.child), '{}')
    from usage_partitions known
    where known.parent = $1 and known.lower < $3 and known.upper > $2
      and not exists (
          select from pg_partition_tree(to_regclass(quote_ident($1))) there
          join pg_class on pg_class.oid = there.relid
          where pg_class.relname = known.child
      )
$$;
