BEGIN;
-- The ledger of drwatch. Run it in the database that the dsn names, as who shall own the tables. Running it again
-- changes nothing; with a newer drwatch it brings an older ledger up to date.
SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('drwatch'), 7251);
DO $drwatch$ BEGIN
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'drwatch') THEN
		CREATE SCHEMA "drwatch";
	END IF;
END $drwatch$;
CREATE TABLE IF NOT EXISTS "drwatch".version (
	version integer PRIMARY KEY,
	since   timestamptz NOT NULL DEFAULT now()
);

-- Version 1.
DO $drwatch$ BEGIN IF NOT EXISTS (SELECT FROM "drwatch".version WHERE version = 1) THEN

-- The log. Nothing in it is ever changed, by nobody, and only what was pruned is removed: the triggers below hold the
-- owner to it, too. What drwatch's role may do is in its grants.
CREATE TABLE "drwatch".events (
	position bigint PRIMARY KEY CHECK (position > 0),
	stream   text COLLATE "C" NOT NULL,
	sequence bigint NOT NULL CHECK (sequence > 0),
	id       text COLLATE "C" NOT NULL,
	at       bigint NOT NULL,   -- microseconds since 1970, by the clock of the writer
	kind     text NOT NULL,
	actor    text NOT NULL,
	body     bytea NOT NULL,    -- JSON, byte for byte as it was hashed
	previous bytea NOT NULL CHECK (octet_length(previous) = 32),
	hash     bytea NOT NULL CHECK (octet_length(hash) = 32)
);
CREATE UNIQUE INDEX events_by_id ON "drwatch".events (stream, id);
CREATE UNIQUE INDEX events_by_stream ON "drwatch".events (stream, position);

-- Where the log ends. Who holds the lock of its one row may append.
CREATE TABLE "drwatch".head (
	one      boolean PRIMARY KEY DEFAULT true CHECK (one),
	position bigint NOT NULL,
	hash     bytea NOT NULL CHECK (octet_length(hash) = 32)
);
-- Where it begins: after this event, the newest that was pruned.
CREATE TABLE "drwatch".base (LIKE "drwatch".head INCLUDING ALL);
INSERT INTO "drwatch".head (position, hash) VALUES (0, decode(repeat('00', 32), 'hex'));
INSERT INTO "drwatch".base (position, hash) VALUES (0, decode(repeat('00', 32), 'hex'));

-- The newest sequence number of each stream, which outlives its events.
CREATE TABLE "drwatch".streams (
	stream text COLLATE "C" PRIMARY KEY,
	newest bigint NOT NULL
);

-- The leases. A row stays when its lease is given back: tokens never go back.
CREATE TABLE "drwatch".leases (
	name   text COLLATE "C" PRIMARY KEY,
	holder text NOT NULL DEFAULT '',
	token  bigint NOT NULL DEFAULT 0,   -- of the holder
	newest bigint NOT NULL,             -- the newest that was ever given
	until  bigint NOT NULL DEFAULT 0,   -- microseconds since 1970, by the clock of the server
	ttl    bigint NOT NULL DEFAULT 0    -- microseconds for which it was given
);

CREATE FUNCTION "drwatch".refuse() RETURNS trigger LANGUAGE plpgsql AS $function$ BEGIN
	RAISE EXCEPTION 'an event of the ledger is never changed' USING ERRCODE = 'prohibited_sql_statement_attempted';
END $function$;
CREATE TRIGGER never_changed BEFORE UPDATE OR TRUNCATE ON "drwatch".events
	FOR EACH STATEMENT EXECUTE FUNCTION "drwatch".refuse();

CREATE FUNCTION "drwatch".keep() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$ BEGIN
	IF EXISTS (SELECT FROM gone WHERE position > (SELECT position FROM "drwatch".base)) THEN
		RAISE EXCEPTION 'an event of the ledger is only removed by pruning' USING ERRCODE = 'prohibited_sql_statement_attempted';
	END IF;
	RETURN NULL;
END $function$;
CREATE TRIGGER only_pruned AFTER DELETE ON "drwatch".events REFERENCING OLD TABLE AS gone
	FOR EACH STATEMENT EXECUTE FUNCTION "drwatch".keep();

-- Prunes the events up to a position, "most" of them at once, and tells how many it has removed: call it until it is 0.
-- It runs with the rights of its owner, so that whoever may call it needs no other right to remove anything.
CREATE FUNCTION "drwatch".prune(up_to bigint, most integer) RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
	removed bigint;
BEGIN
	PERFORM FROM "drwatch".head FOR UPDATE;
	UPDATE "drwatch".base b SET position = e.position, hash = e.hash FROM "drwatch".events e, "drwatch".head h
		WHERE e.position = least(up_to, h.position) AND e.position > b.position;
	DELETE FROM "drwatch".events WHERE position <= (SELECT position FROM "drwatch".base)
		AND position < (SELECT min(position) FROM "drwatch".events) + most;
	GET DIAGNOSTICS removed = ROW_COUNT;
	RETURN removed;
END $function$;

-- Has a ledger in which nothing was ever written begin after a position, as one that is restored from an export.
CREATE FUNCTION "drwatch".begin_after(newest bigint, its_hash bytea) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$ BEGIN
	UPDATE "drwatch".head SET position = newest, hash = its_hash WHERE position = 0;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the ledger has begun already' USING ERRCODE = 'prohibited_sql_statement_attempted';
	END IF;
	UPDATE "drwatch".base SET position = newest, hash = its_hash;
END $function$;

REVOKE ALL ON FUNCTION "drwatch".prune, "drwatch".begin_after FROM PUBLIC;

INSERT INTO "drwatch".version (version) VALUES (1);
END IF; END $drwatch$;

DO $drwatch$ BEGIN
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'drwatch') THEN
		CREATE ROLE "drwatch" LOGIN;
	END IF;
	EXECUTE pg_catalog.format('GRANT CONNECT ON DATABASE %I TO %I', pg_catalog.current_database(), 'drwatch');
END $drwatch$;
GRANT USAGE ON SCHEMA "drwatch" TO "drwatch";
GRANT SELECT ON "drwatch".version, "drwatch".base TO "drwatch";
GRANT SELECT, INSERT ON "drwatch".events TO "drwatch";
GRANT SELECT, UPDATE ON "drwatch".head TO "drwatch";
GRANT SELECT, INSERT, UPDATE ON "drwatch".streams, "drwatch".leases TO "drwatch";
GRANT EXECUTE ON FUNCTION "drwatch".prune, "drwatch".begin_after TO "drwatch";
COMMIT;
