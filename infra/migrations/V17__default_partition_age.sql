-- The index by which the nightly retention finds the days of the default partition costs a load of history as much as
-- the index of its organizations. Events come nearly in the order of time, so the ranges of its pages say enough.
drop index usage_events_default_age;
create index usage_events_default_age on usage_events_default using brin (occurred_at) with (pages_per_range = 32);
