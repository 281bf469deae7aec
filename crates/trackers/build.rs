//! Makes compact extracts of the bundled lists, so that the program starts quickly and stays small.
//!
//! Most rules of the filter lists name a host and nothing else. Those become one sorted text that is searched where it
//! lies in the program, without a copy; only the rest is given to the filter engine. The cookie database becomes a
//! sorted text too. Nothing is judged here: which row counts for which cookie is for `src/cookie_database.rs`.

use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

fn main() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for build scripts"));
    let read = |name: &str| {
        let path = data.join(name);
        println!("cargo::rerun-if-changed={}", path.display());
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("reading `{}`: {error}", path.display()))
    };
    let write = |name: &str, text: &str| {
        fs::write(out.join(name), text).unwrap_or_else(|error| panic!("writing `{name}`: {error}"));
    };
    println!("cargo::rerun-if-changed=build.rs");

    let mut hosts = BTreeMap::new();
    let privacy = split(&read("easyprivacy.txt"), "privacy", &mut hosts, |_| true);
    let list = split(&read("easylist.txt"), "list", &mut hosts, is_about_advertisers);
    write("easyprivacy-rules.txt", &privacy);
    write("easylist-rules.txt", &list);
    write("tracker-hosts.txt", &lines(&hosts));

    let (names, prefixes) = cookies(&read("open-cookie-database.json"));
    write("cookie-names.txt", &names);
    write("cookie-prefixes.txt", &prefixes);
}

/// Sections of EasyList that name advertisers. The others name places on pages, or how an advertisement looks.
fn is_about_advertisers(section: &str) -> bool {
    ["easylist_adservers.txt", "easylist_thirdparty.txt", "adult_adservers.txt", "adult_thirdparty.txt"]
        .iter()
        .any(|name| section.ends_with(name))
}

/// Puts rules that name only a host into `hosts`, and returns the other network rules of the wanted sections.
///
/// A host's value is `list`, a tab, the operator if the section lists a first-party alias of one, a tab, and `3` where the
/// rule counts for third parties only.
fn split(text: &str, list: &str, hosts: &mut BTreeMap<String, String>, wanted: fn(&str) -> bool) -> String {
    let mut rest = String::new();
    let mut section = "";
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("! *** ") {
            section = name.trim_end_matches(" ***");
            continue;
        }
        if line.starts_with('!') || line.starts_with('[') || line.is_empty() || !wanted(section) {
            continue;
        }
        // Hiding rules (`##`, `#@#`, `#?#`, `#$#`) change what a page shows, not what it asks for.
        if ["##", "#@#", "#?#", "#$#", "#+js"].iter().any(|mark| line.contains(mark)) {
            continue;
        }
        if let Some((host, third)) = only_host(line) {
            let operator = section.split("_cname_").nth(1).map_or("", |name| name.trim_end_matches(".txt"));
            // The first list wins: EasyPrivacy says more about a tracker than EasyList does.
            hosts
                .entry(host.to_owned())
                .or_insert_with(|| format!("{list}\t{operator}\t{}", if third { "3" } else { "" }));
        } else {
            rest.push_str(line);
            rest.push('\n');
        }
    }
    rest
}

/// Returns the host of a rule `||host^` or `||host^$third-party`, and whether it is the latter.
fn only_host(rule: &str) -> Option<(&str, bool)> {
    let (rule, third) = match rule.strip_suffix("$third-party") {
        Some(rule) => (rule, true),
        None => (rule, false),
    };
    let host = rule.strip_prefix("||")?.strip_suffix('^')?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.' || byte == b'-';
    (!host.is_empty() && host.bytes().all(plain)).then_some((host, third))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    category: String,
    cookie: String,
    domain: String,
    wildcard_match: String,
}

/// Returns the database's exact names and its prefixes, a row a line: name, category, platform, domains.
fn cookies(json: &str) -> (String, String) {
    let platforms: BTreeMap<String, Vec<Row>> = serde_json::from_str(json).expect("the cookie database is JSON");
    let (mut names, mut prefixes) = (BTreeSet::new(), BTreeSet::new());
    for (platform, rows) in &platforms {
        for row in rows {
            // A few rows end in `*` instead of saying that they are prefixes.
            let name = row.cookie.trim().trim_end_matches('*');
            if name.is_empty() || name.contains(['\t', '\n']) {
                continue;
            }
            let is_prefix = row.wildcard_match.trim() == "1" || row.cookie.trim().ends_with('*');
            let line = format!("{name}\t{}\t{}\t{}", row.category, platform.replace('\t', " "), domains(&row.domain));
            if is_prefix {
                prefixes.insert(line)
            } else {
                names.insert(line)
            };
        }
    }
    let text = |set: BTreeSet<String>| set.into_iter().fold(String::new(), |text, line| text + &line + "\n");
    (text(names), text(prefixes))
}

/// Returns the domains that a row speaks of, separated by spaces; its field holds remarks too.
fn domains(field: &str) -> String {
    let clean = field.replace('\u{200b}', " ");
    let words = clean.split(|c: char| c.is_whitespace() || "(),/[]".contains(c));
    let is_domain = |word: &&str| {
        word.contains('.') && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-')
    };
    let found: BTreeSet<String> =
        words.map(|word| word.trim_matches('.')).filter(is_domain).map(str::to_ascii_lowercase).collect();
    found.into_iter().collect::<Vec<_>>().join(" ")
}

fn lines(hosts: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for (host, rest) in hosts {
        writeln!(text, "{host}\t{rest}").expect("writing to a String cannot fail");
    }
    text
}
