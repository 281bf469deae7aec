//! The SQL of a compiled policy against a real PostgreSQL: it is accepted, changes nothing the second time, and shows
//! each role exactly the rows and columns that the policy permits.

mod checks;
mod files;
mod live;
mod meaning;
mod pages;
mod sample;
mod size;

use sample::{Outcome, SAMPLE, apply, as_role, compiled, database, each_as_role, name, permitted};
use vigie_policy::{
    Action, Condition, Conditions, DataMap,
    lint::VERSION_FLOORS,
    names::{ColumnName, PurposeName, RoleName, ZoneName},
    sql::{objects, quote_identifier},
};
use vigie_testkit::postgres::PostgresServer;

/// Everything in the catalog that applying a map called `{name}` could change, in a fixed order.
const FINGERPRINT: &str = "
  SELECT 'role', rolname, rolcanlogin, rolinherit, rolsuper, rolbypassrls, rolpassword FROM pg_authid WHERE starts_with(rolname, 'vigie_{name}_') ORDER BY 2;
  SELECT 'setting', setrole::regrole, setconfig FROM pg_db_role_setting WHERE starts_with(setrole::regrole::text, '\"vigie_{name}_') ORDER BY 2;
  SELECT 'class', c.oid::regclass, c.oid, c.relrowsecurity, c.relforcerowsecurity, c.reloptions,
    (SELECT array_agg(x::text ORDER BY x::text) FROM unnest(coalesce(c.relacl, acldefault('r', c.relowner))) x) FROM pg_class c ORDER BY 2;
  SELECT 'column', attrelid::regclass, attname, (SELECT array_agg(x::text ORDER BY x::text) FROM unnest(attacl) x)
    FROM pg_attribute WHERE attacl IS NOT NULL ORDER BY 2, 3;
  SELECT 'policy', oid, polname, polrelid::regclass, polcmd, pg_get_expr(polqual, polrelid) FROM pg_policy ORDER BY 3, 4;
  SELECT 'schema', nspname, (SELECT array_agg(x::text ORDER BY x::text) FROM unnest(nspacl) x) FROM pg_namespace ORDER BY 2;
  SELECT 'language', lanname, lanacl FROM pg_language ORDER BY 2;
  SELECT 'function', oid::regprocedure, (SELECT array_agg(x::text ORDER BY x::text) FROM unnest(proacl) x) FROM pg_proc ORDER BY oid;
  SELECT 'database', (SELECT array_agg(x::text ORDER BY x::text) FROM unnest(datacl) x) FROM pg_database WHERE datname = current_database();
  SELECT 'member', roleid::regrole, member::regrole FROM pg_auth_members WHERE starts_with(member::regrole::text, '\"vigie_{name}_') ORDER BY 2, 3;
  SELECT 'view', viewname, schemaname, definition FROM pg_views WHERE schemaname LIKE 'vigie%' ORDER BY 3, 2;
";

fn fingerprint(database: &str, map: &str) -> String {
    PostgresServer::shared().run_sql(database, &FINGERPRINT.replace("{name}", map))
}

#[test]
fn applying_again_changes_nothing() {
    let database = database();
    let compiled = compiled("idempotent");
    apply(&database, &compiled);
    let first = fingerprint(&database, "idempotent");
    assert!(first.contains("vigie_idempotent_service-provision_"), "the fingerprint sees the roles");
    apply(&database, &compiled);
    assert_same_lines(&first, &fingerprint(&database, "idempotent"));
}

/// Compares line by line, so that a failure names the one that differs.
fn assert_same_lines(first: &str, second: &str) {
    for (a, b) in first.lines().zip(second.lines()) {
        assert_eq!(a, b);
    }
    assert_eq!(first.lines().count(), second.lines().count());
}

