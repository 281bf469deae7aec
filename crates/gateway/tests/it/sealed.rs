//! Sealed cells: ciphertext in the database, opened only in the stream, only for who may read the column.

use crate::stage::{Stage, runtime, server};
use futures_util::StreamExt as _;
use std::{collections::BTreeMap, fs};
use tokio_postgres::{Client, SimpleQueryMessage, error::SqlState};
use vigie_gateway::{
    gateway::seal_keys,
    sealed::{
        MARK, SealKeys,
        column::{Held, SealError, SealedColumn},
    },
};
use vigie_testkit::platform_database::SHOWN;

const READER: &str = "jeanne@pixelle.example";

/// A deployment whose map seals names of people; they are not sealed yet.
fn stage() -> Stage {
    Stage::with(200, |config| {
        let map = fs::read_to_string(&config.policy.map).expect("the map is there");
        let name = "name = \"display_name\"\n";
        let sealed = map.replace(name, &format!("{name}sealed = true\n"));
        assert_ne!(map, sealed);
        fs::write(&config.policy.map, sealed).expect("the map can be written");
        let keys = config.policy.map.with_file_name("cells.keys");
        fs::write(&keys, format!("# of this test\n{}\n", "5a".repeat(32))).expect("files can be written");
        config.seal_keys = Some(keys);
    })
}

fn keys(stage: &Stage) -> SealKeys {
    let path = stage.gateway.config().seal_keys.clone().expect("it was set");
    SealKeys::parse(&fs::read_to_string(path).expect("it is there")).expect("keys")
}

fn names(stage: &Stage) -> SealedColumn {
    SealedColumn::find(&stage.gateway.epoch().compiled.map, "public.users.display_name").expect("it is sealed")
}

async fn owner(stage: &Stage) -> Client {
    crate::stage::connect(&server().address(&stage.database)).await
}

async fn simple(client: &Client, sql: &str) -> Vec<Vec<String>> {
    let came = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let rows = came.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    rows.map(|row| (0..row.len()).map(|at| row.get(at).unwrap_or("NULL").to_owned()).collect()).collect()
}

#[test]
fn a_sealed_name_opens_for_who_may_read_it_and_is_ciphertext_everywhere_else() {
    let stage = stage();
    let (keys, names) = (keys(&stage), names(&stage));
    let truth: BTreeMap<String, String> = stage
        .raw("SELECT id || '|' || display_name FROM users WHERE id <= 50")
        .lines()
        .filter_map(|line| line.split_once('|'))
        .map(|(id, name)| (id.to_owned(), name.to_owned()))
        .collect();
    let is_true = |rows: &[Vec<String>]| {
        assert!(rows.len() > 40, "{}", rows.len());
        rows.iter().for_each(|row| assert_eq!(truth.get(&row[0]), row.get(1), "person {}", row[0]));
    };
    runtime().block_on(async {
        let mut owner = owner(&stage).await;
        let client = stage.connect(READER, Some("service-provision")).await;
        let sql = "SELECT id, display_name FROM users WHERE id <= 50";
        is_true(&simple(&client, sql).await);
        assert!(stage.gateway.metrics.unsealed_cells.value() > 40, "what is not sealed yet is counted");

        assert_eq!(names.held(&mut owner).await.expect("counted"), Held { sealed: 0, clear: 200, of_nobody: 0 });
        assert_eq!(names.seal(&mut owner, &keys).await.expect("sealed"), 200);
        assert_eq!(names.held(&mut owner).await.expect("counted"), Held { sealed: 200, clear: 0, of_nobody: 0 });
        assert_eq!(names.seal(&mut owner, &keys).await.expect("sealed"), 0, "again, there is nothing to do");
        let dumped = stage.raw("SELECT * FROM users");
        assert!(truth.values().filter(|name| name.len() > 6).all(|name| !dumped.contains(&format!("|{name}|"))));

        is_true(&simple(&client, sql).await);
        let opened = stage.gateway.metrics.opened_cells.value();
        assert!(opened > 40, "{opened}");
        let binary = client.query("SELECT id, display_name FROM users WHERE id <= $1", &[&50_i64]).await.expect("rows");
        is_true(&binary.iter().map(|row| vec![row.get::<_, i64>(0).to_string(), row.get(1)]).collect::<Vec<_>>());
        let copied = client.copy_out(format!("COPY ({sql}) TO STDOUT WITH (FORMAT csv)").as_str()).await.expect("COPY");
        let copied: Vec<_> = copied.map(|part| part.expect("data")).collect::<Vec<_>>().await;
        let copied = String::from_utf8(copied.concat()).expect("text");
        let lines = copied.lines().filter_map(|line| line.split_once(','));
        is_true(&lines.map(|(id, name)| vec![id.to_owned(), name.trim_matches('"').to_owned()]).collect::<Vec<_>>());
        // Two people in a row, and both names.
        let pairs = simple(
            &client,
            "SELECT a.id, a.display_name, b.id, b.display_name FROM users a JOIN users b ON b.id = a.id + 1 WHERE a.id < 50",
        )
        .await;
        is_true(&pairs);
        is_true(&pairs.iter().map(|row| row[2..].to_vec()).collect::<Vec<_>>());
        let about = stage.gateway.account.access_report(b"7").await.expect("the vault is there");
        assert!(about.iter().any(|access| format!("{access:?}").contains("display_name")), "it is accounted for");

        let shown = truth.get(&SHOWN.id.to_string()).expect("the planted person");
        for computed in ["upper(display_name)", "display_name || ''", "left(display_name, 9)"] {
            let rows = simple(&client, &format!("SELECT id, {computed} FROM users WHERE id = {}", SHOWN.id)).await;
            assert!(rows[0][1].to_lowercase().starts_with(MARK), "{computed}: {rows:?}");
        }
        let sql = format!("SELECT id, display_name::int FROM users WHERE id = {}", SHOWN.id);
        let error = format!("{:?}", client.simple_query(&sql).await.expect_err("no number"));
        assert!(!error.contains(shown) && !error.contains(MARK), "{error}");

        let analyst = stage.connect(READER, Some("analytics")).await;
        let error = analyst.query("SELECT id, display_name FROM users", &[]).await.expect_err("not for analysts");
        assert_eq!(error.code(), Some(&SqlState::UNDEFINED_COLUMN), "{error:?}");
    });
    let epoch = stage.gateway.epoch();
    let (table, column) = ("public.users".parse().expect("a table"), "display_name".parse().expect("a column"));
    assert!(epoch.compiled.roles.iter().any(|role| role.rights.may_read(&table, &column)));
    assert!(
        epoch.compiled.roles.iter().all(|role| !role.rights.may_write(&table, &column)),
        "nobody writes it unsealed"
    );
}

