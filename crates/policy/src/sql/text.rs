//! Writes objects as SQL.

use super::{
    Grant, Objects, PolicyObject,
    hardening::{HARDENING, REVOKED_FUNCTIONS, REVOKED_VIEWS},
};
use crate::{
    catalog::{Command, Privilege},
    names::{ColumnName, RoleName, TableName},
};
use std::fmt::Write as _;

/// Returns a name as SQL writes one, always quoted.
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Returns a string as SQL writes one, under `standard_conforming_strings`.
pub fn quote_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Returns the name of a table as SQL writes one, always quoted.
pub fn quote_table(table: &TableName) -> String {
    format!("{}.{}", quote_identifier(table.schema.as_str()), quote_identifier(&table.name))
}

fn quote_columns(columns: &[ColumnName]) -> String {
    columns.iter().map(|column| quote_identifier(column.as_str())).collect::<Vec<_>>().join(", ")
}

/// Returns an array of text; never empty brackets without a type.
fn array(texts: impl Iterator<Item = String>) -> String {
    format!("ARRAY[{}]::text[]", texts.map(|text| quote_literal(&text)).collect::<Vec<_>>().join(", "))
}

/// Returns a `DO` block whose quotes the body does not contain.
fn block(body: &str) -> String {
    let mut tag = "$vigie$".to_owned();
    let mut number = 0;
    while body.contains(&tag) {
        number += 1;
        tag = format!("$vigie{number}$");
    }
    format!("DO {tag}\n{}\n{tag};\n", body.trim_end())
}

pub(super) fn write(objects: &Objects, verifier: &dyn Fn(&RoleName) -> String) -> String {
    let mut sql = String::new();
    let out = &mut sql;
    section(out, &format!("Vigie, policy {}", objects.policy_hash));
    out.push_str("BEGIN;\n");
    out.push_str("SET LOCAL standard_conforming_strings = on;\n");
    out.push_str("SET LOCAL search_path = pg_catalog;\n");
    out.push_str("SET LOCAL client_min_messages = warning;\n");
    out.push_str("SET LOCAL lock_timeout = '30s';\n");
    // Two that apply at once would trip over each other's roles, which belong to the whole cluster.
    let _ = writeln!(out, "SELECT pg_advisory_xact_lock(hashtextextended({}, 0));", quote_literal(&objects.prefix));

    section(out, "What others left that would show more");
    out.push_str(&block(&refuse_foreign_policies(objects)));
    section(out, "What is no more");
    out.push_str(&block(&drop_old_policies(objects)));
    out.push_str(&block(&drop_old_roles(objects)));
    section(out, "Roles");
    roles(out, objects, verifier);
    section(out, "Schemas and views");
    schemas_and_views(out, objects);
    section(out, "Grants");
    out.push_str(&block(&revoke_all(objects)));
    grants(out, objects);
    section(out, "Rows");
    rows(out, objects);
    section(out, "What every role could do unasked");
    let hardening = HARDENING.replace("{functions}", REVOKED_FUNCTIONS).replace("{views}", REVOKED_VIEWS);
    out.push_str(&block(&hardening));
    connect(out, objects);
    out.push_str("COMMIT;\n");
    sql
}

fn section(out: &mut String, title: &str) {
    let _ = writeln!(out, "\n-- {title}");
}

fn role_names(objects: &Objects) -> String {
    array(objects.roles.iter().map(|role| role.name.to_string()))
}

/// A condition that selects the roles of this map, by the exact form of their names.
fn ours(objects: &Objects, column: &str) -> String {
    let prefix = quote_literal(&objects.prefix);
    format!(
        "starts_with({column}, {prefix}) AND substr({column}, length({prefix}) + 1) ~ '^(nobody|[a-z][a-z0-9-]*_[0-9a-f]{{8}})$'"
    )
}

