-- The unique index of each rollup table, now with the measures in it: an export reads the index alone, in the order of
-- its file, and never sorts. One index is both the key and the cover; two would cost every write twice.
--
-- The price is that no update of a row is heap-only any more. A refresh replaces a bucket now and then; exports read it
-- again and again.
--
-- A table without the default partition that V1 makes is the platform's own: an export reads it without this index too,
-- only slower.

do $$
declare
    rollup text;
begin
    foreach rollup in array array['analytics_hourly_rollups', 'analytics_daily_rollups'] loop
        continue when to_regclass(rollup || '_default') is null;

        execute format(
            'create unique index %I on %I (organization_id, bucket_start, model_id)
             include (request_count, tokens_total, error_count, cost_total) nulls not distinct',
            rollup || '_cover', rollup);
        -- Not before the new one is there: at no moment is the key unguarded.
        execute format('drop index %I', rollup || '_key');
        execute format('alter index %I rename to %I', rollup || '_cover', rollup || '_key');
    end loop;
end
$$;
