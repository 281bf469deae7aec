//! A policy and a live PostgreSQL: read, applied, compared, sampled, and reached by TLS.

mod tls;

use std::io::Write as _;
use std::process::{Command, Stdio};
use tokio_postgres::Client;
use vigie_choices::Choices;
use vigie_database::{
    DatabaseError, Plan, SAMPLE_ROWS, TlsRoots, apply, connect, draft, drift, lint, parse_address, read_catalog,
    sample_shapes,
};
use vigie_policy::{
    Compiled, DataMap, Zones, catalog, compile,
    drift::Direction,
    lint::{Gravity, Rule},
    names::{ColumnName, PolicyName, RoleName},
    sql::quote_identifier,
};
use vigie_testkit::postgres::PostgresServer;

const SAMPLE: &str = "
CREATE TABLE public.users (id bigint PRIMARY KEY, email text, phone text, display_name text, country text,
  birth_year int, ip inet, created_at timestamptz NOT NULL DEFAULT '2026-01-01', pmask bigint NOT NULL DEFAULT 0);
CREATE TABLE public.videos (id bigint PRIMARY KEY, author bigint NOT NULL REFERENCES public.users, title text,
  visibility text, views bigint, created_at timestamptz DEFAULT '2026-01-01', pmask bigint NOT NULL DEFAULT 0);
CREATE TABLE public.events (id bigint PRIMARY KEY, subject bigint NOT NULL REFERENCES public.users, kind text,
  amount_minor bigint, device text, ts timestamptz DEFAULT '2026-01-01', pmask bigint NOT NULL DEFAULT 0);
CREATE TABLE public.messages (id bigint PRIMARY KEY, sender bigint NOT NULL, recipient bigint, body text,
  sent_at timestamptz DEFAULT '2026-01-01', pmask bigint NOT NULL DEFAULT 0);
CREATE TABLE public.payments (id bigint PRIMARY KEY, subject bigint NOT NULL, iban text, amount_minor bigint,
  currency text, paid_at timestamptz DEFAULT '2026-01-01', pmask bigint NOT NULL DEFAULT 0);
CREATE TABLE public.countries (code text PRIMARY KEY, name text, eu boolean);
CREATE INDEX ON videos (author); CREATE INDEX ON events (subject); CREATE INDEX ON messages (sender);
CREATE INDEX ON payments (subject);
INSERT INTO public.users SELECT i, 'u' || i || '@example.org', '+47 900 00 ' || lpad(i::text, 3, '0'), 'User ' || i, 'NO', 1980 + i % 30,
  '192.0.2.1'::inet + i FROM generate_series(1, 200) i;
INSERT INTO public.payments SELECT i, 1 + i % 200, 'NO93860111179' || lpad(i::text, 3, '0'), i, 'NOK' FROM generate_series(1, 200) i;
INSERT INTO public.events SELECT i, 1 + i % 200, 'like', i, 'phone ' || i FROM generate_series(1, 200) i;
";

fn compiled(name: &str) -> Compiled {
    let map = include_str!("../../../../fixtures/policy/map.toml")
        .replace("name = \"pixelle\"", &format!("name = \"{name}\""));
    let zones = include_str!("../../../../fixtures/policy/zones.toml");
    let policies = [
        ("analytics", include_str!("../../../../fixtures/policy/policies/analytics.cedar")),
        ("fraud", include_str!("../../../../fixtures/policy/policies/fraud.cedar")),
        ("limits", include_str!("../../../../fixtures/policy/policies/limits.cedar")),
        ("moderation", include_str!("../../../../fixtures/policy/policies/moderation.cedar")),
        ("partners", include_str!("../../../../fixtures/policy/policies/partners.cedar")),
        ("service", include_str!("../../../../fixtures/policy/policies/service.cedar")),
    ]
    .map(|(name, text)| (PolicyName::new(name).unwrap(), text.to_owned()));
    let map = DataMap::parse(&map).unwrap_or_else(|errors| panic!("{errors}"));
    let zones = Zones::parse(zones).unwrap_or_else(|errors| panic!("{errors}"));
    compile(map, zones, &policies).unwrap_or_else(|errors| panic!("{errors}"))
}

