-- What drwatch needs on a PostgreSQL server. Run it on the primary, in the database that the dsn names, as a superuser or
-- as the administrator of a managed service; standbys get all of it by replication. Running it again changes nothing.
-- No password is in it: set one with \password, or let the role log in by certificate.

-- The role that looks. It can read nothing of the data: pg_read_all_stats shows it the columns of pg_stat_wal_receiver,
-- and everything else that drwatch asks is open to any role.
DO $drwatch$ BEGIN
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {'user'}) THEN
		CREATE ROLE {user} LOGIN;
	END IF;
	EXECUTE pg_catalog.format('GRANT CONNECT ON DATABASE %I TO %I', pg_catalog.current_database(), {'user'});
END $drwatch$;
GRANT pg_read_all_stats TO {user};
