//! The house rules that a program can check: files introduce themselves, layers hold, cores stay out of the world.
//!
//! They are here because this crate depends on no other, so they run even while the rest does not build. What each
//! protects is told in `ARCHITECTURE.md`; a new room is added there, and to [`ROOMS`], in the same change.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Each room, and the rooms it may build on. Tests of any room may use `testkit` besides.
const ROOMS: [(&str, &[&str]); 23] = [
    ("domain", &[]),
    ("evidence", &[]),
    ("browser", &["domain"]),
    ("banner", &["domain"]),
    ("trackers", &["domain"]),
    ("campaign", &["domain"]),
    ("inspection", &["banner", "browser", "domain", "evidence", "trackers"]),
    ("ledger", &[]),
    ("sequencer", &["ledger"]),
    ("witness", &["ledger"]),
    ("policy", &["domain"]),
    ("statement", &[]),
    ("choices", &["domain", "policy", "sequencer"]),
    ("database", &["choices", "policy"]),
    ("vault", &["ledger"]),
    ("series", &[]),
    ("token", &[]),
    ("consent", &["accounting", "choices", "database", "ledger", "policy", "sequencer", "token", "vault"]),
    ("accounting", &["ledger", "sequencer", "vault"]),
    (
        "gateway",
        &[
            "accounting",
            "choices",
            "database",
            "ledger",
            "policy",
            "sequencer",
            "series",
            "statement",
            "token",
            "vault",
        ],
    ),
    ("transfers", &["accounting", "choices", "ledger", "policy", "sequencer", "vault"]),
    ("testkit", &["domain"]),
    (
        "vigie",
        &[
            "accounting",
            "banner",
            "browser",
            "campaign",
            "choices",
            "consent",
            "database",
            "domain",
            "evidence",
            "gateway",
            "inspection",
            "ledger",
            "policy",
            "sequencer",
            "series",
            "statement",
            "testkit",
            "trackers",
            "transfers",
            "vault",
            "witness",
        ],
    ),
];

/// Rooms that compute and do not touch the world.
const CORES: [&str; 5] = ["domain", "banner", "trackers", "ledger", "policy"];

/// Words by which a core would touch the world. Addresses (`std::net::IpAddr`) are values, sockets are not.
const WORLDLY: [&str; 16] = [
    "std::fs",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "ToSocketAddrs",
    "std::process",
    "fs::read",
    "fs::write",
    "File::open",
    "SystemTime",
    "Instant",
    "Timestamp::now",
    "Zoned::now",
    "tokio",
    "reqwest",
    "env::var",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn manifest(path: &Path) -> toml::Table {
    read(path).parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns all files of one of these extensions below a folder, in order; none if there is no such folder.
fn files_below(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.expect("the folder can be listed").path()) {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden || path.ends_with("target") {
            continue;
        }
        if path.is_dir() {
            found.extend(files_below(&path, extensions));
        } else if path.extension().is_some_and(|it| extensions.iter().any(|wanted| it == *wanted)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Returns the folders of `crates/`, in order.
fn rooms_on_disk() -> BTreeSet<String> {
    fs::read_dir(root().join("crates"))
        .expect("the folder `crates` exists")
        .map(|entry| entry.expect("the folder can be listed").path())
        .filter(|path| path.join("Cargo.toml").exists())
        .map(|path| path.file_name().expect("a folder has a name").to_string_lossy().into_owned())
        .collect()
}

/// Returns the numbered lines of a source that are code of the crate: no comments, and nothing of its tests.
fn code(text: &str) -> Vec<(usize, &str)> {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.windows(2).position(|pair| {
        pair[0].trim() == "#[cfg(test)]" && pair[1].trim_start().starts_with("mod ") && pair[1].ends_with('{')
    });
    lines
        .into_iter()
        .take(tests.unwrap_or(usize::MAX))
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim_start()))
        .filter(|(_, line)| !line.starts_with("//"))
        .collect()
}

/// Returns whether `word` stands in `line` on its own, not as a part of a longer name.
fn has_word(line: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(is_name) && (word.contains("::") || !line[at + word.len()..].starts_with(is_name))
    })
}

/// Returns whether a grouped import such as `use std::{fmt, fs};` brings in a module that touches the world.
fn imports_the_world(line: &str) -> bool {
    line.starts_with("use std::{")
        && line.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|name| ["fs", "process"].contains(&name))
}

#[test]
fn every_source_file_introduces_itself() {
    for folder in ["crates", "fuzz", "benches", "xtask"] {
        for path in files_below(&root().join(folder), &["rs"]) {
            assert!(read(&path).starts_with("//! "), "{} does not open with `//!` and what it is", path.display());
        }
    }
}