#[test]
fn what_others_change_is_put_back_and_roles_of_an_earlier_policy_go() {
    let database = database();
    let compiled = compiled("restored");
    apply(&database, &compiled);
    let server = PostgresServer::shared();
    let wanted = fingerprint(&database, "restored");
    let context = permitted(&compiled, "service-provision", "eu-staff", true);
    let role = quote_identifier(context.role.as_str());
    server.run_sql(
        &database,
        &format!(
            "CREATE ROLE \"vigie_restored_old-purpose_0123abcd\" LOGIN; CREATE SCHEMA \"vigie_restored_old-purpose_0123abcd\";
             GRANT SELECT ON public.users TO \"vigie_restored_old-purpose_0123abcd\";
             GRANT SELECT ON public.users TO {role}; GRANT UPDATE (pmask) ON public.users TO {role};
             GRANT USAGE ON SCHEMA public TO {role}; ALTER ROLE {role} BYPASSRLS INHERIT;
             GRANT \"vigie_restored_old-purpose_0123abcd\" TO {role};
             GRANT EXECUTE ON FUNCTION pg_notify(text, text) TO PUBLIC;
             ALTER TABLE public.users NO FORCE ROW LEVEL SECURITY;
             CREATE VIEW {role}.extra AS SELECT * FROM public.users;
             DROP VIEW {role}.users; CREATE VIEW {role}.users AS SELECT pmask FROM public.users;
             ALTER POLICY \"vigie_restored_service-provision\" ON public.users USING (true);
             CREATE POLICY \"vigie_restored_other\" ON public.users USING (true);"
        ),
    );
    apply(&database, &compiled);
    // Objects made anew have other numbers; all else is as it was.
    let without_numbers = |text: &str| {
        let bare =
            |line: &str| line.split('|').filter(|field| field.parse::<u64>().is_err()).collect::<Vec<_>>().join("|");
        let mut lines: Vec<String> = text.lines().map(bare).collect();
        lines.sort();
        lines.join("\n")
    };
    assert_same_lines(&without_numbers(&wanted), &without_numbers(&fingerprint(&database, "restored")));
}

#[test]
fn each_role_sees_exactly_the_rows_and_columns_that_are_permitted() {
    let database = database();
    let compiled = compiled("rows");
    apply(&database, &compiled);
    // The oracle reads the raw tables as superuser, and knows nothing of views, grants and row policies.
    for role in compiled.roles.iter().filter(|role| role.purpose.is_some()) {
        let purpose = compiled.map.purpose(role.purpose.as_ref().unwrap().as_str()).unwrap();
        let purpose = purpose.mask();
        let (mut asked, mut expected) = (Vec::new(), Vec::new());
        for table in &compiled.map.tables {
            let bare = quote_identifier(&table.name.name);
            let used = |column: &ColumnName| {
                let rights = role.rights.on(&table.name, column);
                rights.record || rights.aggregate
            };
            let touched = table.columns.iter().any(|it| used(&it.name) || role.rights.may_write(&table.name, &it.name));
            for column in &table.columns {
                let subject = touched && table.subject() == Some(&column.name);
                let column_text = quote_identifier(column.name.as_str());
                asked.push(format!("SELECT {column_text}::text FROM {bare} ORDER BY 1"));
                let filter =
                    if table.governed.is_some() { format!("WHERE pmask & {purpose} <> 0") } else { String::new() };
                let raw = format!("SELECT {column_text}::text FROM public.{bare} {filter} ORDER BY 1");
                expected.push((used(&column.name) || subject).then_some(raw));
            }
            asked.push(format!("SELECT pmask FROM {bare}"));
            asked.push(format!("SELECT 1 FROM public.{bare}"));
            asked.push(format!("SELECT ctid FROM {bare}"));
            expected.extend([None, None, None]);
        }
        for ((statement, outcome), raw) in asked.iter().zip(each_as_role(&database, &role.name, &asked)).zip(expected) {
            match raw {
                Some(raw) => {
                    let rows = Outcome::Rows(PostgresServer::shared().run_sql(&database, &raw));
                    assert_eq!(outcome, rows, "{}: {statement}", role.name);
                }
                None => assert!(matches!(outcome, Outcome::Refused(_)), "{}: {statement}: {outcome:?}", role.name),
            }
        }
    }
}

#[test]
fn rows_appear_and_vanish_with_the_mask() {
    let database = database();
    let compiled = compiled("masks");
    apply(&database, &compiled);
    let role = permitted(&compiled, "analytics", "eu-staff", false).role;
    let count = || match as_role(&database, &role, "SELECT count(*) FROM users") {
        Outcome::Rows(text) => text.trim().parse::<u32>().unwrap(),
        Outcome::Refused(why) => panic!("{why}"),
    };
    let before = count();
    assert!(before > 0);
    let bit = compiled.map.purpose("analytics").unwrap().mask();
    PostgresServer::shared().run_sql(&database, &format!("UPDATE public.users SET pmask = pmask & ~{bit}::bigint"));
    assert_eq!(count(), 0);
}

