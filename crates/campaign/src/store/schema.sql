-- The tables of a campaign. `user_version` is 1. Times are milliseconds since 1970 began.

CREATE TABLE campaign (
    one       INTEGER PRIMARY KEY CHECK (one = 1),
    id        TEXT    NOT NULL,
    made_ms   INTEGER NOT NULL,
    settings  TEXT    NOT NULL
) STRICT;

-- Settings that were in force before, when a campaign went on with others.
CREATE TABLE former_settings (
    until_ms  INTEGER NOT NULL,
    finished  INTEGER NOT NULL,          -- how many jobs were finished under them
    settings  TEXT    NOT NULL
) STRICT;

CREATE TABLE sites (
    site      INTEGER PRIMARY KEY,       -- also the place on the list
    url       TEXT    NOT NULL UNIQUE,
    domain    TEXT    NOT NULL,          -- the registrable domain, by which visits are paced
    country   TEXT
) STRICT;

CREATE TABLE tags (
    site      INTEGER NOT NULL REFERENCES sites,
    tag       TEXT    NOT NULL,
    PRIMARY KEY (site, tag)
) STRICT, WITHOUT ROWID;

-- One site's one repeat. It is `done` (inspected) or `failed` (blocked, unreachable or failed after all tries)
-- exactly when its row in `results` is committed, by the same transaction.
CREATE TABLE jobs (
    job           INTEGER PRIMARY KEY,
    site          INTEGER NOT NULL REFERENCES sites,
    repeat        INTEGER NOT NULL,
    state         TEXT    NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'failed')),
    place         INTEGER NOT NULL,      -- in the queue
    attempts      INTEGER NOT NULL DEFAULT 0,  -- that came to an end
    interruptions INTEGER NOT NULL DEFAULT 0,  -- attempts during which the program ended
    queued        INTEGER NOT NULL DEFAULT 0,  -- 1 while it runs by way of the queue, on whatever machine
    not_before_ms INTEGER NOT NULL DEFAULT 0,
    UNIQUE (site, repeat)
) STRICT;
CREATE INDEX jobs_by_state ON jobs (state, place);

-- Every attempt that came to an end, also those that were tried again.
CREATE TABLE attempts (
    job       INTEGER NOT NULL REFERENCES jobs,
    attempt   INTEGER NOT NULL,
    ended_ms  INTEGER NOT NULL,
    outcome   TEXT    NOT NULL,
    why       TEXT,
    bundle    TEXT,
    PRIMARY KEY (job, attempt)
) STRICT, WITHOUT ROWID;

-- What stands. `document` is the inspection as it came, compressed with gzip, or null if the inspection itself failed.
CREATE TABLE results (
    job           INTEGER PRIMARY KEY REFERENCES jobs,
    site          INTEGER NOT NULL REFERENCES sites,
    repeat        INTEGER NOT NULL,
    outcome       TEXT    NOT NULL,
    why           TEXT,
    attempts      INTEGER NOT NULL,
    finished_ms   INTEGER NOT NULL,
    elapsed_s     REAL,
    host          TEXT,
    final_url     TEXT,
    banner_seen   INTEGER,
    cmp           TEXT,
    language      TEXT,
    accept_first_layer   INTEGER,
    refuse_first_layer   INTEGER,
    settings_first_layer INTEGER,
    close_first_layer    INTEGER,
    preticked     INTEGER,
    clicks_accept   INTEGER,
    clicks_refuse   INTEGER,
    clicks_withdraw INTEGER,
    asked_before_choice  INTEGER,
    stored_before_choice INTEGER,
    bundle        TEXT,
    bundle_sha256 TEXT,
    document      BLOB,
    UNIQUE (site, repeat)
) STRICT;

CREATE TABLE findings (
    job       INTEGER NOT NULL REFERENCES results,
    rule      TEXT    NOT NULL,
    title     TEXT    NOT NULL,
    verdict   TEXT    NOT NULL,
    severity  TEXT    NOT NULL,
    certainty TEXT    NOT NULL,
    summary   TEXT    NOT NULL
) STRICT;
CREATE INDEX findings_by_job ON findings (job);

CREATE TABLE trackers (
    job       INTEGER NOT NULL REFERENCES results,
    visit     TEXT    NOT NULL,
    host      TEXT    NOT NULL,
    requests  INTEGER NOT NULL,
    class     TEXT,
    why       TEXT
) STRICT;
CREATE INDEX trackers_by_job ON trackers (job);

CREATE TABLE cookies (
    job        INTEGER NOT NULL REFERENCES results,
    visit      TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    domain     TEXT    NOT NULL,
    path       TEXT    NOT NULL,
    party      TEXT,
    http_only  INTEGER,
    lifetime_s REAL,
    set_by     TEXT,
    blocked    TEXT,
    class      TEXT,
    exempt     INTEGER,
    why        TEXT
) STRICT;
CREATE INDEX cookies_by_job ON cookies (job);
