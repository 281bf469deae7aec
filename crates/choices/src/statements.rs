//! The statements that name governed tables: written out per table, so that PostgreSQL plans each once per session.
//!
//! Every one that writes a mask writes NULL: the trigger of the table turns that into what the mask has to be, from
//! choices and orders as they are at that very moment. So no statement can write an untruth, not even a stale one.

use crate::quote;
use std::fmt::Write as _;
use vigie_policy::map::{Fanout, SubjectType};

/// A table as the schema `vigie` knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Numbered {
    /// `vigie.governed.id`.
    pub id: i32,
    /// Its name, quoted, with its schema.
    pub relation: String,
    /// The column with the person's id, unquoted.
    pub subject: String,
    /// The column with the mask, unquoted.
    pub mask: String,
    /// How fast it follows.
    pub fanout: Fanout,
}

const FUNCTIONS: &str = include_str!("sql/functions.sql");

/// What a row's mask has to be, of the row `r` beside `e` (everybody) and `m` (the person's own bits).
const TRUTH: &str =
    "((e.initial | coalesce(m.given, 0)) & ~(coalesce(m.refused, 0) | coalesce(m.ordered, 0))) & ~e.barred";

/// Returns the whole text that makes the functions and the triggers, for these tables.
pub(crate) fn functions(subject_type: SubjectType, tables: &[Numbered]) -> String {
    let immediate: Vec<&Numbered> = tables.iter().filter(|table| table.fanout == Fanout::Immediate).collect();
    let all: Vec<&Numbered> = tables.iter().collect();
    let mut text = FUNCTIONS
        .replace("@IMMEDIATE@\n", &each(&immediate, write_person))
        .replace("@ALL@\n", &each(&all, write_person))
        .replace("@DIFFERS@\n", &each(&all, differs))
        .replace("@SWEEP@\n", &each(&all, sweep));
    for table in tables {
        text.push_str(&keeper(table));
    }
    text.replace("@SUBJECT@", subject_type.as_sql())
}

fn each(tables: &[&Numbered], statement: fn(&Numbered) -> String) -> String {
    tables.iter().map(|table| statement(table)).collect()
}

fn columns(table: &Numbered) -> (String, String) {
    (quote(&table.subject), quote(&table.mask))
}

/// Writes the rows of `person` that nobody has locked. `FOR NO KEY UPDATE` lets those through that only a foreign key
/// holds on to.
fn write_person(table: &Numbered) -> String {
    let (subject, mask) = columns(table);
    let relation = &table.relation;
    format!(
        "    UPDATE {relation} t SET {mask} = NULL FROM (
        SELECT r.tableoid AS o, r.ctid AS c FROM {relation} r
        WHERE r.{subject} = person AND r.{mask} IS DISTINCT FROM truth FOR NO KEY UPDATE SKIP LOCKED
    ) held WHERE t.tableoid = held.o AND t.ctid = held.c;
    GET DIAGNOSTICS n = ROW_COUNT;
    written := written + n;
"
    )
}

fn differs(table: &Numbered) -> String {
    let (subject, mask) = columns(table);
    format!(
        "    IF EXISTS (SELECT FROM {} r WHERE r.{subject} = person AND r.{mask} IS DISTINCT FROM truth) THEN
        RETURN true;
    END IF;
",
        table.relation
    )
}

/// Rows of a stretch whose mask is not what it has to be.
fn wrong(table: &Numbered, stretch: &str) -> String {
    let (subject, mask) = columns(table);
    format!(
        "{} r CROSS JOIN vigie.everybody e LEFT JOIN vigie.subject_mask m ON m.subject = r.{subject}::@SUBJECT@
            WHERE {stretch} AND r.{mask} IS DISTINCT FROM {TRUTH}",
        table.relation
    )
}

fn sweep(table: &Numbered) -> String {
    let (subject, mask) = columns(table);
    let (relation, id) = (&table.relation, table.id);
    let column = format!("r.{subject}");
    let mut text = format!(
        "    IF governed_id = {id} THEN
        IF reached IS NULL THEN
            UPDATE {relation} r SET {mask} = NULL WHERE {column} IS NULL AND r.{mask} IS DISTINCT FROM 0;
            GET DIAGNOSTICS n = ROW_COUNT;
            written := written + n;
"
    );
    for (stretch, otherwise) in
        [(format!("{column} IS NOT NULL"), "        ELSE\n"), (format!("{column} > reached"), "        END IF;\n")]
    {
        let within = format!("{stretch} AND {column} <= upper");
        let wrong = wrong(table, &within);
        let _ = write!(
            text,
            "            SELECT {column} INTO upper FROM {relation} r WHERE {stretch}
                ORDER BY {column} OFFSET at_most - 1 LIMIT 1;
            IF NOT FOUND THEN
                done := true;
                SELECT {column} INTO upper FROM {relation} r WHERE {stretch} ORDER BY {column} DESC LIMIT 1;
                IF NOT FOUND THEN RETURN; END IF;
            END IF;
            UPDATE {relation} t SET {mask} = NULL FROM (
                SELECT r.tableoid AS o, r.ctid AS c FROM {wrong}
                FOR NO KEY UPDATE OF r SKIP LOCKED
            ) held WHERE t.tableoid = held.o AND t.ctid = held.c;
            GET DIAGNOSTICS n = ROW_COUNT;
            written := written + n;
            stuck := EXISTS (SELECT FROM {wrong});
{otherwise}"
        );
    }
    text.push_str("        done := done AND NOT stuck;\n        reached := upper;\n        RETURN;\n    END IF;\n");
    text
}

/// The trigger function of a table.
///
/// It takes a transaction number before it reads the mask: whoever reads an old mask then has a number from before the
/// change, and `vigie.horizon` waits for him. It is made to come last among the triggers before a row is written.
fn keeper(table: &Numbered) -> String {
    let (subject, mask) = columns(table);
    let (relation, id) = (&table.relation, table.id);
    format!(
        "
CREATE OR REPLACE FUNCTION vigie.keep_{id}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE truth bigint;
BEGIN
    PERFORM pg_current_xact_id();
    SELECT {TRUTH} INTO truth
        FROM vigie.everybody e LEFT JOIN vigie.subject_mask m ON m.subject = new.{subject}::@SUBJECT@
        WHERE new.{subject} IS NOT NULL;
    truth := coalesce(truth, 0);
    IF tg_op = 'UPDATE' THEN
        IF new.{subject} IS NOT DISTINCT FROM old.{subject} AND new.{mask} <> truth THEN
            RAISE EXCEPTION 'denied: the mask of `%` follows what people chose, and nobody sets it', tg_table_name
                USING ERRCODE = '42501', HINT = 'record a choice or a stop order; set it to NULL to have it derived anew';
        END IF;
    END IF;
    new.{mask} := truth;
    RETURN new;
END $$;
CREATE OR REPLACE TRIGGER zz_vigie_mask_new BEFORE INSERT ON {relation} FOR EACH ROW EXECUTE FUNCTION vigie.keep_{id}();
CREATE OR REPLACE TRIGGER zz_vigie_mask BEFORE UPDATE ON {relation} FOR EACH ROW
    WHEN (new.{mask} IS NULL OR new.{mask} IS DISTINCT FROM old.{mask} OR new.{subject} IS DISTINCT FROM old.{subject})
    EXECUTE FUNCTION vigie.keep_{id}();
ALTER TABLE {relation} ENABLE ALWAYS TRIGGER zz_vigie_mask_new;
ALTER TABLE {relation} ENABLE ALWAYS TRIGGER zz_vigie_mask;
"
    )
}