fn refuse_foreign_policies(objects: &Objects) -> String {
    let tables = array(objects.governed.iter().map(|table| quote_table(&table.name)));
    format!(
        "DECLARE
  foreign_one record;
BEGIN
  SELECT p.polname, p.polrelid::regclass AS name INTO foreign_one FROM pg_policy p
    WHERE p.polrelid = ANY (SELECT t::regclass FROM unnest({tables}) t) AND p.polpermissive
      AND NOT starts_with(p.polname, {prefix})
      AND EXISTS (SELECT FROM unnest(p.polroles) r LEFT JOIN pg_roles o ON o.oid = r WHERE r = 0 OR {ours})
    LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'policy \"%\" on % would show rows whatever people chose', foreign_one.polname, foreign_one.name
      USING HINT = 'limit it to the roles it was made for, or drop it';
  END IF;
END",
        prefix = quote_literal(&objects.prefix),
        ours = ours(objects, "o.rolname::text"),
    )
}

fn drop_old_policies(objects: &Objects) -> String {
    let kept = array(objects.policies.iter().map(|policy| format!("{} {}", quote_table(&policy.table), policy.name)));
    format!(
        "DECLARE
  old record;
BEGIN
  FOR old IN SELECT p.polname, n.nspname, c.relname FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE starts_with(p.polname, {prefix})
      AND NOT '\"' || replace(n.nspname, '\"', '\"\"') || '\".\"' || replace(c.relname, '\"', '\"\"') || '\" ' || p.polname = ANY ({kept})
    ORDER BY 2, 3, 1
  LOOP
    EXECUTE format('DROP POLICY %I ON %I.%I', old.polname, old.nspname, old.relname);
  END LOOP;
END",
        prefix = quote_literal(&objects.prefix),
    )
}

fn drop_old_roles(objects: &Objects) -> String {
    format!(
        "DECLARE
  old record;
BEGIN
  FOR old IN SELECT r.rolname FROM pg_roles r WHERE {ours} AND NOT r.rolname = ANY ({kept}) ORDER BY 1
  LOOP
    EXECUTE format('DROP SCHEMA IF EXISTS %I CASCADE', old.rolname);
    EXECUTE format('DROP OWNED BY %I CASCADE', old.rolname);
    EXECUTE format('DROP ROLE %I', old.rolname);
  END LOOP;
END",
        ours = ours(objects, "r.rolname::text"),
        kept = role_names(objects),
    )
}

fn roles(out: &mut String, objects: &Objects, verifier: &dyn Fn(&RoleName) -> String) {
    out.push_str(&block(&format!(
        "DECLARE
  missing text;
BEGIN
  FOREACH missing IN ARRAY {names}
  LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = missing) THEN
      EXECUTE format('CREATE ROLE %I', missing);
    END IF;
  END LOOP;
END",
        names = role_names(objects)
    )));
    for role in &objects.roles {
        let name = quote_identifier(role.name.as_str());
        let _ = writeln!(
            out,
            "ALTER ROLE {name} WITH LOGIN NOINHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS \
             CONNECTION LIMIT -1 VALID UNTIL 'infinity' PASSWORD {};",
            quote_literal(&verifier(&role.name))
        );
        let _ = writeln!(out, "ALTER ROLE {name} RESET ALL;");
        for (setting, value) in &role.settings {
            let _ = writeln!(out, "ALTER ROLE {name} SET {setting} = {value};");
        }
    }
    out.push_str(&block(&format!(
        "DECLARE
  held record;
BEGIN
  FOR held IN SELECT g.rolname AS of, m.rolname AS member FROM pg_auth_members a
    JOIN pg_roles g ON g.oid = a.roleid JOIN pg_roles m ON m.oid = a.member
    WHERE g.rolname = ANY ({names}) OR m.rolname = ANY ({names}) ORDER BY 1, 2
  LOOP
    EXECUTE format('REVOKE %I FROM %I', held.of, held.member);
  END LOOP;
END",
        names = role_names(objects)
    )));
}

