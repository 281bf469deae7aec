//! Applies a compiled policy to a live database: one transaction, all or nothing.

use crate::{DatabaseError, error::Doing as _, read_catalog};
use tokio_postgres::{Client, Transaction};
use vigie_policy::{
    Compiled,
    drift::{Drift, drift},
    lint::{Gravity, lint},
    names::RoleName,
    sql::{objects, quote_identifier, quote_literal},
};

/// Whether a policy is carried out, or only shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Nothing is changed.
    DryRun,
    /// It is applied.
    CarryOut,
}

/// What applying a policy did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The SQL, without what PostgreSQL stores of the passwords.
    pub sql: String,
    /// How the database differed before.
    pub before: Vec<Drift>,
    /// What changed, as kinds of objects (`roles`, `grants`, …); empty if nothing did, and for a dry run.
    pub changed: Vec<&'static str>,
}

/// Applies a compiled policy in one transaction, under a lock that lets one apply at a time. A second time changes nothing.
///
/// `verifier` gives what PostgreSQL stores of a role's password (`SCRAM-SHA-256$…`); the role of the gateways' control
/// connection gets one too, where choices made that role. For the second time to change nothing it must give the same.
///
/// # Errors
///
/// [`DatabaseError::Breaches`], [`DatabaseError::NoChoices`] or [`DatabaseError::Unready`] if the policy could not be
/// enforced; what the server says. Nothing is changed then.
pub async fn apply(
    client: &mut Client,
    compiled: &Compiled,
    verifier: &(dyn Fn(&RoleName) -> String + Sync),
    plan: Plan,
) -> Result<Applied, DatabaseError> {
    let doing = "applying the policy";
    let catalog = read_catalog(client).await?;
    let mut breaches = lint(&compiled.map, &catalog);
    breaches.retain(|found| found.gravity == Gravity::Breach);
    if !breaches.is_empty() {
        return Err(DatabaseError::Breaches(breaches));
    }
    let objects = objects(compiled);
    let governed = i64::try_from(objects.governed.len()).unwrap_or(i64::MAX);
    check_masks(client, governed).await?;
    let before = drift(&objects, &catalog);
    let sql = objects.to_sql(&|_| "SCRAM-SHA-256$…".to_owned());
    if plan == Plan::DryRun {
        return Ok(Applied { sql, before, changed: Vec::new() });
    }
    let script = objects.to_sql(&|role| verifier(role));
    let script = within_transaction(&script)?;
    let transaction = client.transaction().await.doing(doing)?;
    // The lock of the script is taken again in it; taken here, the fingerprint before is not another's half-way.
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";
    transaction.execute(lock, &[&objects.prefix]).await.doing(doing)?;
    // As in the script, so that names are printed alike before and after it.
    transaction.batch_execute("SET LOCAL search_path = pg_catalog").await.doing(doing)?;
    let prints = fingerprints(&transaction, &objects.prefix).await?;
    transaction.batch_execute(&script).await.doing(doing)?;
    transaction.batch_execute(&control(&objects.prefix, verifier)).await.doing(doing)?;
    transaction.batch_execute(OWNER_OF_CHOICES).await.doing(doing)?;
    let prints_after = fingerprints(&transaction, &objects.prefix).await?;
    transaction.commit().await.doing(doing)?;
    let changed = prints.into_iter().zip(prints_after).filter(|(a, b)| a != b).map(|((kind, _), _)| kind).collect();
    Ok(Applied { sql, before, changed })
}

/// Refuses where masks are not kept, or were not all written.
async fn check_masks(client: &Client, governed: i64) -> Result<(), DatabaseError> {
    if governed == 0 {
        return Ok(());
    }
    let doing = "looking at the choices";
    let sql = "SELECT to_regclass('vigie.governed') IS NOT NULL";
    if !client.query_one(sql, &[]).await.doing(doing)?.get::<_, bool>(0) {
        return Err(DatabaseError::NoChoices);
    }
    let sql = "SELECT relation::text FROM vigie.governed WHERE NOT ready ORDER BY 1";
    let rows = client.query(sql, &[]).await.doing(doing)?;
    let count: i64 = client.query_one("SELECT count(*) FROM vigie.governed", &[]).await.doing(doing)?.get(0);
    if count < governed {
        return Err(DatabaseError::NoChoices);
    }
    if rows.is_empty() { Ok(()) } else { Err(DatabaseError::Unready(rows.iter().map(|row| row.get(0)).collect())) }
}

/// Takes the script out of its own transaction, so that it runs in ours.
fn within_transaction(script: &str) -> Result<String, DatabaseError> {
    let begin = "\nBEGIN;\n";
    let (head, rest) = script.split_once(begin).ok_or(DatabaseError::NotOneTransaction)?;
    let body = rest.trim_end().strip_suffix("COMMIT;").ok_or(DatabaseError::NotOneTransaction)?;
    Ok(format!("{head}\n{body}"))
}

/// Gives the role of the gateways' control connection its password, where there is that role.
fn control(prefix: &str, verifier: &(dyn Fn(&RoleName) -> String + Sync)) -> String {
    let Ok(role) = RoleName::new(format!("{prefix}control")) else { return String::new() };
    format!(
        "DO $vigie$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = {}) THEN
             ALTER ROLE {} PASSWORD {}; END IF; END $vigie$;",
        quote_literal(role.as_str()),
        quote_identifier(role.as_str()),
        quote_literal(&verifier(&role))
    )
}

/// Leaves the owner of the choices what the hardening takes from everybody, where he is no superuser: his functions need it.
const OWNER_OF_CHOICES: &str = "DO $vigie$
DECLARE
  keeper name; needed text;
