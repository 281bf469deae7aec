//! The banner: one script without dependency, made of our code, all languages and the operator's settings.
//!
//! `banner/vigie.js` is the code, `banner/vigie.css` its looks, `data/banner/texts.toml` what it says. They are put together
//! once, when the server starts; what is served never depends on who asks.

use flate2::{Compression, write::GzEncoder};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
};
use vigie_choices::jsonld::hex;

const CODE: &str = include_str!("banner/vigie.js");
const STYLE: &str = include_str!("banner/vigie.css");
const TEXTS: &str = include_str!("../../../data/banner/texts.toml");

/// The texts of each language, in the order in which the script has them.
const KEYS: [&str; 17] = [
    "title",
    "body",
    "more",
    "closing",
    "accept",
    "refuse",
    "choose",
    "save",
    "close",
    "reopen",
    "policy",
    "partners",
    "necessary",
    "audience",
    "advertising",
    "personalisation",
    "social",
];

/// The signals of consent mode, version 2.
const SIGNALS: [&str; 7] = [
    "ad_storage",
    "ad_user_data",
    "ad_personalization",
    "analytics_storage",
    "functionality_storage",
    "personalization_storage",
    "security_storage",
];

/// What the operator says of the banner.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The version of what is told: with another one, everybody is asked again.
    pub notice: String,
    /// How long a choice is kept, in months: 1 to 13.
    #[serde(default = "six")]
    pub months: u32,
    /// The address of the privacy policy.
    #[serde(default)]
    pub policy: String,
    /// The address of the list of those who receive data.
    #[serde(default)]
    pub partners: String,
    /// Whether a browser's Global Privacy Control is a refusal without asking.
    #[serde(default = "yes")]
    pub gpc: bool,
    /// How one comes back: `button`, in a corner of every page, or `link`, an element of the site's marked
    /// `data-vigie="open"`.
    #[serde(default)]
    pub reopen: Reopen,
    /// What is asked for, in this order.
    pub purpose: Vec<Purpose>,
    /// The Transparency and Consent Framework, for those who are registered there.
    #[serde(default)]
    pub tcf: Option<Tcf>,
}

/// How one comes back to the choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reopen {
    /// By a button of the banner's.
    #[default]
    Button,
    /// By an element of the site's.
    Link,
}

/// A purpose that visitors are asked for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Purpose {
    /// The word in `data-purpose`. `audience`, `advertising`, `personalisation` and `social` have names in all languages.
    pub id: String,
    /// Its name by language, where it shall be another.
    #[serde(default)]
    pub names: BTreeMap<String, String>,
    /// The purpose of the data map that is recorded for visitors who are known.
    #[serde(default)]
    pub record: Option<String>,
    /// Names of cookies and stored items that go with it; `*` is any text.
    #[serde(default)]
    pub cookies: Vec<String>,
    /// Signals of consent mode that it grants.
    #[serde(default)]
    pub consent_mode: Vec<String>,
    /// Purposes of the Transparency and Consent Framework, 1 to 11.
    #[serde(default)]
    pub tcf: Vec<u8>,
}

/// The Transparency and Consent Framework.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tcf {
    /// The number that IAB Europe gave.
    pub cmp_id: u16,
    /// The version of the platform.
    pub cmp_version: u16,
    /// The version of the list of vendors.
    pub vendor_list: u16,
    /// The version of the policy.
    pub policy: u8,
    /// The country of the site, two letters.
    pub country: String,
    /// The vendors that are told of, by number.
    pub vendors: BTreeSet<u16>,
}

fn six() -> u32 {
    6
}

fn yes() -> bool {
    true
}

