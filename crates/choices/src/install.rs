//! Installs and migrates the schema `vigie`, in one transaction.
//!
//! Tables come by numbered migrations, each once. Functions, triggers and grants are one text that follows from the data
//! map and this program; it is carried out whenever it is not the one that was carried out last, or a role is missing.

use crate::{ChoicesError, error::Doing as _, quote, statements, statements::Numbered};
use std::{collections::BTreeMap, fmt::Write as _};
use tokio_postgres::{Client, Transaction};
use vigie_policy::map::{DataMap, Fanout, Governed, SubjectType, Table};

/// What the tables are made by; the number of a migration is its place, from 1.
const MIGRATIONS: [&str; 2] = [include_str!("sql/0001_tables.sql"), include_str!("sql/0002_record.sql")];

/// What an installation changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// The migrations carried out, by number.
    pub migrations: Vec<i32>,
    /// Purposes that were added.
    pub purposes_added: Vec<String>,
    /// Purposes whose term, basis or beginning changed, or that came back.
    pub purposes_changed: Vec<String>,
    /// Purposes that are no longer in the map: nothing is permitted for them from now on.
    pub purposes_retired: Vec<String>,
    /// Tables that are governed from now on, or by other columns; their masks are written in the background.
    pub tables_added: Vec<String>,
    /// Tables that no longer are; their masks stay as they are.
    pub tables_removed: Vec<String>,
    /// Roles that were made.
    pub roles_made: Vec<String>,
    /// Functions, triggers and grants were written anew.
    pub functions_replaced: bool,
    /// Warnings: what will work, but badly.
    pub notes: Vec<String>,
}

impl Report {
    /// Returns whether nothing was changed.
    pub fn is_unchanged(&self) -> bool {
        Self { notes: Vec::new(), ..self.clone() } == Self::default()
    }
}

/// What becomes of an installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It stays.
    Keep,
    /// It was only to see what it would change.
    TakeBack,
}

pub(crate) async fn install(client: &mut Client, map: &DataMap, outcome: Outcome) -> Result<Report, ChoicesError> {
    let doing = "installing schema `vigie`";
    let transaction = client.transaction().await.doing(doing)?;
    let mut report = Report::default();
    // Two installations at once would both find nothing there.
    transaction.batch_execute("SELECT pg_advisory_xact_lock(x'7669676965000002'::bigint)").await.doing(doing)?;
    check_owner(&transaction).await?;
    migrate(&transaction, map, &mut report).await?;
    let purposes_differ = purposes(&transaction, map, &mut report).await?;
    let tables = tables(&transaction, map, &mut report).await?;
    functions(&transaction, map, &tables, &mut report).await?;
    if purposes_differ || !report.tables_added.is_empty() {
        let initial = map.mask_without_choice();
        transaction.execute("SELECT vigie.put_everybody_in_force($1)", &[&initial]).await.doing(doing)?;
        transaction.execute("SELECT vigie.begin_sweep()", &[]).await.doing(doing)?;
    }
    match outcome {
        Outcome::Keep => transaction.commit().await.doing(doing)?,
        Outcome::TakeBack => transaction.rollback().await.doing(doing)?,
    }
    Ok(report)
}

async fn check_owner(transaction: &Transaction<'_>) -> Result<(), ChoicesError> {
    let sql = "SELECT current_user::text, r.rolsuper OR r.rolbypassrls,
                      pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'),
                      (SELECT pg_get_userbyid(nspowner)::text FROM pg_namespace WHERE nspname = 'vigie')
               FROM pg_roles r WHERE r.rolname = current_user";
    let row = transaction.query_one(sql, &[]).await.doing("reading the rights of the installing role")?;
    let current: String = row.get(0);
    if !row.get::<_, bool>(1) {
        return Err(ChoicesError::BoundByRowSecurity(current));
    }
    if !row.get::<_, bool>(2) {
        return Err(ChoicesError::BlindToSnapshots(current));
    }
    match row.get::<_, Option<String>>(3) {
        Some(owner) if owner != current => Err(ChoicesError::Owner { owner, current }),
        _ => Ok(()),
    }
}