#[test]
fn a_writer_writes_what_the_policy_says_and_only_rows_of_the_purpose() {
    let database = database();
    let compiled = compiled("writes");
    apply(&database, &compiled);
    let context = permitted(&compiled, "service-provision", "eu-staff", true);
    let table = name("public.users");
    assert!(context.rights.may_write(&table, &name("email")) && !context.rights.may_write(&table, &name("country")));
    let role = &context.role;
    let done = as_role(
        &database,
        role,
        "UPDATE users SET email = 'new@example.org' WHERE id = 1; SELECT email FROM users WHERE id = 1",
    );
    assert_eq!(done, Outcome::Rows("new@example.org\n".into()));
    for refused in [
        "UPDATE users SET country = 'XX' WHERE id = 1",
        "UPDATE users SET pmask = -1 WHERE id = 1",
        "DELETE FROM users WHERE id = 1",
        "TRUNCATE users",
    ] {
        assert!(matches!(as_role(&database, role, refused), Outcome::Refused(_)), "{refused}");
    }
    PostgresServer::shared().run_sql(&database, "UPDATE public.users SET pmask = 0 WHERE id = 2");
    let hidden = "UPDATE users SET email = 'x@example.org' WHERE id = 2";
    assert_eq!(as_role(&database, role, hidden), Outcome::Rows(String::new()));
    let raw = PostgresServer::shared().run_sql(&database, "SELECT email FROM public.users WHERE id = 2");
    assert_ne!(raw.trim(), "x@example.org");
}

