//! The sample platform in a database, and sessions of its roles.

use std::{
    fmt::{Debug, Write as _},
    io::Write as _,
    process::{Command, Stdio},
    str::FromStr,
};
use vigie_policy::{
    Action, CompileErrors, Compiled, Conditions, Context, DataMap, Zones, compile, names::RoleName, sql::objects,
    zone::Zone,
};
use vigie_testkit::postgres::PostgresServer;

/// The tables of the example deployment, with masks of every kind.
pub const SAMPLE: &str = "
CREATE TABLE public.users (id bigint PRIMARY KEY, email text, phone text, display_name text, country text,
  birth_year int, ip inet, created_at timestamptz NOT NULL DEFAULT '2026-01-01', pmask bigint NOT NULL);
CREATE TABLE public.videos (id bigint PRIMARY KEY, author bigint NOT NULL REFERENCES public.users, title text,
  visibility text, views bigint, created_at timestamptz DEFAULT '2026-01-01', pmask bigint NOT NULL);
CREATE TABLE public.events (id bigint PRIMARY KEY, subject bigint NOT NULL REFERENCES public.users, kind text,
  amount_minor bigint, device text, ts timestamptz DEFAULT '2026-01-01', pmask bigint NOT NULL);
CREATE TABLE public.messages (id bigint PRIMARY KEY, sender bigint NOT NULL, recipient bigint, body text,
  sent_at timestamptz DEFAULT '2026-01-01', pmask bigint NOT NULL);
CREATE TABLE public.payments (id bigint PRIMARY KEY, subject bigint NOT NULL, iban text, amount_minor bigint,
  currency text, paid_at timestamptz DEFAULT '2026-01-01', pmask bigint NOT NULL);
CREATE TABLE public.countries (code text PRIMARY KEY, name text, eu boolean);
INSERT INTO public.users SELECT i, 'u' || i || '@example.org', '+4790000' || i, 'User ' || i, 'NO', 1980 + i % 30,
  '192.0.2.1'::inet + i, timestamptz '2026-01-01', i % 64 FROM generate_series(1, 200) i;
INSERT INTO public.videos SELECT i, 1 + i % 200, 'Film ' || i, 'public', i, timestamptz '2026-01-01', (i * 7) % 64 FROM generate_series(1, 200) i;
INSERT INTO public.events SELECT i, 1 + i % 200, 'like', i, 'phone ' || i, timestamptz '2026-01-01', (i * 5) % 64 FROM generate_series(1, 200) i;
INSERT INTO public.messages SELECT i, 1 + i % 200, i, 'Hello ' || i, timestamptz '2026-01-01', (i * 3) % 64 FROM generate_series(1, 200) i;
INSERT INTO public.payments SELECT i, 1 + i % 200, 'NO93' || i, i, 'NOK', timestamptz '2026-01-01', (i * 11) % 64 FROM generate_series(1, 200) i;
INSERT INTO public.countries VALUES ('NO', 'Norway', false), ('IE', 'Ireland', true);
";

/// What came of a session's SQL.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What it printed.
    Rows(String),
    /// The first error.
    Refused(String),
}

/// Returns a database with the sample.
pub fn database() -> String {
    let server = PostgresServer::shared();
    let database = server.new_database();
    server.run_sql(&database, SAMPLE);
    database
}

/// The example's map, zones and policies.
pub const MAP: &str = include_str!("../../../../fixtures/policy/map.toml");
pub const ZONES: &str = include_str!("../../../../fixtures/policy/zones.toml");
pub const POLICIES: &[(&str, &str)] = &[
    ("analytics", include_str!("../../../../fixtures/policy/policies/analytics.cedar")),
    ("fraud", include_str!("../../../../fixtures/policy/policies/fraud.cedar")),
    ("limits", include_str!("../../../../fixtures/policy/policies/limits.cedar")),
    ("moderation", include_str!("../../../../fixtures/policy/policies/moderation.cedar")),
    ("partners", include_str!("../../../../fixtures/policy/policies/partners.cedar")),
    ("service", include_str!("../../../../fixtures/policy/policies/service.cedar")),
];

/// Returns a name of any kind.
pub fn name<T: FromStr>(text: &str) -> T
where
    T::Err: Debug,
{
    text.parse().unwrap()
}