async fn migrate(transaction: &Transaction<'_>, map: &DataMap, report: &mut Report) -> Result<(), ChoicesError> {
    let doing = "migrating schema `vigie`";
    let sql = "SELECT to_regclass('vigie.migration') IS NOT NULL";
    if !transaction.query_one(sql, &[]).await.doing(doing)?.get::<_, bool>(0) {
        let sql = "CREATE SCHEMA IF NOT EXISTS vigie;
                   REVOKE ALL ON SCHEMA vigie FROM PUBLIC;
                   CREATE TABLE vigie.migration (number integer PRIMARY KEY,
                       applied_at timestamptz NOT NULL DEFAULT clock_timestamp(), functions text)";
        transaction.batch_execute(sql).await.doing(doing)?;
    }
    let known = i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX);
    let sql = "SELECT coalesce(max(number), 0) FROM vigie.migration";
    let found: i32 = transaction.query_one(sql, &[]).await.doing(doing)?.get(0);
    if found > known {
        return Err(ChoicesError::Newer { found, known });
    }
    for (number, text) in (1..).zip(MIGRATIONS) {
        if number > found {
            let text = text.replace("@SUBJECT@", map.subject_type.as_sql());
            transaction.batch_execute(&text).await.doing(doing)?;
            transaction.execute("INSERT INTO vigie.migration VALUES ($1)", &[&number]).await.doing(doing)?;
            report.migrations.push(number);
        }
    }
    let sql = "INSERT INTO vigie.deployment (map, subject_type) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    let (name, subject_type) = (map.name.as_str(), map.subject_type.as_sql());
    transaction.execute(sql, &[&name, &subject_type]).await.doing(doing)?;
    let row = transaction.query_one("SELECT map, subject_type FROM vigie.deployment", &[]).await.doing(doing)?;
    let (installed_map, installed_type): (String, String) = (row.get(0), row.get(1));
    if installed_map != name {
        return Err(ChoicesError::OtherMap { installed: installed_map, wanted: name.into() });
    }
    if installed_type != subject_type {
        return Err(ChoicesError::OtherSubjectType { installed: installed_type, wanted: subject_type.into() });
    }
    Ok(())
}

/// Brings the purposes to those of the map. Returns whether what everybody begins with may be another.
async fn purposes(transaction: &Transaction<'_>, map: &DataMap, report: &mut Report) -> Result<bool, ChoicesError> {
    let doing = "writing the purposes";
    let sql = "SELECT bit, name, term, basis, initial, retired FROM vigie.purpose ORDER BY bit";
    let rows = transaction.query(sql, &[]).await.doing(doing)?;
    let installed: BTreeMap<i16, String> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    for purpose in &map.purposes {
        let (bit, name) = (i16::from(purpose.bit), purpose.name.as_str());
        if let Some(other) = installed.get(&bit).filter(|other| *other != name) {
            return Err(ChoicesError::BitTaken { bit, installed: other.clone(), wanted: name.into() });
        }
        if let Some((other, _)) = installed.iter().find(|(other, known)| **other != bit && *known == name) {
            return Err(ChoicesError::PurposeMoved { purpose: name.into(), installed: *other, wanted: bit });
        }
        let (basis, initial) = (purpose.basis.as_str(), purpose.basis.permits_without_choice());
        let found = rows.iter().find(|row| row.get::<_, i16>(0) == bit);
        let same = found.is_some_and(|row| {
            let texts: (&str, &str) = (row.get(2), row.get(3));
            texts == (purpose.term.as_str(), basis) && row.get::<_, bool>(4) == initial && !row.get::<_, bool>(5)
        });
        if same {
            continue;
        }
        let sql = "INSERT INTO vigie.purpose (bit, name, term, basis, initial) VALUES ($1, $2, $3, $4, $5)
                   ON CONFLICT (bit) DO UPDATE SET term = excluded.term, basis = excluded.basis,
                       initial = excluded.initial, retired = false";
        transaction.execute(sql, &[&bit, &name, &purpose.term, &basis, &initial]).await.doing(doing)?;
        let list = if found.is_some() { &mut report.purposes_changed } else { &mut report.purposes_added };
        list.push(name.to_owned());
    }
    for row in &rows {
        let (bit, retired): (i16, bool) = (row.get(0), row.get(5));
        if !retired && !map.purposes.iter().any(|purpose| i16::from(purpose.bit) == bit) {
            let sql = "UPDATE vigie.purpose SET retired = true WHERE bit = $1";
            transaction.execute(sql, &[&bit]).await.doing(doing)?;
            report.purposes_retired.push(row.get(1));
        }
    }
    let changed = [&report.purposes_added, &report.purposes_changed, &report.purposes_retired];
    Ok(changed.iter().any(|list| !list.is_empty()))
}