async fn client(database: &str) -> Client {
    let address = parse_address(&PostgresServer::shared().address(database), None).unwrap();
    connect(&address, &TlsRoots::default()).await.unwrap()
}

/// A verifier that differs by role, and is the same every time; no password fits it.
fn verifier(role: &RoleName) -> String {
    let salt: String =
        role.as_str().chars().filter(char::is_ascii_alphanumeric).chain("A".repeat(21).chars()).take(21).collect();
    format!("SCRAM-SHA-256$4096:{salt}A==${}A=:{}A=", "B".repeat(42), "C".repeat(42))
}

async fn settled(client: &mut Client, map: &DataMap) -> Choices {
    let (choices, _) = Choices::install(client, map).await.unwrap_or_else(|error| panic!("{error:?}"));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !choices.work_off(client, 1000).await.unwrap().is_idle() {
        assert!(std::time::Instant::now() < deadline, "work does not end");
    }
    choices
}

#[tokio::test]
async fn a_policy_is_applied_once_then_nothing_changes_and_nothing_differs() {
    let server = PostgresServer::shared();
    let database = server.new_database();
    server.run_sql(&database, SAMPLE);
    let compiled = compiled("applied");
    let mut client = client(&database).await;
    let none = apply(&mut client, &compiled, &verifier, Plan::CarryOut).await.unwrap_err();
    assert!(matches!(none, DatabaseError::NoChoices), "{none}");
    Choices::install(&mut client, &compiled.map).await.unwrap();
    let early = apply(&mut client, &compiled, &verifier, Plan::CarryOut).await.unwrap_err();
    assert!(matches!(&early, DatabaseError::Unready(tables) if tables.len() == 5), "{early}");
    settled(&mut client, &compiled.map).await;

    let dry = apply(&mut client, &compiled, &verifier, Plan::DryRun).await.unwrap();
    assert!(dry.sql.contains("CREATE POLICY") && !dry.sql.contains("4096:"));
    assert!(dry.before.iter().any(|drift| drift.direction == Direction::Narrower));
    assert_eq!(server.run_sql(&database, "SELECT count(*) FROM pg_policy"), "0\n");

    let first = apply(&mut client, &compiled, &verifier, Plan::CarryOut).await.unwrap();
    assert!(first.changed.contains(&"roles") && first.changed.contains(&"row policies"), "{:?}", first.changed);
    assert_eq!(drift(&mut client, &compiled).await.unwrap(), []);
    let second = apply(&mut client, &compiled, &verifier, Plan::CarryOut).await.unwrap();
    assert_eq!((second.changed, second.before), (vec![], vec![]));
    assert_eq!(second.sql, first.sql);
    let (_, report) = Choices::install(&mut client, &compiled.map).await.unwrap();
    assert!(report.is_unchanged(), "{report:?}");
}

#[tokio::test]
async fn what_somebody_changed_is_seen_as_drift_and_put_back() {
    let server = PostgresServer::shared();
    let database = server.new_database();
    server.run_sql(&database, SAMPLE);
    let compiled = compiled("drifts");
    let mut client = client(&database).await;
    settled(&mut client, &compiled.map).await;
    apply(&mut client, &compiled, &verifier, Plan::CarryOut).await.unwrap();
    let role = compiled.roles.iter().find(|role| !role.rights.is_empty()).unwrap();
    let quoted = quote_identifier(role.name.as_str());
    server.run_sql(
        &database,
        &format!(
            "GRANT SELECT ON users TO {quoted}; ALTER ROLE {quoted} BYPASSRLS;
             ALTER TABLE events NO FORCE ROW LEVEL SECURITY;
             GRANT EXECUTE ON FUNCTION pg_notify(text, text) TO PUBLIC; GRANT USAGE ON SCHEMA public TO PUBLIC;"
        ),
    );
    let found = drift(&mut client, &compiled).await.unwrap();
    let wider: Vec<&str> =
        found.iter().filter(|it| it.direction == Direction::Wider).map(|it| it.on.as_str()).collect();
    for on in [&format!("role `{}`", role.name), "table `public.users`", "table `public.events`", "PUBLIC"] {
        assert!(wider.contains(&on), "{on} not in {wider:?}");
    }
    let again = apply(&mut client, &compiled, &verifier, Plan::CarryOut).await.unwrap();
    assert_eq!(again.changed, ["roles", "relations", "grants"]);
    assert_eq!(drift(&mut client, &compiled).await.unwrap(), []);
}

