//! The bundles that the fixture sites left: unaltered, judged the same again, refused when a byte is changed, and
//! accepted by programs nobody here wrote.

use crate::{World, as_described, fixtures, trial};
use libtest_mimic::Trial;
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};
use vigie_evidence::{Bundle, Expected, Key, Options, Writer};
use vigie_inspection::catalogue::{Catalogue, EDITION, fingerprint};

pub fn trials(world: &Arc<World>) -> Vec<Trial> {
    let named = |name: &str, check: fn(&World) -> Result<(), String>| trial(world, format!("bundle::{name}"), check);
    vec![
        named("every_bundle_is_judged_the_same_without_a_browser", judged_again),
        named("a_changed_byte_is_named_and_nothing_is_judged", changed),
        named("a_changed_catalogue_is_shown_as_a_difference", other_rules),
        named("a_day_finds_the_catalogue_that_was_in_force", in_force),
        named("a_visit_that_breaks_off_is_archived_as_far_as_it_got", broken_off),
        named("every_document_is_as_the_schema_says", as_the_schema_says),
        named("warcio_and_py_wacz_accept_bundles", accepted_by_others),
    ]
}

/// Returns the bundles of the fixture sites that were inspected, with the answers.
fn bundles(world: &World) -> Vec<(PathBuf, &Value)> {
    let answers = fixtures::answers(world).values();
    answers.filter_map(|answer| Some((world.out.path().join(answer["evidence"]["bundle"].as_str()?), answer))).collect()
}

fn one(world: &World) -> Result<PathBuf, String> {
    bundles(world).into_iter().map(|(path, _)| path).next().ok_or_else(|| "no site left a bundle".to_owned())
}

fn judged_again(world: &World) -> Result<(), String> {
    let bundles = bundles(world);
    if bundles.len() < 40 {
        return Err(format!("{} bundles were left", bundles.len()));
    }
    for (path, answer) in bundles {
        let output =
            world.vigie(&["judge", "--json"]).arg(&path).env("PATH", "").output().map_err(|e| e.to_string())?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let again: Value =
            serde_json::from_slice(&output.stdout).map_err(|error| format!("{}: {error}: {said}", path.display()))?;
        if again["findings"] != answer["findings"] || again["evidence"] != answer["evidence"] || !said.is_empty() {
            return Err(format!("{}: judged differently: {said}", path.display()));
        }
    }
    Ok(())
}

