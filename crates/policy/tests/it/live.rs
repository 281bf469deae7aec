//! Drift and lint against a live server: none after applying, and what someone changes is found.
//!
//! The catalog is read here by one statement that prints it as JSON; `database` has a reader of its own.

use crate::sample::{apply, compiled, database, name, permitted};
use vigie_policy::{
    catalog::Catalog,
    drift::{Direction, drift},
    lint::{Gravity, Rule, lint},
    sql::{REVOKED_FUNCTIONS, objects, quote_identifier},
};
use vigie_testkit::postgres::PostgresServer;

const CATALOG: &str = "
BEGIN; SET LOCAL search_path = pg_catalog;
WITH rel AS (SELECT c.*, n.nspname || '.' || c.relname AS full_name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'),
word(short, long) AS (VALUES ('SELECT', 'Select'), ('INSERT', 'Insert'), ('UPDATE', 'Update'), ('DELETE', 'Delete'),
  ('TRUNCATE', 'Truncate'), ('REFERENCES', 'References'), ('TRIGGER', 'Trigger'), ('MAINTAIN', 'Maintain'))
SELECT jsonb_build_object(
  'server_version', current_setting('server_version_num')::int,
  'tables', (SELECT coalesce(jsonb_agg(jsonb_build_object('name', full_name, 'owner', relowner::regrole::text, 'rls_enabled', relrowsecurity,
      'rls_forced', relforcerowsecurity, 'unlogged', relpersistence = 'u', 'primary_key', '[]'::jsonb,
      'columns', (SELECT jsonb_agg(jsonb_build_object('name', attname, 'type_name', format_type(atttypid, NULL), 'attnum', attnum, 'not_null', attnotnull)
        ORDER BY attnum) FROM pg_attribute WHERE attrelid = rel.oid AND attnum > 0 AND NOT attisdropped))), '[]') FROM rel WHERE relkind IN ('r', 'p')),
  'views', (SELECT coalesce(jsonb_agg(jsonb_build_object('name', full_name, 'owner', relowner::regrole::text,
      'security_invoker', 'security_invoker=true' = ANY (coalesce(reloptions, '{}')), 'security_barrier', 'security_barrier=true' = ANY (coalesce(reloptions, '{}')),
      'definition', pg_get_viewdef(rel.oid), 'columns', (SELECT jsonb_agg(attname ORDER BY attnum) FROM pg_attribute WHERE attrelid = rel.oid AND attnum > 0),
      'reads', (SELECT jsonb_agg(DISTINCT r.full_name) FROM pg_rewrite w JOIN pg_depend d ON d.objid = w.oid AND d.classid = 'pg_rewrite'::regclass
        AND d.refclassid = 'pg_class'::regclass JOIN rel r ON r.oid = d.refobjid AND r.oid <> rel.oid WHERE w.ev_class = rel.oid))), '[]') FROM rel WHERE relkind = 'v'),
  'policies', (SELECT coalesce(jsonb_agg(jsonb_build_object('table', full_name, 'name', polname, 'permissive', polpermissive,
      'command', CASE polcmd WHEN '*' THEN 'All' WHEN 'r' THEN 'Select' WHEN 'a' THEN 'Insert' WHEN 'w' THEN 'Update' ELSE 'Delete' END,
      'roles', (SELECT coalesce(jsonb_agg(rolname), '[]') FROM pg_roles WHERE oid = ANY (polroles)),
      'using', pg_get_expr(polqual, polrelid), 'with_check', pg_get_expr(polwithcheck, polrelid))), '[]') FROM pg_policy JOIN rel ON rel.oid = polrelid),
  'roles', (SELECT jsonb_agg(jsonb_build_object('name', rolname, 'login', rolcanlogin, 'inherit', rolinherit, 'superuser', rolsuper, 'create_db', rolcreatedb,
      'create_role', rolcreaterole, 'replication', rolreplication, 'bypass_rls', rolbypassrls, 'connection_limit', rolconnlimit,
      'member_of', (SELECT coalesce(jsonb_agg(roleid::regrole::text), '[]') FROM pg_auth_members WHERE member = r.oid),
      'settings', (SELECT coalesce(jsonb_agg(s), '[]') FROM pg_db_role_setting t, unnest(t.setconfig) s WHERE t.setrole = r.oid))) FROM pg_roles r),
  'table_grants', (SELECT coalesce(jsonb_agg(jsonb_build_object('table', full_name, 'role', g.rolname, 'privilege', long)), '[]')
      FROM rel CROSS JOIN aclexplode(relacl) a LEFT JOIN pg_roles g ON g.oid = a.grantee JOIN word ON short = privilege_type WHERE a.grantee <> relowner AND relkind <> 'S'),
  'column_grants', (SELECT coalesce(jsonb_agg(jsonb_build_object('table', full_name, 'column', attname, 'role', g.rolname, 'privilege', long)), '[]')
      FROM rel JOIN pg_attribute ON attrelid = rel.oid CROSS JOIN aclexplode(attacl) a LEFT JOIN pg_roles g ON g.oid = a.grantee JOIN word ON short = privilege_type),
  'schema_grants', (SELECT coalesce(jsonb_agg(jsonb_build_object('schema', nspname, 'role', g.rolname, 'create', privilege_type = 'CREATE')), '[]')
      FROM pg_namespace CROSS JOIN aclexplode(nspacl) a JOIN pg_roles g ON g.oid = a.grantee WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'),
  'functions', '[]'::jsonb, 'indexes', '[]'::jsonb, 'triggers', '[]'::jsonb, 'foreign_keys', '[]'::jsonb,
  'public', jsonb_build_object(
    'database', (SELECT coalesce(jsonb_agg(privilege_type), '[]') FROM pg_database CROSS JOIN aclexplode(coalesce(datacl, acldefault('d', datdba))) a WHERE datname = current_database() AND a.grantee = 0),
    'schemas', (SELECT coalesce(jsonb_agg(DISTINCT nspname), '[]') FROM pg_namespace CROSS JOIN aclexplode(nspacl) a WHERE a.grantee = 0 AND nspname !~ '^pg_' AND nspname <> 'information_schema'),
    'languages', (SELECT coalesce(jsonb_agg(lanname), '[]') FROM pg_language CROSS JOIN aclexplode(coalesce(lanacl, acldefault('l', lanowner))) a WHERE a.grantee = 0 AND lanpltrusted),
    'functions', (SELECT coalesce(jsonb_agg(p.oid::regprocedure::text), '[]') FROM pg_proc p CROSS JOIN aclexplode(coalesce(proacl, acldefault('f', proowner))) a WHERE a.grantee = 0 AND {functions})));
COMMIT;";

fn read(database: &str) -> Catalog {
    let json = PostgresServer::shared().run_sql(database, &CATALOG.replace("{functions}", REVOKED_FUNCTIONS));
    serde_json::from_str(json.trim()).unwrap_or_else(|error| panic!("{error}: {json}"))
}

#[test]
fn a_server_that_was_applied_to_has_not_drifted_and_every_change_is_found() {
    let database = database();
    let compiled = compiled("live");
    let before = read(&database);
    assert!(lint(&compiled.map, &before).iter().any(|lint| lint.rule == Rule::NotForced));
    assert!(before.public.functions.len() > 150, "GATEWAY.md counts 194 volatile functions and more");
    apply(&database, &compiled);
    let objects = objects(&compiled);
    assert_eq!(drift(&objects, &read(&database)), []);
    let lints = lint(&compiled.map, &read(&database));
    assert!(lints.iter().all(|lint| lint.gravity == Gravity::Weakness && lint.rule != Rule::NotForced), "{lints:?}");

    let role = quote_identifier(permitted(&compiled, "service-provision", "eu-staff", true).role.as_str());
    let changes = [
        (format!("GRANT SELECT (pmask) ON public.users TO {role}"), Direction::Wider, "holds Select"),
        (format!("REVOKE SELECT (email) ON public.users FROM {role}"), Direction::Narrower, "lacks Select"),
        (format!("ALTER ROLE {role} BYPASSRLS"), Direction::Wider, "bypasses row-level security"),
        (format!("ALTER ROLE {role} RESET search_path"), Direction::Narrower, "does not start with `search_path`"),
        ("ALTER TABLE public.users NO FORCE ROW LEVEL SECURITY".to_owned(), Direction::Wider, "not forced"),
        (
            "ALTER POLICY vigie_live_analytics ON public.users USING (true)"
                .replace("vigie_live_analytics", "\"vigie_live_analytics\""),
            Direction::Wider,
            "shows rows by `true`",
        ),
        (format!("ALTER VIEW {role}.users SET (security_invoker = false)"), Direction::Wider, "rights of its owner"),
        (
            format!(
                "CREATE OR REPLACE VIEW {role}.countries WITH (security_invoker = true) AS SELECT code, name || '!' AS name, eu FROM public.countries"
            ),
            Direction::Wider,
            "plain choice of columns",
        ),
        ("GRANT EXECUTE ON FUNCTION pg_notify(text, text) TO PUBLIC".to_owned(), Direction::Wider, "pg_notify"),
        ("GRANT USAGE ON SCHEMA public TO PUBLIC".to_owned(), Direction::Wider, "schema `public`"),
        ("GRANT USAGE ON LANGUAGE plpgsql TO PUBLIC".to_owned(), Direction::Wider, "language `plpgsql`"),
    ];
    for (change, direction, what) in changes {
        PostgresServer::shared().run_sql(&database, &change);
        let drifts = drift(&objects, &read(&database));
        assert!(drifts.iter().any(|it| it.direction == direction && it.what.contains(what)), "{change}: {drifts:?}");
        apply(&database, &compiled);
        assert_eq!(drift(&objects, &read(&database)), [], "after applying again: {change}");
    }
    assert!(read(&database).tables.iter().any(|table| table.name == name("public.users")));
}
