-- One row: where the log begins and ends. It is what tells that events were cut off.
CREATE TABLE ledger (
	one       INTEGER PRIMARY KEY CHECK (one = 1),
	base      INTEGER NOT NULL CHECK (base >= 0),  -- position of the event before the oldest
	base_hash BLOB    NOT NULL CHECK (length(base_hash) = 32),
	last      INTEGER NOT NULL CHECK (last >= base),
	head      BLOB    NOT NULL CHECK (length(head) = 32)
) STRICT;

INSERT INTO ledger VALUES (1, 0, zeroblob(32), 0, zeroblob(32));

-- A stream stays here when its events are pruned, so that it counts on.
CREATE TABLE streams (
	number INTEGER PRIMARY KEY,
	name   TEXT    NOT NULL UNIQUE,
	newest INTEGER NOT NULL CHECK (newest > 0)  -- sequence number
) STRICT;

CREATE TABLE events (
	position INTEGER PRIMARY KEY,
	stream   INTEGER NOT NULL REFERENCES streams (number),
	sequence INTEGER NOT NULL,
	id       TEXT    NOT NULL,
	time     INTEGER NOT NULL,  -- microseconds since 1970
	kind     TEXT    NOT NULL,
	actor    TEXT    NOT NULL,
	body     BLOB    NOT NULL,
	previous BLOB    NOT NULL CHECK (length(previous) = 32),
	hash     BLOB    NOT NULL CHECK (length(hash) = 32)
) STRICT;

-- An index ends with the row's position: this one gives the events of a stream in
-- their order.
CREATE INDEX events_of_stream ON events (stream);
CREATE UNIQUE INDEX events_by_id ON events (stream, id);

-- What replaces an event is an INSERT too.
CREATE TRIGGER events_come_at_the_end BEFORE INSERT ON events
WHEN new.position <= (SELECT last FROM ledger)
BEGIN
	SELECT raise(ABORT, 'an event of the ledger is added at its end');
END;

CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events
BEGIN
	SELECT raise(ABORT, 'an event of the ledger is never changed');
END;

CREATE TRIGGER events_are_not_removed BEFORE DELETE ON events
WHEN old.position > (SELECT base FROM ledger)
BEGIN
	SELECT raise(ABORT, 'an event of the ledger is not removed, but for the oldest, by pruning');
END;

-- A lease stays here when nobody holds it, so that its tokens never go back.
CREATE TABLE leases (
	name   TEXT    PRIMARY KEY,
	holder TEXT    NOT NULL,
	token  INTEGER NOT NULL,
	newest INTEGER NOT NULL CHECK (newest >= token),  -- no token up to this one is given again
	ttl    INTEGER NOT NULL,                          -- microseconds
	until  INTEGER NOT NULL                           -- microseconds since 1970; 0 is not held
) STRICT, WITHOUT ROWID;
