-- The tables of the schema `vigie`, in the operator's own database. `@SUBJECT@` is the type of a person's id.
--
-- A row's mask is ((initial | given) & ~(refused | ordered)) & ~barred: what everybody begins with, what this person
-- gave and refused, what stop orders took from him, and what stop orders took from everybody.

CREATE TABLE vigie.deployment (
    only_row     boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    map          text NOT NULL,
    subject_type text NOT NULL CHECK (subject_type IN ('bigint', 'uuid', 'text'))
);

CREATE TABLE vigie.purpose (
    bit     smallint PRIMARY KEY CHECK (bit BETWEEN 0 AND 62),
    name    text NOT NULL UNIQUE,
    term    text NOT NULL,
    basis   text NOT NULL CHECK (basis IN ('consent', 'contract', 'legal-obligation', 'vital-interest',
                                           'public-task', 'legitimate-interest')),
    initial boolean NOT NULL,
    -- No longer in the data map. Its bit stays taken, so that old choices are never read as choices of something else.
    retired boolean NOT NULL DEFAULT false
);

CREATE TABLE vigie.governed (
    id             integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    relation       regclass NOT NULL UNIQUE,
    subject_column name NOT NULL,
    mask_column    name NOT NULL,
    fanout         text NOT NULL CHECK (fanout IN ('immediate', 'deferred')),
    -- Whether every mask was written once since the table is governed; before, nobody may be granted it.
    ready          boolean NOT NULL DEFAULT false
);

-- The state in force, one row per person, purpose and recipient ('' is the operator itself, and what masks follow).
CREATE TABLE vigie.choice (
    subject      @SUBJECT@ NOT NULL,
    purpose      smallint NOT NULL REFERENCES vigie.purpose,
    recipient    text NOT NULL DEFAULT '' CHECK (length(recipient) <= 200),
    state        text NOT NULL CHECK (state IN ('requested', 'given', 'refused', 'withdrawn', 'lapsed')),
    decided_at   timestamptz NOT NULL,
    method       text NOT NULL CHECK (length(method) BETWEEN 1 AND 200),
    notice       text NOT NULL DEFAULT '' CHECK (length(notice) <= 500),
    wording_hash bytea CHECK (length(wording_hash) = 32),
    language     text NOT NULL DEFAULT '' CHECK (length(language) <= 35),
    recorded_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    recorded_by  name NOT NULL DEFAULT session_user,
    PRIMARY KEY (subject, purpose, recipient)
);

-- Every state that ever was recorded, late ones too. Nobody changes it: a trigger refuses.
CREATE TABLE vigie.choice_history (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject      @SUBJECT@ NOT NULL,
    purpose      smallint NOT NULL,
    recipient    text NOT NULL,
    state        text NOT NULL,
    decided_at   timestamptz NOT NULL,
    method       text NOT NULL,
    notice       text NOT NULL,
    wording_hash bytea,
    language     text NOT NULL,
    recorded_at  timestamptz NOT NULL,
    recorded_by  name NOT NULL,
    -- Whether it came into force: a decision older than the one in force is kept, and changes nothing.
    in_force     boolean NOT NULL
);
CREATE INDEX choice_history_subject ON vigie.choice_history (subject, id);

CREATE TABLE vigie.stop_order (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject    @SUBJECT@,
    purpose    smallint REFERENCES vigie.purpose,
    ordered_by text NOT NULL CHECK (length(ordered_by) BETWEEN 1 AND 200),
    reference  text NOT NULL CHECK (length(reference) BETWEEN 1 AND 200),
    reason     text NOT NULL CHECK (length(reason) BETWEEN 1 AND 2000),
    since      timestamptz NOT NULL DEFAULT clock_timestamp(),
    lifted_at  timestamptz,
    lifted_by  text,
    CHECK ((lifted_at IS NULL) = (lifted_by IS NULL))
);
CREATE INDEX stop_order_subject ON vigie.stop_order (subject) WHERE lifted_at IS NULL;

-- Only people who chose something, or whom an order names; the others have what everybody begins with.
CREATE TABLE vigie.subject_mask (
    subject @SUBJECT@ PRIMARY KEY,
    given   bigint NOT NULL DEFAULT 0,
    refused bigint NOT NULL DEFAULT 0,
    ordered bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 80);

