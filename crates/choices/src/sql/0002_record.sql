-- What makes a record of a choice complete: the words shown, and the event under which the ledger has it.

-- The words that were shown, by their SHA-256. Kept once, however many people saw them.
CREATE TABLE vigie.wording (
    hash    bytea PRIMARY KEY CHECK (length(hash) = 32),
    words   text NOT NULL CHECK (length(words) BETWEEN 1 AND 20000),
    kept_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The event of the ledger; none for what was recorded without one (by the command line, or before).
ALTER TABLE vigie.choice ADD COLUMN event bytea CHECK (length(event) = 16);
ALTER TABLE vigie.choice_history ADD COLUMN event bytea CHECK (length(event) = 16);

-- Events in force that the ledger has not promised yet. What opens them is in the vault.
CREATE TABLE vigie.unlogged (
    event bytea PRIMARY KEY CHECK (length(event) = 16),
    since timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Answers already given, by the hash of caller and idempotency key, so that a request that comes twice is carried out once.
CREATE TABLE vigie.answered (
    key         bytea PRIMARY KEY CHECK (length(key) = 32),
    request     bytea NOT NULL CHECK (length(request) = 32),
    answer      text NOT NULL,
    answered_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX answered_at ON vigie.answered (answered_at);
