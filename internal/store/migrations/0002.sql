-- A person's source on the network: the account there.
CREATE TABLE account (
    person_id INTEGER NOT NULL REFERENCES person ON DELETE CASCADE,
    source    TEXT NOT NULL,                        -- its name in the config
    kind      TEXT NOT NULL,
    state     TEXT NOT NULL DEFAULT '{}',           -- JSON, whoever pulls knows what is in it
    PRIMARY KEY (person_id, source)
) STRICT, WITHOUT ROWID;

-- What providers have granted: secrets.
CREATE TABLE token (
    person_id   INTEGER NOT NULL,
    source      TEXT NOT NULL,
    application TEXT NOT NULL,                      -- the client that it was granted to
    access      TEXT NOT NULL,
    refresh     TEXT NOT NULL,
    expiry_ms   INTEGER,                            -- of the access token; NULL: never
    ends_ms     INTEGER,                            -- of the grant; NULL: never
    scopes      TEXT NOT NULL,                      -- JSON
    PRIMARY KEY (person_id, source),
    FOREIGN KEY (person_id, source) REFERENCES account ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- How many requests were made of a limit since its window began.
CREATE TABLE budget (
    key           TEXT NOT NULL,                    -- whose
    name          TEXT NOT NULL,                    -- which limit
    begin_ms      INTEGER NOT NULL,
    per_ms        INTEGER NOT NULL,
    used          INTEGER NOT NULL,
    told          INTEGER NOT NULL DEFAULT 0,       -- what the provider counts, and what was made since
    told_until_ms INTEGER NOT NULL DEFAULT 0,       -- when that is over
    PRIMARY KEY (key, name)
) STRICT, WITHOUT ROWID;

-- The UTC offsets that a person moved to, as the records of one stream tell.
CREATE TABLE journey (
    person_id INTEGER NOT NULL REFERENCES person ON DELETE CASCADE,
    from_ms   INTEGER NOT NULL,
    offset_s  INTEGER,                              -- NULL: home again
    PRIMARY KEY (person_id, from_ms)
) STRICT, WITHOUT ROWID;
ALTER TABLE stream ADD COLUMN tells_journeys INTEGER NOT NULL DEFAULT 0; -- they are read from this one

-- Decisions to tell a person something, or not to; only those that differ from the one before of their rule.
CREATE TABLE decision (
    id         INTEGER PRIMARY KEY,
    person_id  INTEGER NOT NULL REFERENCES person ON DELETE CASCADE,
    rule       TEXT NOT NULL,
    day        INTEGER NOT NULL,
    at_ms      INTEGER NOT NULL,
    send       INTEGER NOT NULL,
    reason     TEXT NOT NULL,
    why        TEXT NOT NULL,
    key        TEXT NOT NULL,                       -- the cause
    queued     INTEGER NOT NULL,                    -- its message has gone to the queue
    expires_ms INTEGER,                             -- of the message; NULL: never
    message    TEXT                                 -- JSON, if there is one to send
) STRICT;
CREATE UNIQUE INDEX decision_queued ON decision (person_id, key) WHERE queued = 1;
CREATE INDEX decision_day ON decision (person_id, day) WHERE queued = 1;
CREATE INDEX decision_rule ON decision (person_id, rule, id);
CREATE INDEX decision_at ON decision (person_id, at_ms);

-- Messages on their way, one row for each channel.
CREATE TABLE delivery (
    id          INTEGER PRIMARY KEY,
    decision_id INTEGER NOT NULL REFERENCES decision ON DELETE CASCADE,
    channel     TEXT NOT NULL,
    due_ms      INTEGER,                            -- NULL: it has ended for good
    begun_ms    INTEGER,                            -- of an attempt whose end is not known
    attempts    INTEGER NOT NULL DEFAULT 0,
    outcome     TEXT NOT NULL DEFAULT '',           -- of the last attempt
    receipt     TEXT NOT NULL DEFAULT '',           -- JSON
    problem     TEXT NOT NULL DEFAULT '',
    ended_ms    INTEGER,                            -- when the last attempt ended
    UNIQUE (decision_id, channel)
) STRICT;
CREATE INDEX delivery_due ON delivery (due_ms) WHERE due_ms IS NOT NULL;

-- The newest instant of all streams is asked for at every turn.
CREATE INDEX stream_newest ON stream (newest_ms);
