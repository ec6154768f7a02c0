-- The log. Nothing in it is ever changed, by nobody, and only what was pruned is removed: the triggers below hold the
-- owner to it, too. What drwatch's role may do is in its grants.
CREATE TABLE {schema}.events (
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
CREATE UNIQUE INDEX events_by_id ON {schema}.events (stream, id);
CREATE UNIQUE INDEX events_by_stream ON {schema}.events (stream, position);

-- Where the log ends. Who holds the lock of its one row may append.
CREATE TABLE {schema}.head (
	one      boolean PRIMARY KEY DEFAULT true CHECK (one),
	position bigint NOT NULL,
	hash     bytea NOT NULL CHECK (octet_length(hash) = 32)
);
-- Where it begins: after this event, the newest that was pruned.
CREATE TABLE {schema}.base (LIKE {schema}.head INCLUDING ALL);
INSERT INTO {schema}.head (position, hash) VALUES (0, decode(repeat('00', 32), 'hex'));
INSERT INTO {schema}.base (position, hash) VALUES (0, decode(repeat('00', 32), 'hex'));

-- The newest sequence number of each stream, which outlives its events.
CREATE TABLE {schema}.streams (
	stream text COLLATE "C" PRIMARY KEY,
	newest bigint NOT NULL
);

-- The leases. A row stays when its lease is given back: tokens never go back.
CREATE TABLE {schema}.leases (
	name   text COLLATE "C" PRIMARY KEY,
	holder text NOT NULL DEFAULT '',
	token  bigint NOT NULL DEFAULT 0,   -- of the holder
	newest bigint NOT NULL,             -- the newest that was ever given
	until  bigint NOT NULL DEFAULT 0,   -- microseconds since 1970, by the clock of the server
	ttl    bigint NOT NULL DEFAULT 0    -- microseconds for which it was given
);

CREATE FUNCTION {schema}.refuse() RETURNS trigger LANGUAGE plpgsql AS $function$ BEGIN
	RAISE EXCEPTION 'an event of the ledger is never changed' USING ERRCODE = 'prohibited_sql_statement_attempted';
END $function$;
CREATE TRIGGER never_changed BEFORE UPDATE OR TRUNCATE ON {schema}.events
	FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse();

CREATE FUNCTION {schema}.keep() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$ BEGIN
	IF EXISTS (SELECT FROM gone WHERE position > (SELECT position FROM {schema}.base)) THEN
		RAISE EXCEPTION 'an event of the ledger is only removed by pruning' USING ERRCODE = 'prohibited_sql_statement_attempted';
	END IF;
	RETURN NULL;
END $function$;
CREATE TRIGGER only_pruned AFTER DELETE ON {schema}.events REFERENCING OLD TABLE AS gone
	FOR EACH STATEMENT EXECUTE FUNCTION {schema}.keep();

-- Prunes the events up to a position, "most" of them at once, and tells how many it has removed: call it until it is 0.
-- It runs with the rights of its owner, so that whoever may call it needs no other right to remove anything.
CREATE FUNCTION {schema}.prune(up_to bigint, most integer) RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
	removed bigint;
BEGIN
	PERFORM FROM {schema}.head FOR UPDATE;
	UPDATE {schema}.base b SET position = e.position, hash = e.hash FROM {schema}.events e, {schema}.head h
		WHERE e.position = least(up_to, h.position) AND e.position > b.position;
	DELETE FROM {schema}.events WHERE position <= (SELECT position FROM {schema}.base)
		AND position < (SELECT min(position) FROM {schema}.events) + most;
	GET DIAGNOSTICS removed = ROW_COUNT;
	RETURN removed;
END $function$;

-- Has a ledger in which nothing was ever written begin after a position, as one that is restored from an export.
CREATE FUNCTION {schema}.begin_after(newest bigint, its_hash bytea) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$ BEGIN
	UPDATE {schema}.head SET position = newest, hash = its_hash WHERE position = 0;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the ledger has begun already' USING ERRCODE = 'prohibited_sql_statement_attempted';
	END IF;
	UPDATE {schema}.base SET position = newest, hash = its_hash;
END $function$;

REVOKE ALL ON FUNCTION {schema}.prune, {schema}.begin_after FROM PUBLIC;