/// Brings the governed tables to those of the map, and returns them.
async fn tables(
    transaction: &Transaction<'_>,
    map: &DataMap,
    report: &mut Report,
) -> Result<Vec<Numbered>, ChoicesError> {
    let doing = "writing the governed tables";
    let mut numbered = Vec::new();
    let mut kept: Vec<i32> = Vec::new();
    for table in &map.tables {
        let Some(governed) = &table.governed else { continue };
        let oid = check_table(transaction, map.subject_type, table, governed, &mut report.notes).await?;
        let (subject, mask) = (governed.subject.as_str(), governed.mask.as_str());
        let fanout = match governed.fanout {
            Fanout::Immediate => "immediate",
            Fanout::Deferred => "deferred",
        };
        let sql = "SELECT id, subject_column::text, mask_column::text FROM vigie.governed WHERE relation::oid = $1";
        let found = transaction.query_opt(sql, &[&oid]).await.doing(doing)?;
        let same = found.as_ref().is_some_and(|row| (row.get(1), row.get(2)) == (subject, mask));
        let sql = "INSERT INTO vigie.governed (relation, subject_column, mask_column, fanout)
                   VALUES ($1::oid, $2::text, $3::text, $4)
                   ON CONFLICT (relation) DO UPDATE SET fanout = excluded.fanout,
                       ready = vigie.governed.ready AND (vigie.governed.subject_column, vigie.governed.mask_column)
                           = (excluded.subject_column, excluded.mask_column),
                       subject_column = excluded.subject_column, mask_column = excluded.mask_column
                   RETURNING id";
        let id: i32 = transaction.query_one(sql, &[&oid, &subject, &mask, &fanout]).await.doing(doing)?.get(0);
        if !same {
            report.tables_added.push(table.name.to_string());
        }
        kept.push(id);
        numbered.push(Numbered {
            id,
            relation: format!("{}.{}", quote(table.name.schema.as_str()), quote(&table.name.name)),
            subject: subject.to_owned(),
            mask: mask.to_owned(),
            fanout: governed.fanout,
        });
    }
    let sql = "SELECT id, relation::oid, relation::text, EXISTS (SELECT FROM pg_class c WHERE c.oid = relation)
               FROM vigie.governed WHERE id <> ALL($1)";
    for row in transaction.query(sql, &[&kept]).await.doing(doing)? {
        let (id, name, exists): (i32, String, bool) = (row.get(0), row.get(2), row.get(3));
        let mut sql = String::new();
        if exists {
            // `regclass` prints the name quoted, and with its schema where the search path needs it.
            let _ = write!(
                sql,
                "DROP TRIGGER IF EXISTS zz_vigie_mask_new ON {name}; DROP TRIGGER IF EXISTS zz_vigie_mask ON {name};"
            );
        }
        let _ = write!(sql, "DROP FUNCTION IF EXISTS vigie.keep_{id}(); DELETE FROM vigie.governed WHERE id = {id};");
        transaction.batch_execute(&sql).await.doing(doing)?;
        report.tables_removed.push(name);
    }
    Ok(numbered)
}

/// Checks that a table is as the map says, and returns its number in the catalog.
async fn check_table(
    transaction: &Transaction<'_>,
    subject_type: SubjectType,
    table: &Table,
    governed: &Governed,
    notes: &mut Vec<String>,
) -> Result<u32, ChoicesError> {
    let doing = "looking at the governed tables";
    let fault = |what: String, help: String| Err(ChoicesError::Table { table: table.name.to_string(), what, help });
    let sql = "SELECT c.oid, c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = $1 AND c.relname = $2";
    let found = transaction.query_opt(sql, &[&table.name.schema.as_str(), &table.name.name]).await.doing(doing)?;
    let Some(row) = found else {
        return fault("does not exist".into(), "correct its name in the data map".into());
    };
    let (oid, kind): (u32, String) = (row.get(0), row.get(1));
    if !["r", "p"].contains(&kind.as_str()) {
        return fault("is not a table".into(), "name the table that holds the rows".into());
    }
    let sql = "SELECT format_type(a.atttypid, NULL), a.attnotnull,
                      EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indkey[0] = a.attnum
                              AND i.indisvalid AND i.indpred IS NULL),
                      EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND
                              (a.attnum = ANY (i.indkey) OR pg_get_expr(i.indpred, i.indrelid) ~ ('\\m' || a.attname || '\\M')))
               FROM pg_attribute a WHERE a.attrelid = $1 AND a.attname = $2::text AND NOT a.attisdropped";
    let column = transaction.query_opt(sql, &[&oid, &governed.subject.as_str()]).await.doing(doing)?;
    let expected: &[&str] = match subject_type {
        SubjectType::Bigint => &["bigint", "integer", "smallint"],
        SubjectType::Uuid => &["uuid"],
        SubjectType::Text => &["text", "character varying"],
    };
    let name = quote(&table.name.name);
    match column {
        None => return fault(format!("has no column `{}`", governed.subject), "correct `subject` in the map".into()),
        Some(row) => {
            let found: &str = row.get(0);
            if !expected.contains(&found) {
                let what = format!("has a subject `{}` of type {found}, expected {}", governed.subject, expected[0]);
                return fault(what, "correct `subject` or `subject_type` in the data map".into());
            }
            if !row.get::<_, bool>(2) {
                let what = format!("has no index that begins with its subject `{}`", governed.subject);
                let column = quote(governed.subject.as_str());
                return fault(what, format!("CREATE INDEX CONCURRENTLY ON {}.{name} ({column})", table.name.schema));
            }
        }
    }
    let column = transaction.query_opt(sql, &[&oid, &governed.mask.as_str()]).await.doing(doing)?;
    match column {
        None => {
            let help = format!(
                "ALTER TABLE {}.{name} ADD COLUMN {} bigint NOT NULL DEFAULT 0",
                table.name.schema,
                quote(governed.mask.as_str())
            );
            fault(format!("has no column `{}` for the mask", governed.mask), help)
        }
        Some(row) if row.get::<_, &str>(0) != "bigint" => {
            let what = format!("has a mask `{}` of type {}, expected bigint", governed.mask, row.get::<_, &str>(0));
            fault(what, "give the mask a column of its own".into())
        }
        Some(row) => {
            if row.get(3) {
                notes.push(format!(
                    "table `{}` has an index on its mask `{}`, so that every change of a mask writes all its indexes",
                    table.name, governed.mask
                ));
            }
            Ok(oid)
        }
    }
}

