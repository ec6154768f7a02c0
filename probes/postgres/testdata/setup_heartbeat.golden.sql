-- What drwatch needs on a PostgreSQL server. Run it on the primary, in the database that the dsn names, as a superuser or
-- as the administrator of a managed service; standbys get all of it by replication. Running it again changes nothing.
-- No password is in it: set one with \password, or let the role log in by certificate.

-- The role that looks. It can read nothing of the data: pg_read_all_stats shows it the columns of pg_stat_wal_receiver,
-- and everything else that drwatch asks is open to any role.
DO $drwatch$ BEGIN
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'the "watcher"') THEN
		CREATE ROLE "the ""watcher""" LOGIN;
	END IF;
	EXECUTE pg_catalog.format('GRANT CONNECT ON DATABASE %I TO %I', pg_catalog.current_database(), 'the "watcher"');
END $drwatch$;
GRANT pg_read_all_stats TO "the ""watcher""";

-- The role that writes the heartbeat, and the one table that it can touch: a row for each drwatch.
DO $drwatch$ BEGIN
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'o''beater') THEN
		CREATE ROLE "o'beater" LOGIN;
	END IF;
	EXECUTE pg_catalog.format('GRANT CONNECT ON DATABASE %I TO %I', pg_catalog.current_database(), 'o''beater');
END $drwatch$;
CREATE SCHEMA IF NOT EXISTS "ops";
CREATE TABLE IF NOT EXISTS "ops"."pulse" (
	instance text PRIMARY KEY,   -- the name of the drwatch that wrote the row
	at timestamptz NOT NULL      -- on the clock of that drwatch
);
GRANT USAGE ON SCHEMA "ops" TO "the ""watcher""", "o'beater";
-- INSERT ... ON CONFLICT DO UPDATE also reads the row that it finds.
GRANT SELECT, INSERT, UPDATE ON "ops"."pulse" TO "o'beater";
GRANT SELECT ON "ops"."pulse" TO "the ""watcher""";
