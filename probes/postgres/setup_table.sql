CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE IF NOT EXISTS {schema}.{table} (
	instance text PRIMARY KEY,   -- the name of the drwatch that wrote the row
	at timestamptz NOT NULL      -- on the clock of that drwatch
);
GRANT USAGE ON SCHEMA {schema} TO {user}, {writer};
-- INSERT ... ON CONFLICT DO UPDATE also reads the row that it finds.
GRANT SELECT, INSERT, UPDATE ON {schema}.{table} TO {writer};
GRANT SELECT ON {schema}.{table} TO {user};