#[tokio::test]
async fn masks_follow_people_through_the_roles_of_a_policy() {
    let server = PostgresServer::shared();
    let database = server.new_database();
    server.run_sql(&database, SAMPLE);
    let compiled = compiled("follows");
    let mut client = client(&database).await;
    let choices = settled(&mut client, &compiled.map).await;
    apply(&mut client, &compiled, &verifier, Plan::CarryOut).await.unwrap();
    // A role that reads users, for a purpose that a person may refuse and that needs no consent.
    let (role, purpose) = compiled
        .roles
        .iter()
        .find_map(|role| {
            let purpose = compiled.map.purpose(role.purpose.as_ref()?.as_str())?;
            let reads = role.rights.tables().any(|(table, _)| table.to_string() == "public.users");
            let refusable = purpose.basis.may_be_refused() && purpose.basis.permits_without_choice();
            (reads && refusable && role.kind == vigie_policy::RoleKind::Record).then_some((role, purpose))
        })
        .expect("the example has one");
    let count = || as_role(&database, role.name.as_str(), "SELECT count(id) FROM users");
    assert_eq!(count().trim(), "200");
    let subject = vigie_choices::Subject::parse(choices.subject_type(), "7").unwrap();
    let evidence = vigie_choices::Evidence {
        recipient: String::new(),
        decided_at: std::time::SystemTime::now(),
        method: "test".into(),
        notice: String::new(),
        wording_hash: None,
        language: String::new(),
    };
    let state = vigie_choices::State::Refused;
    choices.record(&client, &subject, purpose.name.as_str(), state, &evidence).await.unwrap();
    assert_eq!(count().trim(), "199");
    // With row-level security forced, the owner's own functions still reach every row.
    assert_eq!(choices.check(&mut client, 100).await.unwrap().iter().filter(|it| !it.is_pending()).count(), 0);
}

