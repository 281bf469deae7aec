//! The fixture sites and the sample platform: their truth parses, agrees with itself, and their files are served.

use crate::client::{Outcome, get};
use std::{collections::BTreeSet, fs, path::Path};
use vigie_testkit::{
    SiteServer, demo,
    expected::{Expected, fixture_sites, read_all},
};

/// The parts of a site's truth that depend on one another do agree.
fn check(id: &str, expected: &Expected) {
    assert!(!expected.about.is_empty(), "{id} says what it is about");
    assert_eq!(expected.banner, expected.place.is_some(), "{id}: where");
    assert_eq!(expected.banner, expected.language.is_some(), "{id}: language");
    assert_eq!(expected.banner, expected.first_layer.is_some(), "{id}: first_layer");
    let clicks = [
        ("accept", expected.clicks.accept),
        ("refuse", expected.clicks.refuse),
        ("withdraw", expected.clicks.withdraw),
    ];
    for (choice, clicks) in clicks {
        let path = expected.paths.get(choice).map(Vec::len);
        assert_eq!(clicks.map(usize::from), path, "{id}: clicks and path of {choice}");
    }
    if let Some(first) = expected.first_layer {
        assert_eq!(
            first.refuse,
            expected.clicks.refuse == Some(1),
            "{id}: refusing on the first layer takes one click"
        );
    }
    let scenarios: BTreeSet<&str> = expected.cookies.keys().map(String::as_str).collect();
    let played = [
        ("S0", true),
        ("S1", expected.clicks.refuse.is_some()),
        ("S2", expected.clicks.accept.is_some()),
        ("S3", expected.clicks.withdraw.is_some()),
    ];
    let played: BTreeSet<&str> = played.into_iter().filter(|(_, can)| *can).map(|(code, _)| code).collect();
    assert_eq!(scenarios, played, "{id}: cookies of every scenario that can be played");
    assert!(expected.cookies.keys().eq(expected.trackers.keys()), "{id}: trackers of the same scenarios");
    for rule in expected.findings.keys() {
        let number = rule.strip_prefix("CK-").and_then(|number| number.parse::<u8>().ok());
        assert!(number.is_some_and(|number| (1..=40).contains(&number)), "{id}: `{rule}` is a rule");
    }
}

#[test]
fn the_truth_of_every_fixture_parses_and_agrees_with_itself() -> Outcome<()> {
    let sites = read_all(&fixture_sites())?;
    assert!(sites.len() >= 35);
    for (id, expected) in &sites {
        check(id, expected);
    }
    let demo = fixture_sites().join("../../demo/clipwave");
    check("demo", &Expected::read(&demo)?);
    Ok(())
}

#[test]
fn the_table_of_fixtures_lists_every_site_and_no_other() -> Outcome<()> {
    let readme = fs::read_to_string(fixture_sites().join("README.md"))?;
    let listed: BTreeSet<String> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(id, _)| id.to_owned())
        // Rows about files are no rows about sites.
        .filter(|id| !id.contains('.'))
        .collect();
    let present: BTreeSet<String> = read_all(&fixture_sites())?.into_iter().map(|(id, _)| id).collect();
    assert_eq!(listed, present);
    Ok(())
}

#[tokio::test]
async fn every_fixture_is_served_under_its_name() -> Outcome<()> {
    let server = SiteServer::builder().folder_of_sites(fixture_sites()).start()?;
    for (id, expected) in read_all(&fixture_sites())? {
        let page = get(&server, &format!("https://{id}.test/")).await?;
        assert_eq!(page.status(), 200, "{id}");
        assert!(page.text().contains("<html lang="), "{id} says its language");
        assert_eq!(get(&server, &format!("http://www.{id}.test/about")).await?.status(), 200, "{id}");
        for host in expected.trackers.values().flatten() {
            assert_ne!(
                get(&server, &format!("http://{host}/")).await?.text(),
                format!("`{host}` is not served here\n")
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_sample_platform_is_compiled_in_whole() -> Outcome<()> {
    let folder = fixture_sites().join("../../demo/clipwave");
    let server = SiteServer::builder().demo().start()?;
    assert_eq!(get(&server, demo::URL).await?.body, fs::read(folder.join("index.html"))?);
    let compiled: BTreeSet<String> = demo::FILES.iter().map(|(path, _)| (*path).to_owned()).collect();
    let mut present = BTreeSet::new();
    list(&folder, "", &mut present)?;
    present.remove("expected.json");
    assert_eq!(compiled, present);
    Ok(())
}

/// Adds the paths of all files below a folder, relative to it.
fn list(folder: &Path, prefix: &str, paths: &mut BTreeSet<String>) -> Outcome<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            list(&entry.path(), &format!("{name}/"), paths)?;
        } else {
            paths.insert(name);
        }
    }
    Ok(())
}
