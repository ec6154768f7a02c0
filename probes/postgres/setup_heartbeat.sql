
-- The role that writes the heartbeat, and the one table that it can touch: a row for each drwatch.
DO $drwatch$ BEGIN
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {'writer'}) THEN
		CREATE ROLE {writer} LOGIN;
	END IF;
	EXECUTE pg_catalog.format('GRANT CONNECT ON DATABASE %I TO %I', pg_catalog.current_database(), {'writer'});
END $drwatch$;
