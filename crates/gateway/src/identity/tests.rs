//! Records, certificates and tokens, and whom they stand for.

use super::*;
use crate::{
    place::{Network, Networks, PlaceError, UnknownNetwork, tighten},
    scram,
};

fn record(extra: &str) -> String {
    format!(
        "schema = \"people/1\"\n[[person]]\nid = \"ada\"\nname = \"Ada Example\"\nentity = \"Platform Ireland Ltd\"\n\
         country = \"IE\"\n{extra}\n"
    )
}

fn principal(extra: &str) -> Principal {
    let people = People::parse(&record(extra)).unwrap();
    people.record("ada").unwrap().principal(Attestation::HrRecord, Method::Scram)
}

#[test]
fn a_record_is_read_whole() {
    let verifier = scram::verifier("x", b"0123456789abcdef", 4096);
    let text = record(&format!(
        "groups = [\"fraud\", \"lead\"]\ntraining_until = \"2027-01-01\"\nscram = \"{verifier}\"\n\
         certificate = \"ada@platform.example\"\naddresses = [\"192.0.2.0/24\"]\n\
         [[service]]\nid = \"etl\"\nname = \"Nightly export\"\nentity = \"Platform Norge AS\"\ncountry = \"NO\""
    ));
    let people = People::parse(&text).unwrap();
    let ada = people.record("ada").unwrap();
    assert_eq!(ada.kind, Kind::Person);
    assert_eq!(ada.scram.as_ref().unwrap().to_string(), verifier);
    assert_eq!(people.by_certificate("ada@platform.example").unwrap().id, "ada");
    assert_eq!(people.record("etl").unwrap().kind, Kind::Service);
    let facts = ada.attested.facts("2027-01-01".parse().unwrap());
    assert_eq!((facts.entity.as_str(), facts.country.as_str()), ("Platform Ireland Ltd", "IE"));
    assert_eq!(facts.groups.iter().map(Group::as_str).collect::<Vec<_>>(), ["fraud", "lead"]);
    assert!(facts.training, "the last day counts");
    assert!(!ada.attested.facts("2027-01-02".parse().unwrap()).training);
    assert!(!people.record("etl").unwrap().attested.facts("2027-01-01".parse().unwrap()).training);
}

#[test]
fn all_faults_of_a_file_are_reported_with_their_lines() {
    let text = r#"schema = "people/2"
color = "red"

[[person]]
id = "ada"
name = "Ada"
entity = "Platform Ireland Ltd"
country = "Ireland"
scram = "md5abc"
training_until = "tomorrow"
addresses = ["192.0.2.0/33", 7]
nickname = "A"

[[person]]
id = "bo"

[[service]]
id = "etl"
name = "x"
entity = "y"
country = "NO"
addresses = []

[[service]]
id = "twice"
name = "x"
entity = "y"
country = "NO"
certificate = "cn"

[[service]]
id = "twice"
name = "x"
entity = "y"
country = "NO"
certificate = "cn"
"#;
    let faults = People::parse(text).unwrap_err();
    let lines: Vec<usize> = faults.0.iter().map(|fault| fault.line).collect();
    assert_eq!(lines, [1, 2, 8, 9, 10, 11, 11, 12, 14, 14, 14, 22, 31, 31], "{faults}");
    assert!(faults.to_string().contains("line 12: unknown key `nickname`"), "{faults}");
    assert!(People::parse("schema = \"people/1\"\n[[person]\n").unwrap_err().to_string().contains("line 2: not TOML"));
    assert!(People::parse("").unwrap_err().to_string().contains("`schema` is missing"));
}