/// Compiles the example deployment under a name of its own: roles belong to the whole cluster.
pub fn compiled(map: &str) -> Compiled {
    let map = MAP.replace("name = \"pixelle\"", &format!("name = \"{map}\""));
    compile_texts(&map, ZONES, POLICIES).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Compiles other policies over the example's map and zones.
pub fn compile_with(policies: &[(&str, &str)]) -> Result<Compiled, CompileErrors> {
    compile_texts(MAP, ZONES, policies)
}

/// Compiles texts.
pub fn compile_texts(map: &str, zones: &str, policies: &[(&str, &str)]) -> Result<Compiled, CompileErrors> {
    let map = DataMap::parse(map).unwrap_or_else(|errors| panic!("{errors}"));
    let zones = Zones::parse(zones).unwrap_or_else(|errors| panic!("{errors}"));
    let policies: Vec<_> = policies.iter().map(|(file, text)| (name(file), (*text).to_owned())).collect();
    compile(map, zones, &policies)
}

/// Returns why policies are refused.
pub fn refused(policies: &[(&str, &str)]) -> String {
    compile_with(policies).expect_err("the policies are refused").to_string()
}

/// Asks Cedar about all policies together; an answer with an error is a no.
pub fn ask_cedar(
    policies: &str,
    zone: &Zone,
    purpose: &str,
    residency: &str,
    class: &str,
    conditions: Conditions,
    action: Action,
) -> bool {
    let entities = serde_json::json!([
        { "uid": { "type": "Reader", "id": "r" }, "parents": [], "attrs": {
            "zone": zone.name, "entity": zone.entities.first(), "country": zone.countries.first(),
            "groups": zone.groups, "training": conditions.training } },
        { "uid": { "type": "Data", "id": "d" }, "parents": [], "attrs": {
            "class": class, "residency": residency, "purpose": purpose } },
    ]);
    let context = serde_json::json!({
        "ticket": conditions.ticket, "break_glass": conditions.break_glass, "purpose": purpose });
    let request = cedar_policy::Request::new(
        "Reader::\"r\"".parse().unwrap(),
        format!("Action::\"{action}\"").parse().unwrap(),
        "Data::\"d\"".parse().unwrap(),
        cedar_policy::Context::from_json_value(context, None).unwrap(),
        None,
    );
    let entities = cedar_policy::Entities::from_json_value(entities, None).unwrap();
    let policies = policies.parse().unwrap();
    let response = cedar_policy::Authorizer::new().is_authorized(&request.unwrap(), &policies, &entities);
    response.decision() == cedar_policy::Decision::Allow && response.diagnostics().errors().next().is_none()
}

/// Returns the context of trained staff for a purpose.
pub fn permitted(compiled: &Compiled, purpose: &str, zone: &str, ticket: bool) -> Context {
    let conditions = Conditions { ticket, break_glass: false, training: true };
    let context = compiled.context(&purpose.parse().unwrap(), &zone.parse().unwrap(), conditions);
    context.unwrap_or_else(|| panic!("{purpose} from {zone} is permitted")).clone()
}

/// Applies a policy, as the superuser.
pub fn apply(database: &str, compiled: &Compiled) {
    // A verifier of no password that anyone knows; the server trusts the loopback.
    let sql = objects(compiled).to_sql(&|_| {
        "SCRAM-SHA-256$4096:AAAAAAAAAAAAAAAAAAAAAA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".into()
    });
    PostgresServer::shared().run_sql(database, &sql);
}

/// Runs statements one after the other in one session of a role, and returns what came of each.
pub fn each_as_role(database: &str, role: &RoleName, statements: &[String]) -> Vec<Outcome> {
    let mut script = String::from("\\set ON_ERROR_STOP 0\n");
    for statement in statements {
        // The marks say where a statement's rows end, and whether it failed.
        let _ = writeln!(script, "{statement};\n\\echo @@:ERROR @@ :LAST_ERROR_MESSAGE");
    }
    let Outcome::Rows(printed) = as_role(database, role, &script) else { panic!("psql failed as a whole") };
    let (mut outcomes, mut rows) = (Vec::new(), String::new());
    for line in printed.lines() {
        if let Some(mark) = line.strip_prefix("@@true @@ ") {
            outcomes.push(Outcome::Refused(mark.to_owned()));
            rows.clear();
        } else if line.starts_with("@@false @@") {
            outcomes.push(Outcome::Rows(std::mem::take(&mut rows)));
        } else {
            rows.push_str(line);
            rows.push('\n');
        }
    }
    assert_eq!(outcomes.len(), statements.len(), "each statement left its mark: {printed}");
    outcomes
}

/// Runs SQL in a session of a role.
pub fn as_role(database: &str, role: &RoleName, sql: &str) -> Outcome {
    let server = PostgresServer::shared();
    let mut psql = Command::new(server.program("psql"));
    psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", role.as_str(), "-d", database, "-f", "-"]);
    psql.args(["-p", &server.port().to_string()]);
    let mut child =
        psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("psql is installed");
    let mut input = child.stdin.take().expect("it is piped");
    let sql = sql.to_owned();
    let writer = std::thread::spawn(move || input.write_all(sql.as_bytes()));
    let output = child.wait_with_output().expect("psql ends");
    // psql stops reading at the first error, which is then what counts.
    let _ = writer.join();
    if output.status.success() {
        Outcome::Rows(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Outcome::Refused(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