impl Settings {
    /// Lists what cannot be meant.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut must = |holds: bool, otherwise: String| {
            if !holds {
                faults.push(otherwise);
            }
        };
        let word = |text: &str| {
            !text.is_empty()
                && text.len() <= 60
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        must(word(&self.notice), "`banner.notice` is not 1 to 60 letters, digits, `-`, `_` and `.`".into());
        must((1..=13).contains(&self.months), "`banner.months` is not 1 to 13".into());
        must((1..=20).contains(&self.purpose.len()), "`[[banner.purpose]]` is there 1 to 20 times".into());
        let ids: BTreeSet<&str> = self.purpose.iter().map(|purpose| purpose.id.as_str()).collect();
        must(ids.len() == self.purpose.len(), "two purposes of the banner have the same `id`".into());
        for address in [&self.policy, &self.partners] {
            let fits = address.is_empty() || address.starts_with("https://") || address.starts_with('/');
            must(fits, format!("the address `{address}` of the banner begins neither with `https://` nor with `/`"));
        }
        let texts = texts();
        for purpose in &self.purpose {
            let id = &purpose.id;
            must(word(id), format!("`{id}` of the banner is not 1 to 60 letters, digits, `-`, `_` and `.`"));
            let named = KEYS[13..].contains(&id.as_str()) || purpose.names.contains_key("en");
            must(named, format!("purpose `{id}` of the banner has no name in English"));
            for language in purpose.names.keys() {
                let known = texts.contains_key(language);
                must(
                    known,
                    format!("purpose `{id}` of the banner is named in `{language}`, which is no language of it"),
                );
            }
            for signal in &purpose.consent_mode {
                must(SIGNALS.contains(&signal.as_str()), format!("consent mode has no signal `{signal}`"));
            }
            must(purpose.tcf.iter().all(|n| (1..=11).contains(n)), format!("`tcf` of `{id}` is not 1 to 11"));
            must(purpose.tcf.is_empty() || self.tcf.is_some(), format!("`tcf` of `{id}` needs `[banner.tcf]`"));
        }
        if let Some(tcf) = &self.tcf {
            let two = tcf.country.len() == 2 && tcf.country.bytes().all(|byte| byte.is_ascii_uppercase());
            must(two, "`banner.tcf.country` is not two capital letters".into());
            let fits = tcf.cmp_id < 4096 && tcf.cmp_version < 4096 && tcf.vendor_list < 4096 && tcf.policy < 64;
            must(fits, "a number in `[banner.tcf]` is too large".into());
        }
        faults
    }

    fn to_json(&self, controller: &str) -> Value {
        let purposes: Vec<Value> = self
            .purpose
            .iter()
            .map(|purpose| {
                json!({
                    "id": purpose.id, "names": purpose.names, "record": purpose.record, "cookies": purpose.cookies,
                    "consent_mode": purpose.consent_mode, "tcf": purpose.tcf,
                })
            })
            .collect();
        json!({
            "controller": controller, "notice": self.notice, "months": self.months, "policy": self.policy,
            "partners": self.partners, "gpc": self.gpc, "purposes": purposes, "keys": KEYS,
            "record": self.purpose.iter().any(|purpose| purpose.record.is_some()),
            "reopen": match self.reopen { Reopen::Button => "button", Reopen::Link => "link" },
            "tcf": self.tcf.as_ref().map(|tcf| json!({
                "cmp_id": tcf.cmp_id, "cmp_version": tcf.cmp_version, "vendor_list": tcf.vendor_list,
                "policy": tcf.policy, "country": tcf.country, "vendors": tcf.vendors,
            })),
        })
    }
}

/// Returns what the banner says, by language and key.
///
/// # Panics
///
/// If the file, which is compiled in, is not as it shall be; a test reads it.
pub fn texts() -> BTreeMap<String, BTreeMap<String, String>> {
    let mut table: toml::Table = TEXTS.parse().expect("the file is TOML");
    table.remove("schema");
    let texts = toml::Value::Table(table).try_into();
    texts.expect("each language is a table of texts")
}

/// Leaves out the spaces around some marks. Strings of our code hold none of these marks where a space would matter; the
/// tests in a browser run what comes out.
fn closer(text: String, marks: &[&str]) -> String {
    marks.iter().fold(text, |text, mark| text.replace(mark, mark.trim()))
}

