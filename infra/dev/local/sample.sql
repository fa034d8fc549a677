-- Sample rollups for one organization, given as the psql variable `org`: January 2024 and the days around it, so that
-- a range that is off by one shows. Three models, and usage that names no model. The same rows on every run.

begin;

delete from analytics_hourly_rollups where organization_id = :'org';
delete from analytics_daily_rollups where organization_id = :'org';

insert into analytics_hourly_rollups
    (bucket_start, organization_id, model_id, request_count, tokens_total, error_count, cost_total)
select
    hour,
    :'org',
    model,
    requests,
    requests * (180 + 35 * number),
    requests * (number + 1) / 60,
    requests * (0.0021 + 0.0017 * number)
from generate_series(
        timestamptz '2023-12-31T00:00:00Z', timestamptz '2024-02-01T23:00:00Z', interval '1 hour'
    ) as hour
cross join (values
    (0, null::uuid),
    (1, '550e8400-e29b-41d4-a716-446655440000'),
    (2, '6ba7b810-9dad-41d1-80b4-00c04fd430c8'),
    (3, 'f47ac10b-58cc-4372-a567-0e02b2c3d479')
) as models (number, model)
cross join lateral (
    -- More at midday than at night, less at weekends, and a little different every day.
    select (
        (40 - abs(13 - extract(hour from hour at time zone 'UTC')) * 3)
        * (4 - number)
        / (case when extract(isodow from hour at time zone 'UTC') > 5 then 3 else 1 end)
        + extract(day from hour at time zone 'UTC') % 7
    )::bigint
) as load (requests);

insert into analytics_daily_rollups
    (bucket_start, organization_id, model_id, request_count, tokens_total, error_count, cost_total)
select
    date_trunc('day', bucket_start, 'UTC'),
    organization_id,
    model_id,
    sum(request_count),
    sum(tokens_total),
    sum(error_count),
    sum(cost_total)
from analytics_hourly_rollups
where organization_id = :'org'
group by 1, 2, 3;

commit;
