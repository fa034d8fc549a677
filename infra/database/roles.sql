-- The roles of the functions and of the platform. Run by a role that may create roles, once before the first deploy and
-- again after an update; logins.py does so:
--
--     psql "$ADMIN_URL" --set ON_ERROR_STOP=1 --set schema=public --file infra/database/roles.sql
--
-- analytics_owner owns the tables and is for the migrations alone. The others own nothing and cannot log in: logins.py
-- makes a login for each, and the migrations give them their rights (functions/migrate/src/rights.rs). Grant
-- analytics_writer to the role that writes usage events, analytics_reader to roles that read usage, and analytics_eraser to
-- whoever erases organizations.

select format('create role %I', role)
from unnest(array['analytics_owner', 'analytics_api', 'analytics_worker', 'analytics_monthly', 'analytics_reconcile', 'analytics_telemetry',
                  'analytics_refresh', 'analytics_retention', 'analytics_writer', 'analytics_reader', 'analytics_eraser']) role
where to_regrole(role) is null
\gexec

grant usage, create on schema :"schema" to analytics_owner;

grant usage on schema :"schema" to analytics_api, analytics_worker, analytics_monthly, analytics_reconcile, analytics_telemetry,
    analytics_refresh, analytics_retention, analytics_writer, analytics_reader, analytics_eraser;

select format('grant connect on database %I to %s', current_database(),
              'analytics_owner, analytics_api, analytics_worker, analytics_monthly, analytics_reconcile, analytics_telemetry,
               analytics_refresh, analytics_retention, analytics_writer, analytics_reader, analytics_eraser')
\gexec
-- The refresh keeps what it works on in temporary tables.
select format('grant temporary on database %I to analytics_refresh, analytics_retention', current_database())
\gexec