CREATE TABLE vigie.everybody (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    initial  bigint NOT NULL DEFAULT 0,
    barred   bigint NOT NULL DEFAULT 0,
    -- In the stop set for everybody, because rows may still show these bits.
    stopped  bigint NOT NULL DEFAULT 0,
    -- Those of `stopped` that the data map took away, which lifting an order does not give back.
    reduced  bigint NOT NULL DEFAULT 0
);
INSERT INTO vigie.everybody DEFAULT VALUES;

-- People whose rows may not say yet what their choices say. `mark` is the transaction before which everything must have
-- ended for the next step: in phase `sweep` writers that read the old mask, in phase `leave` readers of old rows.
CREATE TABLE vigie.fanout (
    subject     @SUBJECT@ PRIMARY KEY,
    version     bigint NOT NULL,
    phase       text NOT NULL DEFAULT 'sweep' CHECK (phase IN ('sweep', 'leave')),
    mark        bigint,
    enqueued_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 80);
CREATE INDEX fanout_unmarked ON vigie.fanout (enqueued_at) WHERE mark IS NULL;
CREATE INDEX fanout_mark ON vigie.fanout (mark) WHERE mark IS NOT NULL;

-- The same for everybody at once: one sweep over all governed tables, begun anew with each change.
CREATE TABLE vigie.sweep (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version  bigint NOT NULL DEFAULT 0,
    phase    text NOT NULL DEFAULT 'idle' CHECK (phase IN ('idle', 'sweep', 'leave')),
    mark     bigint
);
INSERT INTO vigie.sweep DEFAULT VALUES;
CREATE TABLE vigie.sweep_table (
    governed integer PRIMARY KEY REFERENCES vigie.governed ON DELETE CASCADE,
    version  bigint NOT NULL,
    reached  @SUBJECT@,
    done     boolean NOT NULL DEFAULT false
);

-- The stop set: bits that a gateway must treat as cleared for a person, whatever the row says.
CREATE TABLE vigie.stopped (
    subject @SUBJECT@ PRIMARY KEY,
    bits    bigint NOT NULL CHECK (bits > 0)
);

-- Its changes. `bits` is what is stopped from then on (0: nothing), of `subject` or, without one, of everybody.
-- `seq` is given at commit and in the order of commits, so that nothing ever appears below a number already seen.
CREATE SEQUENCE vigie.stop_seq;
CREATE TABLE vigie.stop_change (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    seq     bigint UNIQUE,
    subject @SUBJECT@,
    bits    bigint NOT NULL,
    at      timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE vigie.ticket (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    requester       text NOT NULL CHECK (length(requester) BETWEEN 1 AND 300),
    purpose         text NOT NULL,
    tables          text[] NOT NULL CHECK (cardinality(tables) BETWEEN 1 AND 200),
    reason          text NOT NULL CHECK (length(reason) BETWEEN 10 AND 2000),
    requested_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    approver        text,
    approved_at     timestamptz,
    second_approver text,
    second_at       timestamptz,
    break_glass     boolean NOT NULL,
    expires_at      timestamptz NOT NULL,
    reviewed_by     text,
    reviewed_at     timestamptz,
    review_note     text,
    CONSTRAINT approver_is_another CHECK (lower(approver) <> lower(requester)),
    CONSTRAINT second_approver_is_a_third CHECK (lower(second_approver) NOT IN (lower(requester), lower(approver))),
    CONSTRAINT second_approver_comes_second CHECK (second_approver IS NULL OR approver IS NOT NULL),
    CONSTRAINT reviewer_is_another CHECK (lower(reviewed_by) <> lower(requester)),
    CONSTRAINT approval_is_dated CHECK ((approver IS NULL) = (approved_at IS NULL)),
    CONSTRAINT second_approval_is_dated CHECK ((second_approver IS NULL) = (second_at IS NULL)),
    CONSTRAINT review_says_something CHECK (length(review_note) BETWEEN 1 AND 5000),
    CONSTRAINT review_is_complete CHECK (num_nonnulls(reviewed_by, reviewed_at, review_note) IN (0, 3)),
    CONSTRAINT expiry_is_ahead CHECK (expires_at > requested_at),
    CONSTRAINT expiry_is_near CHECK (expires_at <= requested_at + CASE WHEN break_glass THEN interval '24 hours'
                                                                       ELSE interval '30 days' END)
);
CREATE INDEX ticket_requester ON vigie.ticket (requester, purpose, expires_at);

CREATE TABLE vigie.aggregate_budget (
    reader  text NOT NULL,
    dataset text NOT NULL,
    day     date NOT NULL,
    used    bigint NOT NULL CHECK (used >= 0),
    PRIMARY KEY (reader, dataset, day)
);