/// Writes functions, triggers and grants, unless the same were written last.
async fn functions(
    transaction: &Transaction<'_>,
    map: &DataMap,
    tables: &[Numbered],
    report: &mut Report,
) -> Result<(), ChoicesError> {
    let doing = "writing the functions of schema `vigie`";
    for role in [choices_role(map), control_role(map)] {
        let sql = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)";
        if !transaction.query_one(sql, &[&role]).await.doing(doing)?.get::<_, bool>(0) {
            let sql = format!("CREATE ROLE {} NOINHERIT LOGIN", quote(&role));
            transaction.batch_execute(&sql).await.doing(doing)?;
            report.roles_made.push(role);
        }
    }
    let text = statements::functions(map.subject_type, tables) + &grants(map);
    let sql = "SELECT functions FROM vigie.migration WHERE number = 1";
    let before: Option<String> = transaction.query_one(sql, &[]).await.doing(doing)?.get(0);
    if before.as_deref() != Some(&text) || !report.roles_made.is_empty() || triggers_missing(transaction).await? {
        transaction.batch_execute(&text).await.doing(doing)?;
        let sql = "UPDATE vigie.migration SET functions = $1 WHERE number = 1";
        transaction.execute(sql, &[&text]).await.doing(doing)?;
        report.functions_replaced = true;
    }
    Ok(())
}

/// Whether a trigger was dropped or switched off.
async fn triggers_missing(transaction: &Transaction<'_>) -> Result<bool, ChoicesError> {
    let sql = "SELECT EXISTS (
                   SELECT FROM vigie.governed g, unnest(ARRAY['zz_vigie_mask', 'zz_vigie_mask_new']) AS name
                   WHERE NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = g.relation AND t.tgname = name
                                     AND t.tgenabled = 'A'))";
    Ok(transaction.query_one(sql, &[]).await.doing("looking at the triggers")?.get(0))
}

/// The role that records choices.
pub(crate) fn choices_role(map: &DataMap) -> String {
    format!("{}choices", map.role_prefix())
}

/// The role of the gateways' own connection.
pub(crate) fn control_role(map: &DataMap) -> String {
    format!("{}control", map.role_prefix())
}

fn grants(map: &DataMap) -> String {
    let subject = map.subject_type.as_sql();
    let (choices, control) = (quote(&choices_role(map)), quote(&control_role(map)));
    format!(
        "
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA vigie FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA vigie FROM PUBLIC, {choices}, {control};
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA vigie FROM {choices}, {control};
GRANT USAGE ON SCHEMA vigie TO {choices}, {control};
DO $$ BEGIN
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO {choices}, {control}', current_database());
END $$;
GRANT SELECT ON vigie.purpose TO {choices}, {control};
GRANT EXECUTE ON FUNCTION
    vigie.record({subject}, text, text, text, timestamptz, text, text, bytea, text),
    vigie.record_event({subject}, text, text, text, timestamptz, text, text, bytea, text, bytea),
    vigie.choices_of({subject}), vigie.history_of({subject}, bigint, integer),
    vigie.keep_wording(text), vigie.wording_of(bytea),
    vigie.note_unlogged(bytea), vigie.note_logged(bytea), vigie.unlogged_events(integer),
    vigie.answer_before(bytea, bytea), vigie.keep_answer(bytea, bytea, text) TO {choices};
GRANT SELECT ON vigie.ticket, vigie.overdue_review TO {control};
GRANT EXECUTE ON FUNCTION
    vigie.stop_set(), vigie.stop_set_since(bigint, integer),
    vigie.request_ticket(text, text, text[], text, boolean, timestamptz), vigie.approve_ticket(bigint, text),
    vigie.review_ticket(bigint, text, text), vigie.valid_tickets(text, text),
    vigie.spend_budget(text, text, bigint, bigint) TO {control};
"
    )
}