BEGIN
  SELECT r.rolname INTO keeper FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner
    WHERE n.nspname = 'vigie' AND NOT r.rolsuper;
  IF NOT FOUND THEN RETURN; END IF;
  EXECUTE format('GRANT CONNECT, CREATE ON DATABASE %I TO %I', current_database(), keeper);
  EXECUTE format('GRANT USAGE ON LANGUAGE plpgsql, sql TO %I', keeper);
  FOREACH needed IN ARRAY ARRAY['FUNCTION pg_notify(text, text)', 'FUNCTION nextval(regclass)',
    'FUNCTION pg_advisory_xact_lock(bigint)', 'FUNCTION pg_stat_clear_snapshot()', 'FUNCTION pg_stat_get_activity(integer)',
    'FUNCTION pg_get_replication_slots()', 'TABLE pg_stat_activity', 'TABLE pg_replication_slots']
  LOOP
    EXECUTE format('GRANT %s ON %s TO %I', CASE WHEN needed LIKE 'TABLE%' THEN 'SELECT' ELSE 'EXECUTE' END, needed, keeper);
  END LOOP;
  FOR needed IN SELECT DISTINCT format('%I', n.nspname) FROM vigie.governed g JOIN pg_class c ON c.oid = g.relation
    JOIN pg_namespace n ON n.oid = c.relnamespace
  LOOP
    EXECUTE format('GRANT USAGE ON SCHEMA %s TO %I', needed, keeper);
  END LOOP;
END $vigie$;";

/// Hashes what applying may change, by kind, in a fixed order.
async fn fingerprints(
    transaction: &Transaction<'_>,
    prefix: &str,
) -> Result<Vec<(&'static str, Option<String>)>, DatabaseError> {
    let kinds = [
        (
            "roles",
            "SELECT concat_ws(' ', r.rolname, r.rolcanlogin, r.rolinherit, r.rolsuper, r.rolbypassrls, r.rolcreatedb,
                 r.rolcreaterole, r.rolreplication, r.rolconnlimit,
                 (SELECT array_agg(s.setconfig ORDER BY s.setdatabase) FROM pg_db_role_setting s WHERE s.setrole = r.oid),
                 (SELECT array_agg(m.roleid ORDER BY 1) FROM pg_auth_members m WHERE m.member = r.oid)) AS line
             FROM pg_roles r WHERE starts_with(r.rolname, $1)",
        ),
        (
            "relations",
            "SELECT concat_ws(' ', c.oid::regclass, c.oid, c.relrowsecurity, c.relforcerowsecurity, c.reloptions) AS line
             FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v') AND $1 <> ''",
        ),
        (
            "grants",
            // Without what owners hold of themselves: PostgreSQL writes it down, or leaves it unsaid, as it happens.
            "SELECT concat_ws(' ', kind, id, sub, a.grantee::text, a.privilege_type, a.is_grantable) AS line FROM (
                 SELECT 'class' AS kind, oid AS id, 0 AS sub, relowner AS owner, relacl AS acl FROM pg_class
                 UNION ALL SELECT 'column', t.attrelid, t.attnum, c.relowner, t.attacl
                     FROM pg_attribute t JOIN pg_class c ON c.oid = t.attrelid WHERE t.attacl IS NOT NULL
                 UNION ALL SELECT 'schema', oid, 0, nspowner, nspacl FROM pg_namespace
                 UNION ALL SELECT 'function', oid, 0, proowner, coalesce(proacl, acldefault('f', proowner)) FROM pg_proc
                 UNION ALL SELECT 'language', oid, 0, lanowner, coalesce(lanacl, acldefault('l', lanowner)) FROM pg_language
                 UNION ALL SELECT 'database', oid, 0, datdba, coalesce(datacl, acldefault('d', datdba)) FROM pg_database
                     WHERE datname = current_database()
             ) held CROSS JOIN LATERAL aclexplode(held.acl) AS a WHERE a.grantee <> held.owner AND $1 <> ''",
        ),
        (
            "row policies",
            "SELECT concat_ws(' ', p.polrelid, p.polname, p.polpermissive, p.polcmd,
                 (SELECT array_agg(r ORDER BY r) FROM unnest(p.polroles) r),
                 pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)) AS line
             FROM pg_policy p WHERE $1 <> ''",
        ),
        (
            "views",
            "SELECT concat_ws(' ', c.oid::regclass, pg_get_viewdef(c.oid)) AS line
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind = 'v' AND starts_with(n.nspname, $1)",
        ),
    ];
    let mut prints = Vec::new();
    for (kind, lines) in kinds {
        let sql = format!("SELECT md5(string_agg(line, E'\\n' ORDER BY line)) FROM ({lines}) lines");
        let row = transaction.query_one(&sql, &[&prefix]).await.doing("comparing the catalog before and after")?;
        prints.push((kind, row.get(0)));
    }
    // Only a superuser sees what is stored of passwords; for others, a new password alone is no change that shows.
    let sql = "SELECT current_setting('is_superuser') = 'on'";
    if transaction.query_one(sql, &[]).await.doing("reading the rights of the applying role")?.get(0) {
        let sql = "SELECT md5(string_agg(concat_ws(' ', rolname, rolpassword), E'\\n' ORDER BY rolname))
                   FROM pg_authid WHERE starts_with(rolname, $1)";
        let row = transaction.query_one(sql, &[&prefix]).await.doing("comparing the catalog before and after")?;
        prints.push(("passwords", row.get(0)));
    }
    Ok(prints)
}