#[test]
fn what_everyone_could_do_unasked_is_taken_away() {
    let database = database();
    let compiled = compiled("hardened");
    let role = permitted(&compiled, "fraud-prevention", "eu-fraud", true).role;
    // First it is shown that a plain role can do each of these, so that the refusals below mean something.
    let server = PostgresServer::shared();
    server.run_sql(&database, "CREATE ROLE plain_before_hardening LOGIN");
    let plain: RoleName = name("plain_before_hardening");
    let attacks = [
        "SELECT set_config('application_name', 'x', false)",
        "SELECT pg_notify('c', 'x')",
        "DO $$ BEGIN RAISE NOTICE 'x'; END $$",
        "SELECT query_to_xml('select 1', true, true, '')",
        "SELECT * FROM ts_stat('select ''a''::tsvector')",
        "SELECT count(*) FROM pg_stat_activity",
        "SELECT pg_stat_get_activity(NULL)",
        "SELECT pg_cancel_backend(pg_backend_pid())",
        "SELECT reltuples FROM pg_class LIMIT 1",
        "SELECT pg_relation_size('pg_class')",
        "SELECT n_live_tup FROM pg_stat_all_tables LIMIT 1",
        "CREATE TEMP TABLE t (a int)",
        "SELECT lo_from_bytea(0, 'x')",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_export_snapshot()",
        "SELECT pg_sleep(0)",
        "SELECT pg_get_viewdef('pg_stat_activity'::regclass)",
        "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ];
    let attacks = attacks.map(str::to_owned);
    for (attack, got) in attacks.iter().zip(each_as_role(&database, &plain, &attacks)) {
        // That one ends itself, which shows as much.
        let works =
            matches!(&got, Outcome::Rows(_)) || matches!(&got, Outcome::Refused(why) if why.contains("canceling"));
        assert!(works, "without hardening `{attack}` works: {got:?}");
    }
    apply(&database, &compiled);
    for (attack, got) in attacks.iter().zip(each_as_role(&database, &role, &attacks)) {
        assert!(matches!(got, Outcome::Refused(_)), "`{attack}` still works: {got:?}");
    }
    // A read-only default is no limit: what is refused must be refused without it.
    let writing: Vec<String> =
        attacks.iter().map(|attack| format!("SET default_transaction_read_only = off;\n{attack}")).collect();
    for (attack, got) in attacks.iter().zip(each_as_role(&database, &role, &writing)) {
        assert!(matches!(&got, Outcome::Refused(why) if why.contains("permission denied")), "{attack}: {got:?}");
    }
    for harmless in
        ["SELECT relname FROM pg_class LIMIT 1", "SELECT random() < 2", "SELECT clock_timestamp() IS NOT NULL"]
    {
        assert!(matches!(as_role(&database, &role, harmless), Outcome::Rows(_)), "{harmless}");
    }
    for other in
        ["SET ROLE postgres", "SET SESSION AUTHORIZATION postgres", "SET row_security = off; SELECT id FROM users"]
    {
        assert!(matches!(as_role(&database, &role, other), Outcome::Refused(_)), "{other}");
    }
}

#[test]
fn a_row_policy_of_someone_else_stops_applying() {
    let database = database();
    let compiled = compiled("foreign");
    PostgresServer::shared().run_sql(&database, "CREATE POLICY everyone ON public.users USING (true)");
    let sql = objects(&compiled).to_sql(&|_| "SCRAM-SHA-256$4096:c2FsdA==$a:b".into());
    let got = as_role(&database, &name("postgres"), &sql);
    let Outcome::Refused(why) = got else { panic!("it was applied") };
    assert!(why.contains("policy \"everyone\" on public.users would show rows whatever people chose"), "{why}");
    let left = PostgresServer::shared()
        .run_sql(&database, "SELECT count(*) FROM pg_roles WHERE starts_with(rolname, 'vigie_foreign_')");
    assert_eq!(left.trim(), "0", "nothing of the transaction is left");
}

#[test]
fn odd_names_are_quoted_wherever_they_stand() {
    let server = PostgresServer::shared();
    let database = server.new_database();
    server.run_sql(
        &database,
        r#"CREATE SCHEMA "Odd $vigie$ 'one'"; CREATE TABLE "Odd $vigie$ 'one'"."select ""all"""
           ("Id" bigint NOT NULL, "it's" text, "mask $vigie$ " bigint NOT NULL DEFAULT 1);
           INSERT INTO "Odd $vigie$ 'one'"."select ""all""" VALUES (7, 'seen', 1), (8, 'hidden', 0);"#,
    );
    let map = r#"
        schema = "data-map/1"
        name = "odd"
        subject_type = "bigint"
        [[purpose]]
        name = "service"
        term = "dpv:ServiceProvision"
        bit = 0
        basis = "contract"
        [[table]]
        name = "Odd $vigie$ 'one'.select \"all\""
        owner = "someone"
        subject = "Id"
        mask = "mask $vigie$ "
        residency = "EU"
        retention = "P1Y"
        [[table.column]]
        name = "Id"
        class = "pseudonymous"
        [[table.column]]
        name = "it's"
        class = "personal"
    "#;
    let zones = "schema = \"zones/1\"\n[[zone]]\nname = \"here\"\nentities = [\"E\"]\ncountries = [\"IE\"]\n";
    let policies = [(name("all"), "permit (principal, action, resource);".to_owned())];
    let compiled =
        vigie_policy::compile(DataMap::parse(map).unwrap(), vigie_policy::Zones::parse(zones).unwrap(), &policies)
            .unwrap();
    apply(&database, &compiled);
    let first = fingerprint(&database, "odd");
    apply(&database, &compiled);
    assert_same_lines(&first, &fingerprint(&database, "odd"));
    let context = compiled.context(&name("service"), &name("here"), Conditions::default()).unwrap();
    let got = as_role(&database, &context.role, r#"SELECT "it's" FROM "select ""all""""#);
    assert_eq!(got, Outcome::Rows("seen\n".into()));
}

#[test]
fn operators_of_the_types_that_lint_accepts_are_leakproof_on_this_server() {
    let server = PostgresServer::shared();
    let database = server.new_database();
    let leaky = server.run_sql(
        &database,
        "SELECT t, o.oprname FROM unnest(ARRAY['int2','int4','int8','float4','float8','oid','text','name','uuid','date',
           'timestamptz','timestamp','bytea','bool','money','\"char\"']::regtype[]) t
         JOIN pg_operator o ON o.oprleft = t AND o.oprright = t AND o.oprname IN ('=', '<', '>')
         JOIN pg_proc p ON p.oid = o.oprcode WHERE NOT p.proleakproof",
    );
    assert_eq!(leaky, "");
    let proof = server.run_sql(
        &database,
        "SELECT count(*) FROM unnest(ARRAY['numeric','jsonb','anyarray','tsvector']::regtype[]) t
         JOIN pg_operator o ON o.oprleft = t AND o.oprright = t AND o.oprname = '='
         JOIN pg_proc p ON p.oid = o.oprcode WHERE p.proleakproof",
    );
    assert_eq!(proof.trim(), "0", "what lint warns of is not leakproof");
    let version: u32 = server.run_sql(&database, "SHOW server_version_num").trim().parse().unwrap();
    assert!(VERSION_FLOORS.iter().all(|(major, minor)| version / 10_000 != *major || version % 10_000 >= *minor));
}

#[test]
fn the_sample_gives_work_to_every_check() {
    // Were the sample without hidden rows, or the roles without refusals, the tests above would show nothing.
    let database = database();
    let server = PostgresServer::shared();
    assert!(SAMPLE.contains("CREATE TABLE public.users"));
    for table in ["users", "videos", "events", "messages", "payments"] {
        for bit in 0..6 {
            let counts = server.run_sql(
                &database,
                &format!("SELECT count(*) FILTER (WHERE pmask & {m} <> 0) > 0, count(*) FILTER (WHERE pmask & {m} = 0) > 0 FROM public.{table}", m = 1 << bit),
            );
            assert_eq!(counts.trim(), "t|t", "{table}, bit {bit}");
        }
    }
    let compiled = compiled("sample");
    let needs = Conditions { training: true, ..Conditions::default() };
    let denied = compiled.context(&name::<PurposeName>("moderation"), &name::<ZoneName>("eu-staff"), needs);
    assert!(denied.is_none() && needs.has(Condition::Training));
    assert!(compiled.roles.iter().any(|role| role.rights.aggregate_only()));
    assert!(compiled.roles.iter().any(|role| role.rights.any(Action::Write)));
}
