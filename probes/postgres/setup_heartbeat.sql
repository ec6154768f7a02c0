
-- The role that writes the heartbeat, and the one table that it can touch: a row for each drwatch.
DO $drwatch$ BEGIN
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {'writer'}) THEN
		CREATE ROLE {writer} LOGIN;
	END IF;
	EXECUTE pg_catalog.format('GRANT CONNECT ON DATABASE %I TO %I', pg_catalog.current_database(), {'writer'});
END $drwatch$;
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE IF NOT EXISTS {schema}.{table} (
	instance text PRIMARY KEY,   -- the name of the drwatch that wrote the row
	at timestamptz NOT NULL      -- on the clock of that drwatch
);
GRANT USAGE ON SCHEMA {schema} TO {user}, {writer};
-- INSERT ... ON CONFLICT DO UPDATE also reads the row that it finds.
GRANT SELECT, INSERT, UPDATE ON {schema}.{table} TO {writer};
GRANT SELECT ON {schema}.{table} TO {user};