fn changed(world: &World) -> Result<(), String> {
    let path = one(world)?;
    let mut bytes = std::fs::read(&path).map_err(|error| error.to_string())?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let copy = world.out.path().join("changed.wacz");
    std::fs::write(&copy, bytes).map_err(|error| error.to_string())?;
    let copy = copy.to_string_lossy().into_owned();
    let output = world.run(&["verify", &copy, "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    if output.status.code() != Some(1) || report["problems"][0]["member"].as_str().is_none_or(str::is_empty) {
        return Err(format!("verify: {:?} {report}", output.status.code()));
    }
    let output = world.run(&["judge", &copy]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let refused = output.status.code() == Some(2) && output.stdout.is_empty() && said.contains("was changed since");
    if refused { Ok(()) } else { Err(format!("judge: {:?} {said}", output.status.code())) }
}

fn other_rules(world: &World) -> Result<(), String> {
    let path = one(world)?;
    let folder = world.out.path().join("rules");
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules");
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    for entry in std::fs::read_dir(own).map_err(|error| error.to_string())?.flatten() {
        let text = std::fs::read_to_string(entry.path()).map_err(|error| error.to_string())?;
        let text = text.replace("Refusing costs no more than accepting", "Another title");
        std::fs::write(folder.join(entry.file_name()), text).map_err(|error| error.to_string())?;
    }
    let judge = |rules: &str| {
        let output = world.vigie(&["judge", "--quiet", "--rules", rules]).arg(&path).output();
        output.map(|output| (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    let (code, said) = judge(&folder.to_string_lossy()).map_err(|error| error.to_string())?;
    let is_shown = said.contains("+    \"title\": \"Another title\"");
    if code != Some(1) || !is_shown {
        return Err(format!("another catalogue: {code:?} {said}"));
    }
    let (_, said) = judge("bundle").map_err(|error| error.to_string())?;
    if said.is_empty() { Ok(()) } else { Err(format!("its own catalogue: {said}")) }
}

/// A home folder holds a bundle from the time of another catalogue; its day is asked for, and days around it.
fn in_force(world: &World) -> Result<(), String> {
    let path = one(world)?;
    let home = world.out.path().join("home-of-editions");
    let folder = home.join("campaigns/old");
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let old = folder.join("old.wacz");
    let files: Vec<(String, String)> = Catalogue::texts()
        .filter(|(name, _)| name != EDITION)
        .map(|(name, text)| (name, text.replace("Refusing costs no more than accepting", "An older title")))
        .collect();
    let sha256 = fingerprint(files.iter().map(|(name, text)| (name.as_str(), text.as_str())));
    let edition = format!("schema = \"edition/1\"\nin_force_from = \"2020-05-01\"\nsha256 = \"{sha256}\"\n");
    let write = || -> Result<(), Box<dyn std::error::Error>> {
        let created = "2020-06-01T12:00:00Z".parse()?;
        let options = Options { software: "a test".to_owned(), created, timestamp: Expected::NotExpected };
        let mut writer = Writer::create(&old, options)?;
        for (name, text) in files.iter().map(|(name, text)| (name.as_str(), text)).chain([(EDITION, &edition)]) {
            writer.member(&format!("rules/{name}"), text.as_bytes())?;
        }
        writer.finish(&Key::load_or_create(&home.join("signing-key.pem"))?)?;
        Ok(())
    };
    write().map_err(|error| error.to_string())?;
    let judge = |day: &str| {
        let output = world.vigie(&["judge", "--rules", day]).arg(&path).env("VIGIE_HOME", &home).output();
        output
            .map(|output| (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
            .map_err(|error| error.to_string())
    };
    let own = Catalogue::bundled().edition().ok_or("the program's catalogue has no edition")?.in_force_from.to_string();
    let expect = |day: &str, code: Option<i32>, sentences: &[&str]| {
        let (ended, said) = judge(day)?;
        let wrong = code.is_some_and(|code| ended != Some(code)) || sentences.iter().any(|it| !said.contains(it));
        if wrong { Err(format!("{day}: {ended:?} {said}")) } else { Ok(said) }
    };
    let said = expect(&own, None, &[&format!("in force since {own}, part of this program")])?;
    if said.contains("differ") {
        return Err(format!("today's catalogue gives other findings: {said}"));
    }
    expect("2020-05-01", Some(1), &["in force since 2020-05-01, kept in", "+    \"title\": \"An older title\""])?;
    expect("2020-04-30", Some(2), &["was in force on 2020-04-30; the earliest known is in force since 2020-05-01"])?;
    // What was changed since it was signed is no catalogue.
    let mut bytes = std::fs::read(&old).map_err(|error| error.to_string())?;
    let at = bytes.windows(14).position(|it| it == b"An older title").ok_or("the bundle lacks its rules")?;
    bytes[at] = b'I';
    std::fs::write(&old, bytes).map_err(|error| error.to_string())?;
    expect("2020-05-01", Some(2), &["is left out", "no catalogue of rules is known"])?;
    Ok(())
}

/// The page's renderer dies a second after it loaded, under the only visit there is.
fn broken_off(world: &World) -> Result<(), String> {
    let url = "https://renderer-crash.hostile.test/";
    let answer = world.inspect(&[url.to_owned()], &["--scenarios", "S0", "--timeout", "30"]);
    let answer = answer.get(url).ok_or("there is no answer")?;
    let name = answer["evidence"]["bundle"].as_str().ok_or_else(|| format!("no bundle was left: {answer}"))?;
    let bundle = Bundle::open(&world.out.path().join(name)).map_err(|error| error.to_string())?;
    let read = |member: &str| bundle.read(member, 1 << 20).map_err(|error| error.to_string());
    let record: Value = serde_json::from_slice(&read("visits/0000.json.gz")?).map_err(|error| error.to_string())?;
    let is_failed = record["end"].to_string().contains("broke off before its end");
    let archive = String::from_utf8_lossy(&read("archive/data.warc.gz")?).into_owned();
    let is_archived = archive.contains(&format!("WARC-Target-URI: {url}\r\n")) && archive.contains("HTTP/1.1 200");
    let is_listed = String::from_utf8_lossy(&read("pages/pages.jsonl")?).contains(url);
    if answer["outcome"] == "failed" && is_failed && is_archived && is_listed {
        Ok(())
    } else {
        let end = &record["end"];
        Err(format!("{} {end} archived: {is_archived} listed: {is_listed}", answer["outcome"]))
    }
}

/// By the judgement of a program nobody here wrote.
fn as_the_schema_says(world: &World) -> Result<(), String> {
    let documents: Vec<Value> = fixtures::answers(world).values().cloned().collect();
    as_described("inspection-1.json", &documents)
}

/// These live where `scripts/setup.sh --judges` puts them, which `make test` calls.
fn accepted_by_others(world: &World) -> Result<(), String> {
    let judges = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/judges/bin");
    // Every sixth: each judge takes most of a second to start.
    for (path, _) in bundles(world).into_iter().step_by(6) {
        let archive = world.out.path().join("data.warc.gz");
        let bytes = Command::new("unzip").arg("-p").arg(&path).arg("archive/data.warc.gz").output();
        let bytes = bytes.map_err(|error| format!("unzip: {error}; run `scripts/setup.sh --judges`"))?.stdout;
        std::fs::write(&archive, bytes).map_err(|error| error.to_string())?;
        run(&judges.join("warcio"), &[Path::new("check"), &archive])?;
        run(&judges.join("wacz"), &[Path::new("validate"), Path::new("--file"), &path])?;
    }
    Ok(())
}

fn run(program: &Path, arguments: &[&Path]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{}: {error}; run `scripts/setup.sh --judges`", program.display()))?;
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(()) } else { Err(format!("{} {arguments:?}: {said}", program.display())) }
}