/// The script as it is served.
#[derive(Debug)]
pub struct Script {
    /// The text.
    pub text: String,
    /// The same, compressed.
    pub gzipped: Vec<u8>,
    /// Its name for caches.
    pub etag: String,
}

impl Script {
    /// Puts the script together.
    pub fn new(settings: &Settings, controller: &str) -> Self {
        let texts: BTreeMap<String, Vec<String>> = texts()
            .into_iter()
            .map(|(language, texts)| (language, KEYS.iter().map(|key| texts[*key].clone()).collect()))
            .collect();
        let code: Vec<&str> =
            CODE.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with("//")).collect();
        let style: String = STYLE.lines().map(str::trim_start).collect();
        let style = closer(style, &[" { ", " }", "; ", ": ", ", "]);
        let text = closer(
            code.join("\n"),
            &[" => ", " = ", " === ", " !== ", " ? ", " : ", " && ", " || ", ", ", "{ ", " }", ": "],
        )
        .replace("/*SETTINGS*/ {}", &settings.to_json(controller).to_string())
        .replace("/*TEXTS*/ {}", &json!(texts).to_string())
        .replace("/*STYLE*/ \"\"", &json!(style).to_string());
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text.as_bytes()).expect("a vector takes everything");
        let gzipped = encoder.finish().expect("a vector takes everything");
        let etag = format!("\"{}\"", hex(&Sha256::digest(text.as_bytes())[..16]));
        Self { text, gzipped, etag }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Most bytes of the script, compressed: with all languages and settings as a large site has them.
    const MOST_BYTES: usize = 15_000;

    fn settings() -> Settings {
        let text = "notice = \"n1\"\npolicy = \"/privacy\"\npartners = \"/partners\"\n\
            [tcf]\ncmp_id = 10\ncmp_version = 1\nvendor_list = 48\npolicy = 4\ncountry = \"IE\"\nvendors = [2, 755]\n";
        let purposes: String = ["audience", "advertising", "personalisation", "social"]
            .map(|id| {
                format!(
                    "[[purpose]]\nid = \"{id}\"\nrecord = \"{id}\"\ncookies = [\"_ga\", \"_ga_*\"]\n\
                     consent_mode = [\"ad_storage\", \"analytics_storage\"]\ntcf = [1, 2]\n"
                )
            })
            .concat();
        toml::from_str(&format!("{text}{purposes}")).unwrap()
    }

    #[test]
    fn the_script_is_small() {
        let script = Script::new(&settings(), "Platform Ireland Limited");
        let bytes = script.gzipped.len();
        println!("{bytes} bytes compressed, {} as text", script.text.len());
        assert!(bytes < MOST_BYTES, "{bytes} bytes");
        assert!(!script.text.contains("/*S") && !script.text.contains("/*T"), "everything is put in its place");
    }

    #[test]
    fn every_language_of_the_union_says_everything() {
        let texts = texts();
        assert_eq!(texts.len(), 24);
        let keys: BTreeSet<&str> = KEYS.into_iter().collect();
        for (language, said) in &texts {
            let has: BTreeSet<&str> = said.keys().map(String::as_str).collect();
            assert_eq!(has, keys, "{language}");
            assert!(said.values().all(|text| !text.trim().is_empty()), "{language}");
            assert!(said["body"].contains("{c}") && said["more"].contains("{w}") && said["more"].contains("{m}"));
        }
    }

    #[test]
    fn settings_that_cannot_be_meant_are_told() {
        assert_eq!(settings().faults(), [""; 0]);
        let mut wrong = settings();
        wrong.notice = "a|b".into();
        wrong.months = 14;
        wrong.policy = "javascript:alert(1)".into();
        wrong.purpose[0].id = "own".into();
        wrong.purpose[1].consent_mode = vec!["ads".into()];
        wrong.purpose[2].tcf = vec![12];
        assert_eq!(wrong.faults().len(), 6, "{:?}", wrong.faults());
    }
}
