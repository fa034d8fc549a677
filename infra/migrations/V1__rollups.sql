-- The rollup tables that exports read, partitioned by month of bucket_start.
--
-- A platform that has these tables already keeps them as they are: nothing here touches a table that exists.
-- Each of ours is unique per organization, bucket and model, where a null model counts as one model.

do $$
declare
    rollup text;
    month  timestamptz;
begin
    -- Month boundaries are UTC's, whatever zone the session is in.
    perform set_config('timezone', 'UTC', true);
    foreach rollup in array array['analytics_hourly_rollups', 'analytics_daily_rollups'] loop
        -- One that is there is the platform's own.
        continue when to_regclass(rollup) is not null;

        execute format(
            'create table %I (
                 bucket_start    timestamptz    not null,
                 organization_id uuid           not null,
                 model_id        uuid,
                 request_count   bigint         not null,
                 tokens_total    bigint         not null,
                 error_count     bigint         not null,
                 cost_total      numeric(20, 4) not null
             ) partition by range (bucket_start)', rollup);
        execute format(
            'create unique index %I on %I (organization_id, bucket_start, model_id) nulls not distinct',
            rollup || '_key', rollup);
        -- The 13 months that are kept, and three to come. What lies outside them goes to the default partition: no row
        -- is ever refused for its date.
        for month in
            select generate_series(date_trunc('month', now()) - interval '13 months',
                                   date_trunc('month', now()) + interval '3 months', interval '1 month')
        loop
            execute format('create table %I partition of %I for values from (%L) to (%L)',
                           rollup || to_char(month, '_YYYYMM'), rollup, month, month + interval '1 month');
        end loop;
        execute format('create table %I partition of %I default', rollup || '_default', rollup);
    end loop;
end
$$;
