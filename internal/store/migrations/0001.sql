-- Instants are unix milliseconds, durations milliseconds, days count from 1970-01-01.

CREATE TABLE person (
    id        INTEGER PRIMARY KEY,
    name      TEXT NOT NULL UNIQUE,
    zone      TEXT NOT NULL,                        -- home zone, IANA name
    walking   TEXT NOT NULL DEFAULT 'normal',       -- or 'limited'
    quiet     TEXT NOT NULL DEFAULT '21:30-08:00',
    preferred TEXT NOT NULL DEFAULT '[]',           -- JSON, streams in the person's order
    estimator TEXT NOT NULL DEFAULT '',             -- what the derived days were made with
    rebuild   INTEGER NOT NULL DEFAULT 0            -- the projection must be cleared first
) STRICT;

CREATE TABLE target (
    person_id INTEGER NOT NULL REFERENCES person ON DELETE CASCADE,
    from_day  INTEGER NOT NULL,
    minutes   REAL NOT NULL,
    PRIMARY KEY (person_id, from_day)
) STRICT, WITHOUT ROWID;

-- The zones a person was in, as entered by the person.
CREATE TABLE travel (
    person_id INTEGER NOT NULL REFERENCES person ON DELETE CASCADE,
    from_ms   INTEGER NOT NULL,
    zone      TEXT NOT NULL,
    PRIMARY KEY (person_id, from_ms)
) STRICT, WITHOUT ROWID;

CREATE TABLE not_worn (
    person_id INTEGER NOT NULL REFERENCES person ON DELETE CASCADE,
    day       INTEGER NOT NULL,
    PRIMARY KEY (person_id, day)
) STRICT, WITHOUT ROWID;

CREATE TABLE stream (
    id                INTEGER PRIMARY KEY,
    person_id         INTEGER NOT NULL REFERENCES person ON DELETE CASCADE,
    source            TEXT NOT NULL,
    origin            TEXT NOT NULL,
    device            INTEGER NOT NULL,
    delivery          INTEGER NOT NULL,
    reliable_offset   INTEGER NOT NULL,
    synced_through_ms INTEGER,
    last_arrival_ms   INTEGER,
    newest_ms         INTEGER,                      -- latest end of a record or session
    complete_at_ms    INTEGER,                      -- when the newest full export was made
    records           INTEGER NOT NULL DEFAULT 0,   -- with steps
    total_ms          INTEGER NOT NULL DEFAULT 0,   -- their lengths added up
    longest_ms        INTEGER NOT NULL DEFAULT 0,   -- never shrinks
    UNIQUE (person_id, source, origin)
) STRICT;

CREATE TABLE record (
    stream_id   INTEGER NOT NULL REFERENCES stream ON DELETE CASCADE,
    start_ms    INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    steps       REAL NOT NULL,
    offset_s    INTEGER,
    PRIMARY KEY (stream_id, start_ms, duration_ms)
) STRICT, WITHOUT ROWID;

CREATE TABLE session (
    stream_id INTEGER NOT NULL REFERENCES stream ON DELETE CASCADE,
    start_ms  INTEGER NOT NULL,
    end_ms    INTEGER NOT NULL,
    kind      TEXT NOT NULL,
    moving_ms INTEGER NOT NULL,
    steps     REAL,
    PRIMARY KEY (stream_id, start_ms, end_ms, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE unworn (
    stream_id INTEGER NOT NULL REFERENCES stream ON DELETE CASCADE,
    start_ms  INTEGER NOT NULL,
    end_ms    INTEGER NOT NULL,
    PRIMARY KEY (stream_id, start_ms)
) STRICT, WITHOUT ROWID;

-- Derived days: a cache that can be dropped.
CREATE TABLE day (
    person_id INTEGER NOT NULL REFERENCES person ON DELETE CASCADE,
    day       INTEGER NOT NULL,
    closed    INTEGER NOT NULL,
    summary   TEXT NOT NULL,                        -- JSON
    PRIMARY KEY (person_id, day)
) STRICT, WITHOUT ROWID;
CREATE INDEX day_open ON day (person_id, day) WHERE closed = 0;

-- Days to derive again, and days to project again. The revision grows with every mark, so that work begun before a
-- change does not clear its mark.
CREATE TABLE stale (
    person_id INTEGER NOT NULL REFERENCES person ON DELETE CASCADE,
    day       INTEGER NOT NULL,
    revision  INTEGER NOT NULL,
    PRIMARY KEY (person_id, day)
) STRICT, WITHOUT ROWID;
CREATE TABLE due (
    person_id INTEGER NOT NULL REFERENCES person ON DELETE CASCADE,
    day       INTEGER NOT NULL,
    revision  INTEGER NOT NULL,
    since_ms  INTEGER NOT NULL,                     -- when it became due
    PRIMARY KEY (person_id, day)
) STRICT, WITHOUT ROWID;

-- What a day last wrote to InfluxDB.
CREATE TABLE projected (
    person_id   INTEGER NOT NULL REFERENCES person ON DELETE CASCADE,
    day         INTEGER NOT NULL,
    measurement INTEGER NOT NULL,
    sum         INTEGER NOT NULL,                   -- of the content last written; 0: what InfluxDB holds is in doubt
    keys        BLOB NOT NULL,
    PRIMARY KEY (person_id, day, measurement)
) STRICT, WITHOUT ROWID;
