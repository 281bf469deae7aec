//! Signals: the specifications' samples, a second reader as witness, and bytes nobody meant to be read.

use super::{
    ConsentCommand, Gcd, Gcs, GppString, Grant, Signal, TcString, UsPrivacy, gpp, in_call, in_url, in_value, tcf,
};
use iab_gpp::sections::tcfeuv2::TcfEuV2;
use proptest::prelude::*;

const REFUSAL: &str = "CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA";
const ACCEPTANCE: &str = "CPXuQIAPXuQIAAfKABENB-CgACAAAAAAAAYgF5wAQF5gAAAA.YAAAAAAAAAAA";
const DISCLOSED: &str = concat!(
    "COvFyGBOvFyGBAbAAAENAPCAAOAAAAAAAAAAAEEUACCKAAA.",
    "IFoEUQQgAIQwgIwQABAEAAAAOIAACAIAAAAQAIAgEAACEAAAAAgAQBAAAAAAAGBAAgAAAAAAAFAAECAAAgAAQARAEQAAAAAJAAIAAgAAAYQEAAAQmAgBC3ZAYzUw.",
    "YAAAAAAAAAAAAAAAAAA"
);

#[track_caller]
fn agrees_with_another_reader(text: &str) {
    let ours = TcString::parse(text).expect("we read it");
    let theirs: TcfEuV2 = text.parse().expect("iab_gpp reads it");
    let list = |set: &std::collections::BTreeSet<u16>| set.iter().copied().collect::<Vec<_>>();
    assert_eq!(ours.created_s, theirs.core.created);
    assert_eq!(ours.last_updated_s, theirs.core.last_updated);
    assert_eq!(ours.cmp_id, theirs.core.cmp_id);
    assert_eq!(ours.consent_language, theirs.core.consent_language);
    assert_eq!(ours.policy_version, theirs.core.policy_version);
    assert_eq!(ours.special_features, list(&theirs.core.special_feature_optins));
    assert_eq!(ours.purpose_consents, list(&theirs.core.purpose_consents));
    assert_eq!(ours.purpose_legitimate_interests, list(&theirs.core.purpose_legitimate_interests));
    assert_eq!(ours.vendor_consents, list(&theirs.core.vendor_consents));
    assert_eq!(ours.vendor_legitimate_interests, list(&theirs.core.vendor_legitimate_interests));
    assert_eq!(ours.disclosed_vendors, theirs.disclosed_vendors.as_ref().map(list));
}

#[test]
fn tc_strings_read_as_another_reader_reads_them() {
    for text in [REFUSAL, ACCEPTANCE, DISCLOSED] {
        agrees_with_another_reader(text);
    }
}

#[test]
fn a_refusal_refuses_and_an_acceptance_does_not() {
    assert!(TcString::parse(REFUSAL).unwrap().refuses_everything());
    assert!(!TcString::parse(ACCEPTANCE).unwrap().refuses_everything());
}

#[test]
fn legitimate_interest_for_the_device_or_profiles_is_barred() {
    let mut read = TcString::parse(ACCEPTANCE).unwrap();
    read.purpose_legitimate_interests = vec![1, 2, 3, 6, 7];
    read.policy_version = 2;
    assert_eq!(read.barred_legitimate_interests(), [1]);
    read.policy_version = 4;
    assert_eq!(read.barred_legitimate_interests(), [1, 3, 6]);
}

#[test]
fn tc_strings_are_found_where_tools_keep_them() {
    for value in [
        REFUSAL.to_owned(),
        format!("{{\"tcString\":\"{REFUSAL}\",\"gdprApplies\":true}}"),
        format!("%7B%22tcfString%22%3A%22{REFUSAL}%22%7D"),
        format!("v=1&tc={REFUSAL}&x=y"),
    ] {
        assert_eq!(tcf::find(&value), [TcString::parse(REFUSAL).unwrap()], "{value}");
        assert!(matches!(in_value(&value).first(), Some(Signal::Tcf(_))), "{value}");
    }
    assert!(tcf::find("ConsentIsOnlyAWordHereAndNothingElseAtAll").is_empty());
}

#[test]
fn signals_are_found_in_hits() {
    let url = format!("https://ads.test/bid?gdpr=1&gdpr_consent={REFUSAL}&us_privacy=1---&gcs=G100&gcd=13p3p3p3p5#f");
    let found = in_url(&url);
    assert!(matches!(found[0], Signal::Tcf(_)));
    assert!(matches!(found[1], Signal::UsPrivacy(_)));
    assert_eq!(found[2], Signal::Gcs(Gcs { ad_storage: Some(Grant::Denied), analytics_storage: Some(Grant::Denied) }));
    let Signal::Gcd(gcd) = found[3] else { panic!("{found:?}") };
    assert_eq!(gcd.ad_personalization.unwrap().effective(), Some(Grant::Denied));
    assert!(in_url("https://ads.test/bid?gdpr_consent=tcunavailable").is_empty());
}