/// Runs SQL in a session of a role; the loopback needs no password.
fn as_role(database: &str, role: &str, sql: &str) -> String {
    let server = PostgresServer::shared();
    let mut psql = Command::new(server.program("psql"));
    psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", role, "-d", database, "-f", "-"]);
    psql.args(["-p", &server.port().to_string()]);
    psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = psql.spawn().unwrap();
    child.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn the_catalog_is_read_as_it_is() {
    let server = PostgresServer::shared();
    let database = server.new_database();
    server.run_sql(
        &database,
        "CREATE SCHEMA \"Odd schema\"; CREATE ROLE catalog_reader NOLOGIN; CREATE ROLE catalog_member LOGIN CONNECTION LIMIT 3;
         GRANT catalog_reader TO catalog_member; ALTER ROLE catalog_member SET statement_timeout = '5s';
         CREATE TABLE \"Odd schema\".\"T\"\"1\" (a int NOT NULL, \"B b\" text, gone int, d text[], PRIMARY KEY (\"B b\", a));
         ALTER TABLE \"Odd schema\".\"T\"\"1\" DROP COLUMN gone;
         ALTER TABLE \"Odd schema\".\"T\"\"1\" ENABLE ROW LEVEL SECURITY;
         CREATE POLICY p ON \"Odd schema\".\"T\"\"1\" AS RESTRICTIVE FOR UPDATE TO catalog_reader USING (a > 0) WITH CHECK (a > 1);
         CREATE INDEX like_b ON \"Odd schema\".\"T\"\"1\" USING btree (\"B b\" text_pattern_ops, lower(\"B b\")) WHERE a > 5;
         CREATE UNLOGGED TABLE child (a int, b text, FOREIGN KEY (b, a) REFERENCES \"Odd schema\".\"T\"\"1\", self int);
         ALTER TABLE child ADD PRIMARY KEY (a); ALTER TABLE child ADD FOREIGN KEY (self) REFERENCES child (a);
         CREATE VIEW v WITH (security_invoker = on) AS SELECT c.b AS x FROM child c;
         GRANT SELECT ON child TO PUBLIC; GRANT UPDATE (b) ON child TO catalog_reader; GRANT CREATE ON SCHEMA public TO catalog_reader;
         CREATE FUNCTION f(x int) RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS 'BEGIN END';
         CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
         CREATE TRIGGER g BEFORE INSERT ON child FOR EACH ROW EXECUTE FUNCTION g(); ALTER TABLE child DISABLE TRIGGER g;"
            .replace("f(x int) RETURNS trigger", "f(x int) RETURNS int")
            .as_str(),
    );
    let mut client = client(&database).await;
    let catalog = read_catalog(&mut client).await.unwrap();
    assert!(catalog.server_version >= 150_000);
    let table = catalog.tables.iter().find(|table| table.name.name == "T\"1").unwrap();
    assert_eq!(table.name.schema.as_str(), "Odd schema");
    let columns: Vec<_> =
        table.columns.iter().map(|it| (it.name.as_str(), it.type_name.as_str(), it.attnum, it.not_null)).collect();
    assert_eq!(columns, [("a", "integer", 1, true), ("B b", "text", 2, true), ("d", "text[]", 4, false)]);
    assert_eq!(table.primary_key.iter().map(ColumnName::as_str).collect::<Vec<_>>(), ["B b", "a"]);
    assert_eq!((table.rls_enabled, table.rls_forced, table.unlogged), (true, false, false));
    let policy = &catalog.policies[0];
    assert_eq!((policy.permissive, policy.command), (false, catalog::Command::Update));
    assert_eq!(policy.using.as_deref(), Some("(a > 0)"));
    assert_eq!(policy.with_check.as_deref(), Some("(a > 1)"));
    assert_eq!(policy.roles.iter().map(RoleName::as_str).collect::<Vec<_>>(), ["catalog_reader"]);
    let index = catalog.indexes.iter().find(|index| index.name == "like_b").unwrap();
    assert_eq!(index.operator_classes, ["text_pattern_ops", "text_ops"]);
    assert_eq!(index.columns.iter().map(ColumnName::as_str).collect::<Vec<_>>(), ["B b"]);
    assert_eq!((index.predicate.as_deref(), index.expression.as_deref()), (Some("(a > 5)"), Some("lower(\"B b\")")));
    let child = catalog.tables.iter().find(|table| table.name.name == "child").unwrap();
    assert!(child.unlogged);
    assert_eq!(catalog.foreign_keys.len(), 1, "of one column only");
    assert_eq!(catalog.foreign_keys[0].to_column.as_str(), "a");
    let view = &catalog.views[0];
    assert_eq!((view.security_invoker, view.security_barrier), (true, false));
    assert_eq!(view.reads, std::slice::from_ref(&child.name));
    assert_eq!(view.columns[0].as_str(), "x");
    let member = catalog.roles.iter().find(|role| role.name.as_str() == "catalog_member").unwrap();
    assert_eq!((member.login, member.connection_limit, member.superuser), (true, 3, false));
    assert_eq!(member.member_of.iter().map(RoleName::as_str).collect::<Vec<_>>(), ["catalog_reader"]);
    assert_eq!(member.settings.iter().collect::<Vec<_>>(), ["statement_timeout=5s"]);
    assert!(catalog.table_grants.iter().any(|it| it.role.is_none() && it.privilege == catalog::Privilege::Select));
    assert_eq!(catalog.column_grants.len(), 1);
    assert_eq!(
        (catalog.column_grants[0].column.as_str(), catalog.column_grants[0].privilege),
        ("b", catalog::Privilege::Update)
    );
    assert!(catalog.schema_grants.iter().any(|it| it.create && it.role.as_str() == "catalog_reader"));
    let function = catalog.functions.iter().find(|it| it.name.name == "f").unwrap();
    assert_eq!(function.arguments, "x integer");
    assert!(function.security_definer && function.fixed_search_path && function.public_execute && function.volatile);
    assert_eq!(catalog.triggers.len(), 1);
    assert!(!catalog.triggers[0].enabled);
    assert!(catalog.public.database.contains("CONNECT") && catalog.public.languages.contains("plpgsql"));
    assert!(catalog.public.functions.iter().any(|it| it.starts_with("pg_notify(")));
    assert!(catalog.public.schemas.iter().any(|it| it.as_str() == "public"));
}

#[tokio::test]
async fn a_database_that_undermines_the_map_is_told_and_not_applied_to() {
    let server = PostgresServer::shared();
    let database = server.new_database();
    server.run_sql(&database, SAMPLE);
    let compiled = compiled("undermined");
    let mut client = client(&database).await;
    settled(&mut client, &compiled.map).await;
    server.run_sql(&database, "ALTER TABLE payments ALTER COLUMN pmask DROP NOT NULL; CREATE INDEX ON events (pmask);");
    let lints = lint(&mut client, &compiled.map).await.unwrap();
    let found = |rule| lints.iter().find(|lint| lint.rule == rule).map(|lint| lint.gravity);
    assert_eq!(found(Rule::MaskType), Some(Gravity::Breach));
    assert_eq!(found(Rule::MaskIndexed), Some(Gravity::Weakness));
    assert_eq!(found(Rule::DefinerPath), None, "our own functions fix their path");
    assert_eq!(found(Rule::DefinerPublic), None, "and are not for everyone");
    let error = apply(&mut client, &compiled, &verifier, Plan::CarryOut).await.unwrap_err();
    assert!(matches!(&error, DatabaseError::Breaches(breaches) if breaches.len() == 1), "{error}");
    assert_eq!(server.run_sql(&database, "SELECT count(*) FROM pg_policy"), "0\n");
}

#[tokio::test]
async fn a_draft_names_what_values_look_like_and_none_of_them() {
    let server = PostgresServer::shared();
    let database = server.new_database();
    server.run_sql(&database, SAMPLE);
    server.run_sql(
        &database,
        "ALTER TABLE users RENAME COLUMN email TO reach;
         CREATE TABLE big AS SELECT i AS id, CASE WHEN i % 2 = 0 THEN '192.0.2.' || i % 256 ELSE 'x' END AS seen
             FROM generate_series(1, 60000) i; ANALYZE big;",
    );
    let mut client = client(&database).await;
    let catalog = read_catalog(&mut client).await.unwrap();
    let shapes = sample_shapes(&mut client, &catalog).await.unwrap();
    let of = |table: &str, column: &str| {
        let key = (format!("public.{table}").parse().unwrap(), column.parse().unwrap());
        shapes[&key]
    };
    let reach = of("users", "reach");
    assert_eq!((reach.sampled, reach.email, reach.phone, reach.ip, reach.iban), (200, 200, 0, 0, 0));
    assert_eq!(of("users", "phone").phone, 200);
    assert_eq!(of("users", "display_name").email, 0);
    let big = of("big", "seen");
    assert!((500..=SAMPLE_ROWS).contains(&big.sampled) && big.ip * 3 > big.sampled, "{big:?}");

    let text = draft(&mut client, &"sampled".parse().unwrap()).await.unwrap();
    assert!(text.contains("\"reach\"") && text.contains("e-mail addresses"), "{text}");
    for value in ["example.org", "User 1", "192.0.2", "+47"] {
        assert!(!text.contains(value), "{value} is in\n{text}");
    }
}
