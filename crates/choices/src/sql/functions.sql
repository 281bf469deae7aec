-- The functions of the schema `vigie`, replaced as a whole whenever this text changes. `@SUBJECT@` is the type of a
-- person's id; `@IMMEDIATE@` and `@ALL@` are the statements of `statements.rs` that write the masks of one person, and
-- `@SWEEP@` those that write the masks of a stretch of a table.
--
-- Each function runs as the owner of the schema with a fixed search path. `row_security = off` makes a statement fail
-- where row-level security would hide rows from it: a row that cannot be seen could not be stopped.

-- Bits of the purposes that an active order names; without a purpose, all.
CREATE OR REPLACE FUNCTION vigie.bits_of(purpose smallint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN purpose IS NULL THEN 9223372036854775807 ELSE 1::bigint << purpose END
$$;

-- What the mask of a person's rows has to be. Nobody's rows (no subject) show nothing.
CREATE OR REPLACE FUNCTION vigie.mask_of(person @SUBJECT@) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN person IS NULL THEN 0 ELSE
        ((e.initial | coalesce(m.given, 0)) & ~(coalesce(m.refused, 0) | coalesce(m.ordered, 0))) & ~e.barred END
    FROM vigie.everybody e LEFT JOIN vigie.subject_mask m ON m.subject = person
$$;

-- What choices and orders say of each person whom they name; `subject_mask` is kept equal to it.
CREATE OR REPLACE VIEW vigie.subject_said AS
    SELECT subject, coalesce(bit_or(given), 0) AS given, coalesce(bit_or(refused), 0) AS refused,
           coalesce(bit_or(ordered), 0) AS ordered
    FROM (
        SELECT c.subject,
               CASE WHEN c.state = 'given' THEN 1::bigint << c.purpose ELSE 0 END AS given,
               CASE WHEN c.state IN ('refused', 'withdrawn', 'lapsed') THEN 1::bigint << c.purpose ELSE 0 END AS refused,
               0::bigint AS ordered
        FROM vigie.choice c WHERE c.recipient = ''
        UNION ALL
        SELECT o.subject, 0, 0, vigie.bits_of(o.purpose)
        FROM vigie.stop_order o WHERE o.subject IS NOT NULL AND o.lifted_at IS NULL
    ) said GROUP BY subject;

CREATE OR REPLACE FUNCTION vigie.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'denied: % of `%` would change what was recorded', tg_op, tg_table_name
        USING ERRCODE = '42501', HINT = 'record a new state instead';
END $$;
DROP TRIGGER IF EXISTS append_only ON vigie.choice_history;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON vigie.choice_history
    FOR EACH STATEMENT EXECUTE FUNCTION vigie.refuse_change();

-- An order is lifted once, and otherwise stays as it was given.
CREATE OR REPLACE FUNCTION vigie.guard_stop_order() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF tg_op = 'UPDATE' AND old.lifted_at IS NULL
       AND (new.id, new.subject, new.purpose, new.ordered_by, new.reference, new.reason, new.since)
           IS NOT DISTINCT FROM
           (old.id, old.subject, old.purpose, old.ordered_by, old.reference, old.reason, old.since) THEN
        RETURN new;
    END IF;
    RAISE EXCEPTION 'denied: % of stop order % would change what was ordered', tg_op, old.id
        USING ERRCODE = '42501', HINT = 'an order can only be lifted, and only once; give a new order instead';
END $$;
DROP TRIGGER IF EXISTS stays ON vigie.stop_order;
CREATE TRIGGER stays BEFORE UPDATE OR DELETE ON vigie.stop_order
    FOR EACH ROW EXECUTE FUNCTION vigie.guard_stop_order();

-- Numbers a change of the stop set as the last thing before the commit. The lock lasts until the commit can be seen, so
-- that the numbers come in the order of the commits; sending a notification takes such a lock anyway.
CREATE OR REPLACE FUNCTION vigie.number_stop_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE number bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(x'7669676965000001'::bigint);
    number := nextval('vigie.stop_seq');
    UPDATE vigie.stop_change SET seq = number WHERE id = new.id;
    PERFORM pg_notify('vigie_stop', number::text);
    RETURN NULL;
END $$;
DROP TRIGGER IF EXISTS number ON vigie.stop_change;
CREATE CONSTRAINT TRIGGER number AFTER INSERT ON vigie.stop_change DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION vigie.number_stop_change();

-- The stop set and the number up to which it contains all changes, seen by one snapshot. The row without subject is
-- what is stopped of everybody; it is always there.
CREATE OR REPLACE FUNCTION vigie.stop_set() RETURNS TABLE (seq bigint, subject @SUBJECT@, bits bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH reached AS (SELECT coalesce(max(c.seq), 0) AS seq FROM vigie.stop_change c)
    SELECT reached.seq, NULL::@SUBJECT@, e.stopped FROM vigie.everybody e, reached
    UNION ALL
    SELECT reached.seq, s.subject, s.bits FROM vigie.stopped s, reached
$$;

-- Changes after a number, in order.
CREATE OR REPLACE FUNCTION vigie.stop_set_since(after bigint, at_most integer)
RETURNS TABLE (seq bigint, subject @SUBJECT@, bits bigint, at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.seq, c.subject, c.bits, c.at FROM vigie.stop_change c WHERE c.seq > after ORDER BY c.seq LIMIT at_most
$$;

-- Sets what is stopped of one person, and says so if that is a change. The caller holds the person's row of `fanout`.
CREATE OR REPLACE FUNCTION vigie.set_stopped(person @SUBJECT@, new_bits bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE old_bits bigint;
BEGIN
    SELECT s.bits INTO old_bits FROM vigie.stopped s WHERE s.subject = person FOR UPDATE;
    IF coalesce(old_bits, 0) = new_bits THEN RETURN; END IF;
    IF new_bits = 0 THEN
        DELETE FROM vigie.stopped s WHERE s.subject = person;
    ELSE
        INSERT INTO vigie.stopped AS s VALUES (person, new_bits) ON CONFLICT (subject) DO UPDATE SET bits = new_bits;
    END IF;
    INSERT INTO vigie.stop_change (subject, bits) VALUES (person, new_bits);
END $$;

-- Writes the masks of one person's rows: in the tables that follow at once, or in all. Rows that somebody else has
-- locked are left out, because a refusal must not wait for them. Returns how many were written.
CREATE OR REPLACE FUNCTION vigie.write_immediate(person @SUBJECT@) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET row_security = off AS $$
#variable_conflict use_variable
DECLARE truth bigint; n bigint; written bigint := 0;
BEGIN
    truth := vigie.mask_of(person);
@IMMEDIATE@
    RETURN written;
END $$;
CREATE OR REPLACE FUNCTION vigie.write_all(person @SUBJECT@) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET row_security = off AS $$
#variable_conflict use_variable
DECLARE truth bigint; n bigint; written bigint := 0;
BEGIN
    truth := vigie.mask_of(person);
@ALL@
    RETURN written;
END $$;

-- Whether a row of the person says something else than it should.
CREATE OR REPLACE FUNCTION vigie.differs(person @SUBJECT@) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET row_security = off AS $$
#variable_conflict use_variable
DECLARE truth bigint;
BEGIN
    truth := vigie.mask_of(person);
@DIFFERS@
    RETURN false;
END $$;

-- Recalculates a person's bits from choices and orders, and brings them into force. The caller holds the person's row
-- of `subject_mask`, so that two changes of one person come one after the other.
CREATE OR REPLACE FUNCTION vigie.put_in_force(person @SUBJECT@) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE was vigie.subject_mask; said record; first_mask bigint; allowed bigint; cleared bigint; bits_now bigint;
BEGIN
    SELECT m.* INTO STRICT was FROM vigie.subject_mask m WHERE m.subject = person;
    -- Aggregates over no row still give one row.
    SELECT coalesce(bit_or(s.given), 0) AS given, coalesce(bit_or(s.refused), 0) AS refused,
           coalesce(bit_or(s.ordered), 0) AS ordered
        INTO said FROM vigie.subject_said s WHERE s.subject = person;
    IF (was.given, was.refused, was.ordered) = (said.given, said.refused, said.ordered) THEN RETURN; END IF;
    UPDATE vigie.subject_mask m
        SET given = said.given, refused = said.refused, ordered = said.ordered, version = m.version + 1
        WHERE m.subject = person;
    SELECT e.initial INTO STRICT first_mask FROM vigie.everybody e;
    allowed := (first_mask | said.given) & ~(said.refused | said.ordered);
    cleared := ((said.refused | said.ordered) & ~(was.refused | was.ordered)) | (was.given & ~said.given);
    PERFORM vigie.write_immediate(person);
    INSERT INTO vigie.fanout AS f (subject, version) VALUES (person, was.version + 1)
        ON CONFLICT (subject) DO UPDATE SET version = excluded.version, phase = 'sweep', mark = NULL;
    SELECT s.bits INTO bits_now FROM vigie.stopped s WHERE s.subject = person;
    PERFORM vigie.set_stopped(person, (coalesce(bits_now, 0) | cleared) & ~allowed);
END $$;

CREATE OR REPLACE FUNCTION vigie.hold_subject(person @SUBJECT@) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO vigie.subject_mask (subject) VALUES (person) ON CONFLICT (subject) DO NOTHING;
    PERFORM FROM vigie.subject_mask m WHERE m.subject = person FOR UPDATE;
END $$;

-- Records what a person chose, under the event that the ledger has it by. Returns whether it came into force; a decision
-- older than the one in force does not.
CREATE OR REPLACE FUNCTION vigie.record_event(
    person @SUBJECT@, purpose_name text, to_whom text, new_state text, decided timestamptz,
    how text, shown text, wording bytea, spoken text, logged_as bytea
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE purpose_row vigie.purpose; latest timestamptz; counts boolean;
BEGIN
    IF person IS NULL THEN
        RAISE EXCEPTION 'a choice names nobody' USING ERRCODE = '22004', HINT = 'give the id of the person who chose';
    END IF;
    SELECT p.* INTO purpose_row FROM vigie.purpose p WHERE p.name = purpose_name AND NOT p.retired;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'purpose `%` is not in the data map', purpose_name
            USING ERRCODE = '22023', HINT = 'see `vigie.purpose` for those that are';
    END IF;
    IF new_state <> 'given' AND to_whom = '' AND purpose_row.basis IN ('contract', 'legal-obligation', 'vital-interest')
    THEN
        RAISE EXCEPTION 'purpose `%` rests on %, which a person cannot refuse', purpose_name, purpose_row.basis
            USING ERRCODE = '22023', HINT = 'a stop order can end it';
    END IF;
    IF decided > clock_timestamp() + interval '5 minutes' THEN
        RAISE EXCEPTION 'a choice cannot be decided in the future' USING ERRCODE = '22008',
            HINT = 'look at the clock of whoever records it';
    END IF;
    PERFORM vigie.hold_subject(person);
    SELECT c.decided_at INTO latest FROM vigie.choice c
        WHERE c.subject = person AND c.purpose = purpose_row.bit AND c.recipient = to_whom;
    -- At the same moment a refusal wins, whichever came first.
    counts := latest IS NULL OR decided > latest
        OR (decided = latest AND new_state IN ('refused', 'withdrawn', 'lapsed'));
    IF counts THEN
        INSERT INTO vigie.choice (subject, purpose, recipient, state, decided_at, method, notice, wording_hash, language,
                                  event)
        VALUES (person, purpose_row.bit, to_whom, new_state, decided, how, shown, wording, spoken, logged_as)
        ON CONFLICT (subject, purpose, recipient) DO UPDATE SET state = excluded.state,
            decided_at = excluded.decided_at, method = excluded.method, notice = excluded.notice,
            wording_hash = excluded.wording_hash, language = excluded.language,
            recorded_at = excluded.recorded_at, recorded_by = excluded.recorded_by, event = excluded.event;
    END IF;
    INSERT INTO vigie.choice_history (subject, purpose, recipient, state, decided_at, method, notice, wording_hash,
                                      language, recorded_at, recorded_by, in_force, event)
    VALUES (person, purpose_row.bit, to_whom, new_state, decided, how, shown, wording, spoken, clock_timestamp(),
            session_user, counts, logged_as);
    IF counts THEN PERFORM vigie.put_in_force(person); END IF;
    RETURN counts;
END $$;

-- The same, without an event.
CREATE OR REPLACE FUNCTION vigie.record(
    person @SUBJECT@, purpose_name text, to_whom text, new_state text, decided timestamptz,
    how text, shown text, wording bytea, spoken text
) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT vigie.record_event(person, purpose_name, to_whom, new_state, decided, how, shown, wording, spoken, NULL)
$$;

-- Every purpose and what a person said of it, to the operator itself ('') and to each recipient ever named. `permitted` is
-- what holds now, choices, orders and beginnings together.
CREATE OR REPLACE FUNCTION vigie.choices_of(person @SUBJECT@)
RETURNS TABLE (purpose text, term text, basis text, recipient text, state text, decided_at timestamptz, method text,
               notice text, wording bytea, language text, recorded_at timestamptz, event bytea, permitted boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT p.name, p.term, p.basis, r.recipient, c.state, c.decided_at, c.method, c.notice, c.wording_hash, c.language,
           c.recorded_at, c.event,
           CASE WHEN r.recipient = '' THEN (vigie.mask_of(person) >> p.bit) & 1 = 1
                ELSE c.state = 'given' AND ((e.barred | coalesce(m.ordered, 0)) >> p.bit) & 1 = 0 END
    FROM vigie.purpose p
    CROSS JOIN vigie.everybody e
    LEFT JOIN vigie.subject_mask m ON m.subject = person
    CROSS JOIN LATERAL (
        SELECT '' AS recipient
        UNION SELECT k.recipient FROM vigie.choice k WHERE k.subject = person AND k.purpose = p.bit
    ) r
    LEFT JOIN vigie.choice c ON c.subject = person AND c.purpose = p.bit AND c.recipient = r.recipient
    WHERE NOT p.retired
    ORDER BY p.bit, r.recipient
$$;

-- Everything that was ever recorded of a person, oldest first, after a number.
CREATE OR REPLACE FUNCTION vigie.history_of(person @SUBJECT@, after bigint, at_most integer)
RETURNS TABLE (id bigint, purpose text, term text, basis text, recipient text, state text, decided_at timestamptz,
               method text, notice text, wording bytea, language text, recorded_at timestamptz, event bytea,
               in_force boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT h.id, p.name, p.term, p.basis, h.recipient, h.state, h.decided_at, h.method, h.notice, h.wording_hash,
           h.language, h.recorded_at, h.event, h.in_force
    FROM vigie.choice_history h JOIN vigie.purpose p ON p.bit = h.purpose
    WHERE h.subject = person AND h.id > after ORDER BY h.id LIMIT at_most
$$;

-- Keeps words that were shown, and returns their hash.
CREATE OR REPLACE FUNCTION vigie.keep_wording(shown_words text) RETURNS bytea
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO vigie.wording (hash, words) VALUES (sha256(convert_to(shown_words, 'UTF8')), shown_words)
        ON CONFLICT (hash) DO NOTHING;
    SELECT sha256(convert_to(shown_words, 'UTF8'))
$$;
CREATE OR REPLACE FUNCTION vigie.wording_of(of_hash bytea) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT w.words FROM vigie.wording w WHERE w.hash = of_hash
$$;
DROP TRIGGER IF EXISTS append_only ON vigie.wording;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON vigie.wording
    FOR EACH STATEMENT EXECUTE FUNCTION vigie.refuse_change();

-- Events that are in force and not in the ledger yet.
CREATE OR REPLACE FUNCTION vigie.note_unlogged(of_event bytea) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO vigie.unlogged (event) VALUES (of_event) ON CONFLICT (event) DO NOTHING
$$;
CREATE OR REPLACE FUNCTION vigie.note_logged(of_event bytea) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM vigie.unlogged u WHERE u.event = of_event
$$;
CREATE OR REPLACE FUNCTION vigie.unlogged_events(at_most integer) RETURNS SETOF bytea
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT u.event FROM vigie.unlogged u ORDER BY u.since LIMIT at_most
$$;

-- The answer that a request already got; with it, whether it was this very request.
CREATE OR REPLACE FUNCTION vigie.answer_before(of_key bytea, of_request bytea)
RETURNS TABLE (same boolean, answer text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT a.request = of_request, a.answer FROM vigie.answered a WHERE a.key = of_key
$$;
-- Keeps an answer for a day.
CREATE OR REPLACE FUNCTION vigie.keep_answer(of_key bytea, of_request bytea, given text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM vigie.answered a WHERE a.key IN (
        SELECT o.key FROM vigie.answered o WHERE o.answered_at < clock_timestamp() - interval '1 day'
        LIMIT 10 FOR UPDATE SKIP LOCKED);
    INSERT INTO vigie.answered (key, request, answer) VALUES (of_key, of_request, given) ON CONFLICT (key) DO NOTHING
$$;

-- Starts the sweep over all governed tables, from the beginning. The caller holds the row of `everybody`.
CREATE OR REPLACE FUNCTION vigie.begin_sweep() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE vigie.sweep SET version = version + 1, phase = 'sweep', mark = NULL
$$;

-- Recalculates what holds for everybody: what the data map lets everybody begin with (NULL: as before), less what orders
-- take. Bits that are taken are stopped at once; those that an order gives back are free at once, unless the data map
-- took them too, and rows that still show those are not all written.
CREATE OR REPLACE FUNCTION vigie.put_everybody_in_force(new_initial bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE was vigie.everybody; initial_now bigint; barred_now bigint; reduced_now bigint; stopped_now bigint;
BEGIN
    SELECT e.* INTO STRICT was FROM vigie.everybody e FOR UPDATE;
    initial_now := coalesce(new_initial, was.initial);
    SELECT coalesce(bit_or(bits), 0) INTO barred_now FROM (
        SELECT vigie.bits_of(o.purpose) AS bits FROM vigie.stop_order o WHERE o.subject IS NULL AND o.lifted_at IS NULL
        UNION ALL
        SELECT 1::bigint << p.bit FROM vigie.purpose p WHERE p.retired
    ) orders;
    IF barred_now = was.barred AND initial_now = was.initial THEN RETURN; END IF;
    reduced_now := was.reduced | (was.initial & ~initial_now);
    stopped_now := ((was.stopped | (barred_now & ~was.barred)) & ~(was.barred & ~barred_now)) | reduced_now;
    UPDATE vigie.everybody SET initial = initial_now, barred = barred_now, stopped = stopped_now, reduced = reduced_now;
    IF stopped_now <> was.stopped THEN
        INSERT INTO vigie.stop_change (subject, bits) VALUES (NULL, stopped_now);
    END IF;
    PERFORM vigie.begin_sweep();
END $$;

-- Orders that processing stops: of one person or of everybody, for one purpose or for all. Returns the order's number.
CREATE OR REPLACE FUNCTION vigie.stop(person @SUBJECT@, purpose_name text, by_whom text, cited text, why text)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE purpose_bit smallint; number bigint;
BEGIN
    IF purpose_name IS NOT NULL THEN
        SELECT p.bit INTO purpose_bit FROM vigie.purpose p WHERE p.name = purpose_name AND NOT p.retired;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'purpose `%` is not in the data map', purpose_name
                USING ERRCODE = '22023', HINT = 'see `vigie.purpose` for those that are';
        END IF;
    END IF;
    IF person IS NULL THEN PERFORM FROM vigie.everybody e FOR UPDATE; ELSE PERFORM vigie.hold_subject(person); END IF;
    INSERT INTO vigie.stop_order (subject, purpose, ordered_by, reference, reason)
        VALUES (person, purpose_bit, by_whom, cited, why) RETURNING id INTO number;
    IF person IS NULL THEN PERFORM vigie.put_everybody_in_force(NULL); ELSE PERFORM vigie.put_in_force(person); END IF;
    RETURN number;
END $$;

-- Lifts an order. Returns whether there was an active one of that number.
CREATE OR REPLACE FUNCTION vigie.lift(number bigint, by_whom text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE person @SUBJECT@;
BEGIN
    SELECT o.subject INTO person FROM vigie.stop_order o WHERE o.id = number AND o.lifted_at IS NULL;
    IF NOT FOUND THEN RETURN false; END IF;
    IF person IS NULL THEN PERFORM FROM vigie.everybody e FOR UPDATE; ELSE PERFORM vigie.hold_subject(person); END IF;
    UPDATE vigie.stop_order o SET lifted_at = clock_timestamp(), lifted_by = by_whom
        WHERE o.id = number AND o.lifted_at IS NULL;
    IF NOT FOUND THEN RETURN false; END IF;
    IF person IS NULL THEN PERFORM vigie.put_everybody_in_force(NULL); ELSE PERFORM vigie.put_in_force(person); END IF;
    RETURN true;
END $$;

-- The transaction before which everything is over: no transaction of this database with a lower number runs or is
-- prepared, and no snapshot is held that sees one as running. Snapshots of readers have no number of their own, hence the
-- look at every session; without the right to look there is no answer, and nothing leaves the stop set.
CREATE OR REPLACE FUNCTION vigie.horizon() RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE held bigint[]; prepared bigint[]; next bigint; lowest bigint; one bigint; age bigint;
BEGIN
    IF NOT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') THEN
        RAISE EXCEPTION 'the owner of schema `vigie` may not see the snapshots of other sessions'
            USING ERRCODE = '42501', HINT = format('GRANT pg_read_all_stats TO %I', current_user);
    END IF;
    PERFORM pg_stat_clear_snapshot();
    SELECT coalesce(array_agg(x), '{}') INTO held FROM (
        SELECT unnest(ARRAY[a.backend_xid::text::bigint,
                            CASE WHEN a.pid <> pg_backend_pid() AND a.backend_type <> 'autovacuum worker'
                                 THEN a.backend_xmin::text::bigint END]) AS x
            FROM pg_stat_activity a
            WHERE a.datid IS NULL OR a.datid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
        UNION ALL
        SELECT s.xmin::text::bigint FROM pg_replication_slots s
    ) snapshots WHERE x IS NOT NULL;
    -- After the sessions, so that one that is being prepared is seen here or there.
    SELECT coalesce(array_agg(p.transaction::text::bigint), '{}') INTO prepared FROM pg_prepared_xacts p
        WHERE p.database = current_database();
    -- Only now, so that none of them is newer than `next` by much: their numbers have 32 bits and go round.
    next := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
    lowest := next;
    FOREACH one IN ARRAY held || prepared LOOP
        age := mod(mod(next, 4294967296) - one + 4294967296, 4294967296);
        IF age < 2147483648 THEN lowest := least(lowest, next - age); END IF;
    END LOOP;
    RETURN lowest;
END $$;

-- Marks what waits without a mark. The mark is the number of this transaction, taken only after it has seen what waits:
-- whoever did not see the change then has a lower number, or holds a snapshot that is older.
CREATE OR REPLACE FUNCTION vigie.work_mark(at_most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE people @SUBJECT@[]; versions bigint[]; next bigint; sweep_version bigint; number bigint; n bigint; marked bigint;
BEGIN
    IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
        RAISE EXCEPTION 'work is marked by a transaction of its own' USING ERRCODE = '25001',
            HINT = 'commit first';
    END IF;
    next := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
    -- A mark from the future was made by another server, from which this database was restored.
    SELECT array_agg(w.subject), array_agg(w.version) INTO people, versions FROM (
        (SELECT f.subject, f.version FROM vigie.fanout f WHERE f.mark IS NULL ORDER BY f.enqueued_at LIMIT at_most)
        UNION ALL
        (SELECT f.subject, f.version FROM vigie.fanout f WHERE f.mark > next LIMIT at_most)
    ) w;
    SELECT s.version INTO sweep_version FROM vigie.sweep s WHERE s.phase <> 'idle' AND (s.mark IS NULL OR s.mark > next);
    IF people IS NULL AND sweep_version IS NULL THEN RETURN 0; END IF;
    number := pg_current_xact_id()::text::bigint;
    UPDATE vigie.fanout f SET mark = number FROM unnest(people, versions) AS w (subject, version)
        WHERE f.subject = w.subject AND f.version = w.version AND (f.mark IS NULL OR f.mark > next);
    GET DIAGNOSTICS marked = ROW_COUNT;
    UPDATE vigie.sweep s SET mark = number WHERE s.version = sweep_version AND (s.mark IS NULL OR s.mark > next);
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN marked + n;
END $$;

-- Takes the next step for people whose mark is past: writes their rows, or lets them leave the stop set.
CREATE OR REPLACE FUNCTION vigie.work_people(at_most integer, OUT swept bigint, OUT written bigint, OUT over bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE past bigint; work record;
BEGIN
    swept := 0; written := 0; over := 0;
    past := vigie.horizon();
    FOR work IN SELECT f.subject, f.version, f.phase FROM vigie.fanout f WHERE f.mark <= past
        ORDER BY f.mark LIMIT at_most FOR UPDATE SKIP LOCKED
    LOOP
        IF work.phase = 'sweep' THEN
            written := written + vigie.write_all(work.subject);
        END IF;
        IF vigie.differs(work.subject) THEN
            -- Somebody holds a row, or wrote another mask since: again from the beginning.
            UPDATE vigie.fanout f SET phase = 'sweep', mark = NULL WHERE f.subject = work.subject;
        ELSIF work.phase = 'sweep' AND EXISTS (SELECT FROM vigie.stopped s WHERE s.subject = work.subject) THEN
            swept := swept + 1;
            UPDATE vigie.fanout f SET phase = 'leave', mark = NULL WHERE f.subject = work.subject;
        ELSE
            over := over + 1;
            DELETE FROM vigie.fanout f WHERE f.subject = work.subject;
            PERFORM vigie.set_stopped(work.subject, 0);
        END IF;
    END LOOP;
END $$;

-- Writes the masks of the next stretch of a table, in the order of subjects, in which no row can move behind us.
-- Rows that somebody has locked keep the stretch from being over (`stuck`).
CREATE OR REPLACE FUNCTION vigie.sweep_stretch(
    governed_id integer, INOUT reached @SUBJECT@, at_most integer, OUT written bigint, OUT stuck boolean, OUT done boolean
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET row_security = off AS $$
#variable_conflict use_variable
DECLARE upper @SUBJECT@; n bigint;
BEGIN
    written := 0; stuck := false; done := false;
@SWEEP@
    RAISE EXCEPTION 'no governed table has the number %', governed_id USING ERRCODE = '22023';
END $$;

-- Takes the next step of the sweep for everybody.
CREATE OR REPLACE FUNCTION vigie.work_everybody(at_most integer, OUT written bigint, OUT phase text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE state vigie.sweep; place vigie.sweep_table; step record;
BEGIN
    written := 0;
    SELECT s.* INTO STRICT state FROM vigie.sweep s;
    phase := state.phase;
    IF state.phase = 'idle' OR state.mark IS NULL OR state.mark > vigie.horizon() THEN RETURN; END IF;
    IF state.phase = 'leave' THEN
        PERFORM FROM vigie.everybody e FOR UPDATE;
        UPDATE vigie.sweep s SET phase = 'idle', mark = NULL
            WHERE s.version = state.version AND s.phase = 'leave' AND s.mark = state.mark;
        IF FOUND THEN
            phase := 'idle';
            INSERT INTO vigie.stop_change (subject, bits) SELECT NULL, 0 FROM vigie.everybody e WHERE e.stopped <> 0;
            UPDATE vigie.everybody SET stopped = 0, reduced = 0;
            UPDATE vigie.governed SET ready = true WHERE NOT ready;
        END IF;
        RETURN;
    END IF;
    INSERT INTO vigie.sweep_table (governed, version) SELECT g.id, state.version FROM vigie.governed g
        ON CONFLICT (governed) DO NOTHING;
    SELECT t.* INTO place FROM vigie.sweep_table t WHERE NOT (t.version = state.version AND t.done)
        ORDER BY t.governed LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        -- Nothing left, or only what others are at.
        IF NOT EXISTS (SELECT FROM vigie.sweep_table t WHERE NOT (t.version = state.version AND t.done)) THEN
            UPDATE vigie.sweep s SET phase = 'leave', mark = NULL
                WHERE s.version = state.version AND s.phase = 'sweep' AND s.mark = state.mark;
            IF FOUND THEN phase := 'leave'; END IF;
        END IF;
        RETURN;
    END IF;
    IF place.version <> state.version THEN place.reached := NULL; END IF;
    SELECT * INTO STRICT step FROM vigie.sweep_stretch(place.governed, place.reached, at_most);
    written := step.written;
    UPDATE vigie.sweep_table t SET version = state.version, done = step.done,
        reached = CASE WHEN step.stuck THEN place.reached ELSE step.reached END
        WHERE t.governed = place.governed;
END $$;

-- Recalculates the bits of the next people from choices and orders, and returns the last of them; NULL after the last.
CREATE OR REPLACE FUNCTION vigie.rebuild_people(after @SUBJECT@, at_most integer) RETURNS @SUBJECT@
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE person @SUBJECT@; last @SUBJECT@;
BEGIN
    FOR person IN
        SELECT known.subject FROM (
            (SELECT m.subject FROM vigie.subject_mask m WHERE after IS NULL OR m.subject > after
                ORDER BY m.subject LIMIT at_most)
            UNION
            (SELECT c.subject FROM vigie.choice c WHERE after IS NULL OR c.subject > after
                GROUP BY c.subject ORDER BY c.subject LIMIT at_most)
            UNION
            (SELECT o.subject FROM vigie.stop_order o
                WHERE o.subject IS NOT NULL AND o.lifted_at IS NULL AND (after IS NULL OR o.subject > after)
                GROUP BY o.subject ORDER BY o.subject LIMIT at_most)
        ) known ORDER BY known.subject LIMIT at_most
    LOOP
        PERFORM vigie.hold_subject(person);
        PERFORM vigie.put_in_force(person);
        last := person;
    END LOOP;
    RETURN last;
END $$;

-- Recalculates what holds for everybody, and starts the sweep even if nothing changed.
CREATE OR REPLACE FUNCTION vigie.rebuild_everybody() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM vigie.everybody e FOR UPDATE;
    PERFORM vigie.put_everybody_in_force(
        (SELECT coalesce(bit_or(1::bigint << p.bit), 0) FROM vigie.purpose p WHERE p.initial AND NOT p.retired));
    PERFORM vigie.begin_sweep();
END $$;

-- Requests access for a purpose to tables, until a moment that the table's checks keep near.
CREATE OR REPLACE FUNCTION vigie.request_ticket(
    who text, purpose_name text, which text[], why text, glass boolean, until timestamptz
) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO vigie.ticket (requester, purpose, tables, reason, break_glass, expires_at)
    VALUES (who, purpose_name, which, why, glass, until) RETURNING id
$$;

-- Approves a ticket, or approves it for the second time where that is needed. Returns whether it is now valid.
CREATE OR REPLACE FUNCTION vigie.approve_ticket(number bigint, who text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE ticket vigie.ticket;
BEGIN
    SELECT t.* INTO ticket FROM vigie.ticket t WHERE t.id = number FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'ticket % does not exist', number USING ERRCODE = 'P0002';
    ELSIF ticket.expires_at <= clock_timestamp() THEN
        RAISE EXCEPTION 'ticket % has expired', number USING ERRCODE = '22023', HINT = 'request a new one';
    ELSIF ticket.approver IS NULL THEN
        UPDATE vigie.ticket t SET approver = who, approved_at = clock_timestamp() WHERE t.id = number;
        RETURN NOT ticket.break_glass;
    ELSIF ticket.break_glass AND ticket.second_approver IS NULL THEN
        UPDATE vigie.ticket t SET second_approver = who, second_at = clock_timestamp() WHERE t.id = number;
        RETURN true;
    END IF;
    RAISE EXCEPTION 'ticket % is already approved', number USING ERRCODE = '22023';
END $$;

-- Notes what somebody other than the requester found when reviewing a use of break-glass, once.
CREATE OR REPLACE FUNCTION vigie.review_ticket(number bigint, who text, note text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE vigie.ticket t SET reviewed_by = who, reviewed_at = clock_timestamp(), review_note = note
        WHERE t.id = number AND t.reviewed_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'ticket % does not exist or is already reviewed', number USING ERRCODE = 'P0002';
    END IF;
END $$;

-- The tickets that are valid now for somebody and a purpose.
CREATE OR REPLACE FUNCTION vigie.valid_tickets(who text, purpose_name text)
RETURNS TABLE (id bigint, tables text[], break_glass boolean, approver text, second_approver text,
               expires_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT t.id, t.tables, t.break_glass, t.approver, t.second_approver, t.expires_at FROM vigie.ticket t
    WHERE t.requester = who AND t.purpose = purpose_name AND t.expires_at > clock_timestamp()
      AND t.approver IS NOT NULL AND (NOT t.break_glass OR t.second_approver IS NOT NULL)
    ORDER BY t.id
$$;

-- Uses of break-glass that nobody reviewed within 24 hours.
CREATE OR REPLACE VIEW vigie.overdue_review AS
    SELECT t.id, t.requester, t.purpose, t.tables, t.reason, t.second_at AS usable_since
    FROM vigie.ticket t
    WHERE t.break_glass AND t.second_at + interval '24 hours' < clock_timestamp() AND t.reviewed_at IS NULL;

-- Spends from a reader's budget of a day for a dataset. Returns what is used then, or NULL when the limit does not allow
-- it, and nothing is spent. The day is the server's, in UTC.
CREATE OR REPLACE FUNCTION vigie.spend_budget(who text, of_dataset text, cost bigint, at_most bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE total bigint;
BEGIN
    IF cost IS NULL OR cost < 0 OR at_most IS NULL THEN
        RAISE EXCEPTION 'a cost cannot be %', cost USING ERRCODE = '22023';
    END IF;
    IF cost > at_most THEN RETURN NULL; END IF;
    INSERT INTO vigie.aggregate_budget AS b (reader, dataset, day, used)
        VALUES (who, of_dataset, (clock_timestamp() AT TIME ZONE 'UTC')::date, cost)
        ON CONFLICT (reader, dataset, day) DO UPDATE SET used = b.used + cost WHERE b.used <= at_most - cost
        RETURNING b.used INTO total;
    RETURN total;
END $$;