#[test]
fn a_cell_that_was_moved_or_changed_stays_sealed_and_is_counted() {
    let stage = stage();
    let (keys, names) = (keys(&stage), names(&stage));
    runtime().block_on(async {
        let mut owner = owner(&stage).await;
        names.seal(&mut owner, &keys).await.expect("sealed");
        let own = names.cell(&keys, "5", "Sealed by hand").expect("a cell");
        stage.raw(&format!(
            "UPDATE users SET display_name = (SELECT display_name FROM users WHERE id = 3) WHERE id = 4; \
             UPDATE users SET display_name = '{own}' WHERE id = 5; \
             UPDATE users SET display_name = overlay(display_name placing '0000' from 60) WHERE id = 6"
        ));
        let client = stage.connect(READER, Some("service-provision")).await;
        let rows = simple(&client, "SELECT id, display_name FROM users WHERE id BETWEEN 3 AND 6 ORDER BY id").await;
        assert!(!rows[0][1].starts_with(MARK), "{rows:?}");
        assert!(rows[1][1].starts_with(MARK) && rows[3][1].starts_with(MARK), "{rows:?}");
        assert_eq!(rows[2][1], "Sealed by hand");
        assert_eq!(stage.gateway.metrics.closed_cells.value(), 2);
    });
}

#[test]
fn a_map_that_seals_needs_keys_and_only_what_it_seals_is_sealed() {
    let stage = stage();
    let map = &stage.gateway.epoch().compiled.map;
    let mut config = stage.gateway.config().clone();
    let path = config.seal_keys.take().expect("it was set");
    let error = vigie_gateway::in_full(&seal_keys(&config, map).expect_err("no keys"));
    assert!(
        error.contains("it seals `public.users.display_name`, and the configuration has no `seal_keys`"),
        "{error}"
    );
    fs::write(&path, "not a key").expect("files can be written");
    let error = runtime().block_on(stage.gateway.reload()).expect_err("no key");
    assert!(vigie_gateway::in_full(&error).contains("line 1 is no key of 64 hexadecimal digits"), "{error:?}");
    let find = |name: &str| SealedColumn::find(map, name).expect_err(name);
    assert!(matches!(find("display_name"), SealError::NotAColumn(_)));
    assert!(matches!(find("public.users.nothing"), SealError::Unknown(_)));
    assert!(matches!(find("public.users.email"), SealError::NotSealed(_)));
}