#[test]
fn a_certificate_that_names_several_is_refused() {
    let text = record("certificate = \"ada@platform.example\"")
        + "[[person]]\nid = \"bo\"\nname = \"Bo\"\nentity = \"E\"\ncountry = \"NO\"\ncertificate = \"Bo Example\"\n";
    let identities = Identities::new(People::parse(&text).unwrap(), None, [7; 32]);
    let names = |common: &str, email: &str| Names {
        serial: "12ab".to_owned(),
        common: vec![common.to_owned()],
        emails: vec![email.to_owned()],
        ..Names::default()
    };
    let ada = identities.by_certificate("ada", &names("Ada", "ada@platform.example")).unwrap();
    let serial = "12ab".to_owned();
    assert_eq!(ada.attested_by, Attestation::Certificate { serial, name: "ada@platform.example".to_owned() });
    let several = identities.by_certificate("ada", &names("Bo Example", "ada@platform.example"));
    assert!(matches!(several, Err(IdentityError::CertificateOfSeveral { .. })));
    let other = identities.by_certificate("ada", &names("Bo Example", "x"));
    assert!(matches!(other, Err(IdentityError::SomeoneElse { .. })));
    let nobody = identities.by_certificate("ada", &names("ada", "ADA@platform.example"));
    assert!(matches!(nobody, Err(IdentityError::CertificateOfNobody { .. })), "names are compared exactly");
}

#[test]
fn an_address_only_tightens() {
    let network =
        |cidr: &str, country: &str| Network { cidr: cidr.parse().unwrap(), country: country.parse().unwrap() };
    let networks = |unknown| Networks {
        networks: vec![network("192.0.2.0/24", "IE"), network("192.0.2.128/25", "CN"), network("2001:db8::/32", "IE")],
        unknown,
    };
    let from =
        |extra: &str, address: &str, unknown| tighten(&principal(extra), address.parse().unwrap(), &networks(unknown));
    let deny = UnknownNetwork::Deny;
    assert_eq!(from("", "192.0.2.7", deny), Ok(()));
    assert_eq!(from("", "2001:db8::7", deny), Ok(()));
    assert_eq!(from("", "::ffff:192.0.2.7", deny), Ok(()), "an IPv4 address in IPv6 is that address");
    assert!(
        matches!(from("", "192.0.2.200", deny), Err(PlaceError::OtherCountry { .. })),
        "the smaller network counts"
    );
    assert!(matches!(from("", "198.51.100.1", deny), Err(PlaceError::UnknownNetwork { .. })));
    assert_eq!(from("", "198.51.100.1", UnknownNetwork::Allow), Ok(()));
    let listed = "addresses = [\"192.0.2.4/30\", \"192.0.2.200/32\"]";
    assert_eq!(from(listed, "192.0.2.5", deny), Ok(()));
    assert!(matches!(from(listed, "192.0.2.9", deny), Err(PlaceError::NotListed { .. })));
    assert!(matches!(from(listed, "198.51.100.1", UnknownNetwork::Allow), Err(PlaceError::NotListed { .. })));
    let widened = from(listed, "192.0.2.200", deny);
    assert!(matches!(widened, Err(PlaceError::OtherCountry { .. })), "a list does not widen");
}

#[test]
fn networks_are_read_from_the_configuration() {
    let network: Network = toml::from_str("cidr = \"192.0.2.0/24\"\ncountry = \"IE\"").unwrap();
    assert_eq!(network.country.as_str(), "IE");
    let wrong = toml::from_str::<Network>("cidr = \"192.0.2.0/99\"\ncountry = \"IE\"").unwrap_err();
    assert!(wrong.to_string().contains("is not a network such as"), "{wrong}");
}

#[test]
fn a_token_that_contradicts_the_record_is_refused() {
    let provider = token::tests::Provider::new();
    let now = jiff::Timestamp::from_second(1_798_761_600).unwrap();
    let by_token = |country: &str, entity: &str, extra: &str| {
        let text = record(extra).replace("\"IE\"", &format!("\"{country}\"")).replace("Platform Ireland Ltd", entity);
        let tokens = token::Tokens::new(provider.settings()).unwrap();
        let identities = Identities::new(People::parse(&text).unwrap(), Some(tokens), [7; 32]);
        identities.by_token("ada", &provider.token(&token::tests::claims("ada", now.as_second())), now)
    };
    let listed = by_token("IE", "Platform Ireland Ltd", "addresses = [\"192.0.2.0/24\"]").unwrap();
    assert_eq!(listed.addresses.len(), 1, "the record's networks tighten the token");
    assert_eq!(listed.display, "Ada Example");
    let elsewhere = by_token("CN", "Platform Ireland Ltd", "");
    assert!(matches!(elsewhere, Err(IdentityError::Disagree { what: "country", .. })));
    let employer = by_token("IE", "Platform Norge AS", "");
    assert!(matches!(employer, Err(IdentityError::Disagree { what: "legal entity", .. })));
}
