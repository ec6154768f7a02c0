-- The ledger of drwatch. Run it in the database that the dsn names, as who shall own the tables. Running it again
-- changes nothing; with a newer drwatch it brings an older ledger up to date.
SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext({'schema'}), 7251);
DO $drwatch$ BEGIN
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = {'schema'}) THEN
		CREATE SCHEMA {schema};
	END IF;
END $drwatch$;
CREATE TABLE IF NOT EXISTS {schema}.version (
	version integer PRIMARY KEY,
	since   timestamptz NOT NULL DEFAULT now()
);