fn schemas_and_views(out: &mut String, objects: &Objects) {
    for schema in &objects.schemas {
        let _ = writeln!(out, "CREATE SCHEMA IF NOT EXISTS {};", quote_identifier(schema.name.as_str()));
    }
    // A view whose columns someone changed cannot be replaced, only made anew.
    let kept = array(
        objects.views.iter().map(|view| format!("{} ({})", quote_table(&view.name), quote_columns(&view.columns))),
    );
    out.push_str(&block(&format!(
        "DECLARE
  other record;
BEGIN
  FOR other IN SELECT n.nspname, c.relname, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY ({schemas}) AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
      AND NOT (c.relkind = 'v' AND '\"' || replace(n.nspname, '\"', '\"\"') || '\".\"' || replace(c.relname, '\"', '\"\"') || '\" (' ||
        (SELECT string_agg('\"' || replace(a.attname, '\"', '\"\"') || '\"', ', ' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0)
        || ')' = ANY ({kept}))
    ORDER BY 1, 2
  LOOP
    EXECUTE format('DROP %s %I.%I CASCADE', CASE other.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' \
WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, other.nspname, other.relname);
  END LOOP;
END",
        schemas = array(objects.schemas.iter().map(|schema| schema.name.to_string())),
    )));
    for view in &objects.views {
        let columns: Vec<String> =
            view.columns.iter().map(|column| format!("t.{}", quote_identifier(column.as_str()))).collect();
        let _ = writeln!(
            out,
            "CREATE OR REPLACE VIEW {} WITH (security_invoker = true) AS SELECT {} FROM {} AS t;",
            quote_table(&view.name),
            columns.join(", "),
            quote_table(&view.table)
        );
    }
}

/// Takes everything that the roles hold on relations, columns, sequences, schemas and functions of this database.
fn revoke_all(objects: &Objects) -> String {
    format!(
        "DECLARE
  held record;
BEGIN
  FOR held IN SELECT DISTINCT CASE WHEN c.relkind = 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind, n.nspname, c.relname, r.rolname
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN (SELECT oid, relacl AS acl FROM pg_class UNION ALL SELECT attrelid, attacl FROM pg_attribute) o ON o.oid = c.oid
    CROSS JOIN aclexplode(o.acl) a JOIN pg_roles r ON r.oid = a.grantee
    WHERE r.rolname = ANY ({names}) AND a.grantee <> c.relowner ORDER BY 1, 2, 3, 4
  LOOP
    EXECUTE format('REVOKE ALL ON %s %I.%I FROM %I', held.kind, held.nspname, held.relname, held.rolname);
  END LOOP;
  FOR held IN SELECT DISTINCT n.nspname, r.rolname FROM pg_namespace n CROSS JOIN aclexplode(n.nspacl) a
    JOIN pg_roles r ON r.oid = a.grantee WHERE r.rolname = ANY ({names}) ORDER BY 1, 2
  LOOP
    EXECUTE format('REVOKE ALL ON SCHEMA %I FROM %I', held.nspname, held.rolname);
  END LOOP;
  FOR held IN SELECT DISTINCT p.oid::regprocedure AS name, r.rolname FROM pg_proc p CROSS JOIN aclexplode(p.proacl) a
    JOIN pg_roles r ON r.oid = a.grantee WHERE r.rolname = ANY ({names}) ORDER BY 1, 2
  LOOP
    EXECUTE format('REVOKE ALL ON ROUTINE %s FROM %I', held.name, held.rolname);
  END LOOP;
END",
        names = role_names(objects)
    )
}

fn grants(out: &mut String, objects: &Objects) {
    for schema in &objects.schemas {
        let (name, role) = (quote_identifier(schema.name.as_str()), quote_identifier(schema.role.as_str()));
        let _ = writeln!(out, "GRANT USAGE ON SCHEMA {name} TO {role};");
    }
    for grant in &objects.grants {
        out.push_str(&grant_text(grant));
    }
    let inserting: Vec<&RoleName> = objects.roles.iter().filter(|role| role.inserts).map(|role| &role.name).collect();
    if inserting.is_empty() {
        return;
    }
    // Defaults that draw from a sequence run with the rights of who inserts.
    let pairs = objects
        .grants
        .iter()
        .filter(|grant| grant.privilege == Privilege::Insert && grant.table.schema.as_str() != grant.role.as_str())
        .map(|grant| {
            format!("({}::regclass, {})", quote_literal(&quote_table(&grant.table)), quote_literal(grant.role.as_str()))
        });
    out.push_str(&block(&format!(
        "DECLARE
  drawn record;
BEGIN
  FOR drawn IN SELECT s.oid::regclass AS name, g.role FROM (VALUES {pairs}) AS g(relation, role)
    JOIN pg_depend d ON d.refobjid = g.relation AND d.refclassid = 'pg_class'::regclass AND d.classid = 'pg_class'::regclass AND d.deptype = 'a'
    JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' ORDER BY 1, 2
  LOOP
    EXECUTE format('GRANT USAGE ON SEQUENCE %s TO %I', drawn.name, drawn.role);
  END LOOP;
END",
        pairs = pairs.collect::<Vec<_>>().join(", ")
    )));
    for role in inserting {
        let _ = writeln!(
            out,
            "GRANT EXECUTE ON FUNCTION pg_catalog.nextval(regclass) TO {};",
            quote_identifier(role.as_str())
        );
    }
}

/// Returns the word of a privilege.
const fn word(privilege: Privilege) -> &'static str {
    match privilege {
        Privilege::Select => "SELECT",
        Privilege::Insert => "INSERT",
        Privilege::Update => "UPDATE",
        Privilege::Delete => "DELETE",
        Privilege::Truncate => "TRUNCATE",
        Privilege::References => "REFERENCES",
        Privilege::Trigger => "TRIGGER",
        Privilege::Maintain => "MAINTAIN",
    }
}

fn grant_text(grant: &Grant) -> String {
    let columns =
        if grant.columns.is_empty() { String::new() } else { format!(" ({})", quote_columns(&grant.columns)) };
    let (table, role) = (quote_table(&grant.table), quote_identifier(grant.role.as_str()));
    format!("GRANT {}{columns} ON TABLE {table} TO {role};\n", word(grant.privilege))
}

fn rows(out: &mut String, objects: &Objects) {
    // Each only where it changes something: they lock the table against everyone.
    for table in &objects.governed {
        let name = quote_table(&table.name);
        let class = quote_literal(&name);
        out.push_str(&block(&format!(
            "BEGIN
  IF NOT (SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE oid = {class}::regclass) THEN
    ALTER TABLE {name} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
  END IF;
END"
        )));
    }
    for policy in &objects.policies {
        out.push_str(&block(&row_policy(policy)));
    }
}

/// The column as `pg_get_expr` prints it is quoted only where it must be, so the server is asked.
fn row_policy(policy: &PolicyObject) -> String {
    let name = quote_identifier(&policy.name);
    let table = quote_table(&policy.table);
    let roles: Vec<String> = policy.roles.iter().map(|role| quote_identifier(role.as_str())).collect();
    let (letter, command) = match policy.command {
        Command::All => ("*", "ALL"),
        Command::Select => ("r", "SELECT"),
        Command::Insert => ("a", "INSERT"),
        Command::Update => ("w", "UPDATE"),
        Command::Delete => ("d", "DELETE"),
    };
    let printed = format!(
        "'((' || quote_ident({}) || ' & ''{}''::bigint) <> 0)'",
        quote_literal(policy.mask.as_str()),
        1_i64 << policy.bit
    );
    format!(
        "BEGIN
  IF NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = {class}::regclass AND p.polname = {literal}
    AND p.polpermissive AND p.polcmd = '{letter}' AND p.polwithcheck IS NULL AND pg_get_expr(p.polqual, p.polrelid) = {printed}
    AND (SELECT array_agg(r.rolname::text ORDER BY r.rolname::text COLLATE \"C\") FROM unnest(p.polroles) o LEFT JOIN pg_roles r ON r.oid = o) = {array}) THEN
    DROP POLICY IF EXISTS {name} ON {table};
    CREATE POLICY {name} ON {table} AS PERMISSIVE FOR {command} TO {roles} USING {using};
  END IF;
END",
        class = quote_literal(&table),
        literal = quote_literal(&policy.name),
        array = array(policy.roles.iter().map(ToString::to_string)),
        roles = roles.join(", "),
        using = policy.using(),
    )
}

fn connect(out: &mut String, objects: &Objects) {
    out.push_str(&block(&format!(
        "DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY {names}
  LOOP
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM %I', current_database(), name);
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), name);
  END LOOP;
END",
        names = role_names(objects)
    )));
}