#[test]
fn the_rooms_are_the_ones_on_the_map() {
    let known: BTreeSet<String> = ROOMS.iter().map(|(room, _)| (*room).to_owned()).collect();
    assert_eq!(rooms_on_disk(), known, "a new room is added to ROOMS and to ARCHITECTURE.md in the same change");
    let map = read(&root().join("ARCHITECTURE.md"));
    for room in known {
        assert!(map.contains(&format!("| `{room}` |")), "ARCHITECTURE.md does not map `{room}`");
    }
}

#[test]
fn layers_hold() {
    for (room, allowed) in ROOMS {
        let manifest = manifest(&root().join("crates").join(room).join("Cargo.toml"));
        let per_target = manifest.get("target").and_then(toml::Value::as_table).into_iter().flatten();
        for table in per_target.filter_map(|(_, table)| table.as_table()).chain([&manifest]) {
            for section in ["dependencies", "build-dependencies", "dev-dependencies"] {
                for name in table.get(section).and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::keys) {
                    let Some(other) = name.strip_prefix("vigie-") else { continue };
                    let for_tests = section == "dev-dependencies" && other == "testkit";
                    assert!(allowed.contains(&other) || for_tests, "`{room}` may not build on `{other}` ({section})");
                }
            }
        }
    }
}

#[test]
fn a_dependency_is_declared_once_in_the_workspace() {
    for room in rooms_on_disk() {
        let manifest = manifest(&root().join("crates").join(&room).join("Cargo.toml"));
        for section in ["dependencies", "build-dependencies", "dev-dependencies"] {
            for (name, entry) in manifest.get(section).and_then(toml::Value::as_table).into_iter().flatten() {
                let inherited = entry.get("workspace").and_then(toml::Value::as_bool) == Some(true);
                assert!(inherited, "`{room}` states `{name}` itself; write `{name}.workspace = true`");
            }
        }
    }
}

#[test]
fn every_dependency_has_its_reason() {
    let reasons = read(&root().join("docs/dependencies.md"));
    let workspace = manifest(&root().join("Cargo.toml"));
    let declared = workspace["workspace"]["dependencies"].as_table().expect("the workspace declares dependencies");
    for name in declared.keys().filter(|name| !name.starts_with("vigie-")) {
        assert!(reasons.contains(&format!("| `{name}` |")), "docs/dependencies.md does not say why `{name}` is here");
    }
}

#[test]
fn cores_do_not_touch_the_world() {
    for room in CORES {
        for path in files_below(&root().join("crates").join(room).join("src"), &["rs"]) {
            if path.file_name().is_some_and(|name| name == "tests.rs") {
                continue;
            }
            let text = read(&path);
            for (number, line) in code(&text) {
                let word = WORLDLY.into_iter().find(|word| has_word(line, word));
                let place = format!("{}:{number}", path.display());
                assert!(
                    word.is_none(),
                    "{place}: `{}` in a core, which takes values and returns values",
                    word.unwrap()
                );
                assert!(!imports_the_world(line), "{place}: a core takes values and returns values: `{line}`");
            }
        }
    }
}

#[test]
fn clicks_are_real_input_and_the_browser_listens_on_no_port() {
    for room in ["browser", "inspection"] {
        for path in files_below(&root().join("crates").join(room).join("src"), &["rs", "js"]) {
            let text = read(&path);
            for (number, line) in code(&text) {
                let place = format!("{}:{number}", path.display());
                assert!(!line.contains(".click()"), "{place}: a person's click is input at a place, not `.click()`");
                assert!(!line.contains("remote-debugging-port"), "{place}: the browser is driven over a pipe");
            }
        }
    }
}

#[test]
fn evidence_knows_neither_browsers_nor_banners() {
    for path in files_below(&root().join("crates/evidence/src"), &["rs"]) {
        let text = read(&path);
        for (number, line) in code(&text) {
            let word = ["tokio", "chromium", "banner", "cookie"].into_iter().find(|word| line.contains(word));
            assert!(word.is_none(), "{}:{number}: bundles are of anything: `{line}`", path.display());
        }
    }
}

#[test]
fn a_judgement_never_needs_a_browser() {
    let src = root().join("crates/inspection/src");
    for path in files_below(&src, &["rs"]) {
        let inside = path.strip_prefix(&src).expect("found below it").to_string_lossy().into_owned();
        if ["judge", "rules"].iter().any(|module| inside.starts_with(module)) {
            assert!(!read(&path).contains("vigie_browser"), "{}: judges evidence, not a browser", path.display());
        }
    }
}