#[test]
fn consent_mode_is_read() {
    let denied = Some(Grant::Denied);
    assert_eq!(Gcs::parse("G101").unwrap().ad_storage, denied);
    assert_eq!(Gcs::parse("G1--"), Some(Gcs { ad_storage: None, analytics_storage: None }));
    assert_eq!(Gcs::parse("G2"), None);
    let updated = Gcd::parse("13r3q3r3u5l1").unwrap();
    assert_eq!(updated.ad_storage.effective(), Some(Grant::Granted));
    assert_eq!(updated.ad_storage.default, denied);
    assert_eq!(updated.analytics_storage.effective(), denied);
    assert_eq!(updated.ad_personalization.unwrap().effective(), denied);
    assert_eq!(Gcd::parse("1"), None);
    let json = r#"{"ad_storage":"denied","analytics_storage":"granted","wait_for_update":500,"region":["FR"],"else":"denied"}"#;
    let command = ConsentCommand::parse(false, json).unwrap();
    assert_eq!((command.signals.len(), command.wait_for_update_ms), (2, Some(500)));
    assert!(!command.is_update);
    for whole in [
        r#"["consent","update",{"ad_storage":"granted"}]"#,
        r#"{"0":"consent","1":"update","2":{"ad_storage":"granted"}}"#,
    ] {
        let Some(Signal::Consent(command)) = in_call("gtag-default", whole).pop() else { panic!("{whole}") };
        assert!(command.is_update);
        assert_eq!(command.signals["ad_storage"], Grant::Granted);
    }
    assert_eq!(ConsentCommand::parse(false, "[]"), None);
}

#[test]
fn gpp_strings_name_their_sections() {
    for (text, ids) in [
        ("DBABM~CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA", vec![2]),
        ("DBACNY~CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA~1YNN", vec![2, 6]),
        ("DBABjw~BPXuQIAPXuQIAAfKABENB-CgAAAAAAAAAAAAAAAA.YAAAAAAAAAA~1YNN", vec![5, 6]),
    ] {
        let read = GppString::parse(text).expect(text);
        assert_eq!(read.sections.iter().map(|section| section.id).collect::<Vec<_>>(), ids, "{text}");
        assert_eq!(read.tcf_eu.is_some(), ids.contains(&2));
        assert_eq!(read.us_privacy.is_some(), ids.contains(&6));
        assert_eq!(gpp::find(&format!("{{\"gppString\":\"{text}\"}}")), Some(read));
    }
    assert_eq!(GppString::parse("DBABM"), None);
}

#[test]
fn us_privacy_is_read() {
    let read = UsPrivacy::parse("1YN-").unwrap();
    assert_eq!(
        (read.notice_given, read.opted_out_of_sale, read.limited_service_provider),
        (Some(true), Some(false), None)
    );
    assert_eq!(UsPrivacy::parse("2YNN"), None);
    assert_eq!(UsPrivacy::parse("1YNNN"), None);
}

#[test]
fn a_string_of_overlapping_ranges_costs_little() {
    // 16 KiB of ones: a version that is wrong, and then as many ranges as fit.
    assert_eq!(TcString::parse(&format!("C{}", "_".repeat(16_000))), None);
    let head = &REFUSAL[..35];
    assert!(
        TcString::parse(&format!("{head}{}", "_".repeat(16_000)))
            .is_none_or(|read| read.vendor_consents.len() <= 65_536)
    );
}

/// The same bytes in every run: xorshift, because tests take no randomness from the world.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(step).collect()
}

#[test]
fn random_bytes_are_no_signal_and_no_panic() {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for seed in 0..2_000_u64 {
        let bytes = noise(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15), (seed % 400) as usize);
        let text = String::from_utf8_lossy(&bytes);
        let letters: String = bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 64)])).collect();
        for text in
            [text.as_ref(), letters.as_str(), &format!("C{letters}.{letters}"), &format!("DBAB{letters}~{letters}")]
        {
            let _ = (in_url(text), in_url(&format!("https://a.test/?gdpr_consent={text}&gpp={text}")));
            let _ = (in_value(text), in_call("gtag-update", text), in_call("gpp", text));
            let _ = crate::is_identifier(text);
        }
    }
}

proptest! {
    #[test]
    fn any_text_can_be_asked(text in "\\PC*", kind in "(tcf|gpp|gtag-default|gtag-update|other)") {
        let _ = (in_url(&text), in_value(&text), in_call(&kind, &text));
        let _ = (TcString::parse(&text), GppString::parse(&text), Gcs::parse(&text), Gcd::parse(&text), UsPrivacy::parse(&text));
    }

    #[test]
    fn any_core_is_read_or_refused(tail in "[A-Za-z0-9_-]{0,300}", segment in "[A-Za-z0-9_.-]{0,300}") {
        let _ = TcString::parse(&format!("{}{tail}.{segment}", &REFUSAL[..30]));
    }

    #[test]
    fn a_tc_string_survives_its_wrapping(before in "[ {\":,=&]{0,5}", after in "[ }\":,=&]{0,5}") {
        prop_assert_eq!(tcf::find(&format!("{before}{ACCEPTANCE}{after}")).len(), 1);
    }
}
