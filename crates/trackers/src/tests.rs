//! Classification: tables of cookies, keys and requests with the answer each must get.
//!
//! Hosts below `.test` and names such as `vst` are made up: what no list knows must be caught by what it does.

use crate::{
    Basis, Class, Classifier, CookieFacts, Party, RequestFacts, TrackerHosts, cookie_database,
    host::{host_of, party, registrable_domain},
    names, request,
    storage::StorageFacts,
};
use proptest::prelude::*;
use std::sync::LazyLock;
use vigie_domain::record::StorageKind;

static CLASSIFIER: LazyLock<Classifier> = LazyLock::new(Classifier::bundled);

const SITE: &str = "shop.test";
const PAGE: &str = "https://shop.test/bags?colour=red";
const UUID: &str = "6ba7b810-9dad-41d1-80b4-00c04fd430c8";
const OTHER_UUID: &str = "f47ac10b-58cc-4372-a567-0e02b2c3d479";
const YEAR_S: Option<f64> = Some(31_536_000.0);

/// A cookie of the site that lasts a year, singles the visitor out, and of which nothing else is known.
fn cookie<'a>(name: &'a str, value: &'a str, domain: &'a str) -> CookieFacts<'a> {
    CookieFacts {
        name,
        value,
        domain,
        party: party(domain, SITE),
        http_only: false,
        lifetime_s: YEAR_S,
        set_by: None,
        value_in_other_profile: None,
        sent_to_third_party: false,
        written_by_choice: false,
    }
}

#[track_caller]
fn check(facts: &CookieFacts<'_>, class: Class, exempt: Option<bool>) {
    let found = CLASSIFIER.cookie(facts);
    assert_eq!((found.class, found.exempt), (class, exempt), "`{}` of {}: {found:?}", facts.name, facts.domain);
    assert!(!found.why.contains(UUID), "a reason holds no value: {}", found.why);
}

#[track_caller]
fn check_key(key: &str, value: &str, class: Class, exempt: Option<bool>) {
    let found = CLASSIFIER.storage_key(StorageKind::Local, key, value, None, false, None);
    assert_eq!((found.class, found.exempt), (class, exempt), "`{key}`: {found:?}");
}

#[test]
fn hosts_belong_to_parties() {
    for (host, domain) in [
        ("www.example.org", "example.org"),
        ("a.b.example.co.uk", "example.co.uk"),
        (".example.org", "example.org"),
        ("example.org.", "example.org"),
        ("a.b.shop.test", "shop.test"),
        ("someone.github.io", "someone.github.io"),
        ("localhost", "localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "[::1]"),
        ("co.uk", "co.uk"),
        ("", ""),
    ] {
        assert_eq!(registrable_domain(host), domain, "{host}");
    }
    assert_eq!(party("Metrics.Shop.test", SITE), Party::First);
    assert_eq!(party("shop.example", SITE), Party::Third);
    assert_eq!(party("127.0.0.1", "127.0.0.2"), Party::Third);
    assert_eq!(party("a.github.io", "b.github.io"), Party::Third);
    assert_eq!(host_of("https://WWW.Example.org:8443/a?b"), Some("www.example.org".to_owned()));
    assert_eq!(host_of("blob:https://example.org/6ba7"), Some("example.org".to_owned()));
    for without in ["data:image/gif;base64,R0lG", "about:blank", "not an address", ""] {
        assert_eq!(host_of(without), None, "{without}");
    }
}

#[test]
fn patterns_match_whole_names() {
    for (pattern, name, expected) in [
        ("_ga", "_ga", true),
        ("_ga", "_ga_X", false),
        ("_ga_*", "_ga_X", true),
        ("mp_*_mixpanel", "mp_1f_mixpanel", true),
        ("mp_*_mixpanel", "mp_mixpanel", false),
        ("*csrf*", "my-csrf-token", true),
        ("*csrf*", "csrf", true),
        ("a*b*c", "aXbYc", true),
        ("a*b*c", "aXc", false),
        ("*", "", true),
    ] {
        assert_eq!(names::matches(pattern, name), expected, "{pattern} {name}");
    }
}

#[test]
fn known_trackers_are_not_exempt() {
    for (name, class) in [
        ("_ga", Class::Audience),
        ("_ga_CRPS12AB34", Class::Audience),
        ("_gid", Class::Audience),
        ("_fbp", Class::Advertising),
        ("_ttp", Class::Advertising),
        ("__gads", Class::Advertising),
        ("_hjSessionUser_314159", Class::Audience),
        ("_clck", Class::Audience),
        ("_uetvid", Class::Advertising),
        ("_pk_id.1.ab12", Class::Audience),
        ("cto_bundle", Class::Advertising),
        ("li_fat_id", Class::Advertising),
        ("_pin_unauth", Class::Advertising),
        ("amplitude_id_shop.test", Class::Audience),
        ("ajs_anonymous_id", Class::Audience),
        ("_shopify_y", Class::Audience),
    ] {
        check(&cookie(name, UUID, SITE), class, Some(false));
    }
    for (name, domain) in [
        ("IDE", "doubleclick.net"),
        ("fr", "facebook.com"),
        ("uid", "criteo.com"),
        ("MUID", "clarity.ms"),
        ("li_gc", "linkedin.com"),
        ("anything", "adnxs.com"),
        ("YSC", "youtube.com"),
    ] {
        assert_eq!(CLASSIFIER.cookie(&cookie(name, UUID, domain)).exempt, Some(false), "{name} of {domain}");
    }
}

#[test]
fn consent_tools_are_exempt() {
    for (name, value) in [
        ("OptanonConsent", "isGpcEnabled=0&datestamp=Sun+Nov+22+2026&consentId=6ba7b810-9dad-41d1-80b4-00c04fd430c8"),
        ("CookieConsent", "{stamp:'kf8hq2z9kf8hq2z9',necessary:true,preferences:false}"),
        ("euconsent-v2", "CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA"),
        ("cc_cookie", r#"{"categories":["necessary"],"consentId":"6ba7b810-9dad-41d1-80b4-00c04fd430c8"}"#),
        ("tarteaucitron", "!gtag=wait"),
        ("cookieconsent_status", "dismiss"),
        ("cookies_policy", "{}"),
        ("didomi_token", "eyJ1c2VyX2lkIjoiMTg"),
        ("_iub_cs-12345678", "{}"),
        ("cmplz_statistics", "deny"),
        ("klaro", "{}"),
        ("axeptio_cookies", "{}"),
    ] {
        check(&cookie(name, value, SITE), Class::Consent, Some(true));
    }
    check_key("cookie-consent-preferences", "[]", Class::Consent, Some(true));
    check_key("uc_user_interaction", "true", Class::Consent, Some(true));
    let found = CLASSIFIER.cookie(&cookie("CookieConsent", "true", SITE));
    assert_eq!(found.platform.as_deref(), Some("Cookiebot or react-cookie-consent"));
}

#[test]
fn exempt_names_are_exempt() {
    for (name, class) in [
        ("PHPSESSID", Class::Necessary),
        ("JSESSIONID", Class::Necessary),
        ("ASP.NET_SessionId", Class::Necessary),
        ("connect.sid", Class::Necessary),
        ("csrftoken", Class::Security),
        ("XSRF-TOKEN", Class::Security),
        ("__RequestVerificationToken_L1", Class::Security),
        ("__cf_bm", Class::Security),
        ("AWSALB", Class::Necessary),
        ("cart", Class::Necessary),
        ("wordpress_logged_in_a1b2", Class::Necessary),
    ] {
        check(&CookieFacts { lifetime_s: None, http_only: true, ..cookie(name, UUID, SITE) }, class, Some(true));
    }
    for (name, value) in [("lang", "fr"), ("theme", "dark"), ("currency", "EUR"), ("i18nextLng", "en-GB")] {
        check(&cookie(name, value, SITE), Class::Preference, Some(true));
        check_key(name, value, Class::Preference, Some(true));
    }
}

#[test]
fn an_exempt_name_does_not_excuse_what_the_cookie_does() {
    check(&cookie("lang", UUID, SITE), Class::Unknown, None);
    check(&CookieFacts { sent_to_third_party: true, ..cookie("session", UUID, SITE) }, Class::Necessary, None);
    check(&cookie("PHPSESSID", UUID, "widget.test"), Class::Necessary, None);
    let by_tracker = Some("https://bat.bing.com/bat.js");
    let facts = CookieFacts { set_by: by_tracker, ..cookie("session", UUID, SITE) };
    check(&facts, Class::Advertising, Some(false));
    let own_snippet = Some("https://www.googletagmanager.com/gtm.js?id=GTM-1");
    check(&CookieFacts { set_by: own_snippet, ..cookie("lang", "fr", SITE) }, Class::Preference, Some(true));
    check(&cookie("_GRECAPTCHA", UUID, SITE), Class::Security, None);
}

#[test]
fn robot_protection_is_exempt_on_a_trackers_domain_while_it_is_short() {
    let short = CookieFacts { lifetime_s: Some(1800.0), ..cookie("__cf_bm", UUID, "hubspot.com") };
    check(&short, Class::Security, Some(true));
    check(&CookieFacts { lifetime_s: YEAR_S, ..short }, Class::Advertising, Some(false));
}

#[test]
fn a_choice_is_recognised_without_knowing_the_tool() {
    let chosen = |name, value| CookieFacts { written_by_choice: true, http_only: true, ..cookie(name, value, SITE) };
    check(&chosen("zz1", "eyJhbmFseXRpY3MiOmZhbHNlLCJhZHMiOmZhbHNlfQ"), Class::Consent, Some(true));
    check(&chosen("zz1", "refused"), Class::Consent, Some(true));
    check(&chosen("zz1", "v2"), Class::Consent, Some(true));
    check(&chosen("site_consent", UUID), Class::Consent, Some(true));
    check(&cookie("site_consent", "analytics=0", SITE), Class::Consent, Some(true));
    check(&cookie("site_consent", UUID, SITE), Class::Unknown, None);
    check(&chosen("zz1", UUID), Class::Unknown, None);
    check(&chosen("_ga", "GA1.1.5284610937.1764000000"), Class::Audience, Some(false));
    check(&CookieFacts { party: Party::Third, ..chosen("zz1", "refused") }, Class::Unknown, None);
}

#[test]
fn an_unknown_tracker_is_caught_by_what_it_does() {
    let other = Some(OTHER_UUID);
    let differs = |name, domain| CookieFacts { value_in_other_profile: other, ..cookie(name, UUID, domain) };
    // A third party's identifier.
    check(&differs("vst", "counter.test"), Class::Unknown, Some(false));
    // Written on the site by a third party's script.
    let written = CookieFacts { set_by: Some("https://counter.test/c.js"), ..differs("vst", SITE) };
    check(&written, Class::Unknown, Some(false));
    // The site's own, handed on.
    check(&CookieFacts { sent_to_third_party: true, ..differs("vst", SITE) }, Class::Unknown, Some(false));
    // Set by a picture of another host of the site.
    let cloaked = CookieFacts { set_by: Some("https://stats.shop.test/x.gif"), ..differs("vst", SITE) };
    check(&cloaked, Class::Unknown, Some(false));
    for facts in [written, cloaked] {
        assert_eq!(CLASSIFIER.cookie(&facts).basis, Basis::Behaviour);
    }
}

#[test]
fn a_random_number_of_ten_digits_is_caught_too() {
    let facts = CookieFacts {
        value_in_other_profile: Some("8123456709"),
        set_by: Some("https://counter.test/c.js"),
        ..cookie("vst", "1504918273", SITE)
    };
    check(&facts, Class::Unknown, Some(false));
}

#[test]
fn weak_behaviour_is_a_question() {
    let differs = CookieFacts { value_in_other_profile: Some(OTHER_UUID), ..cookie("vst", UUID, SITE) };
    check(&differs, Class::Unknown, None);
    check(&CookieFacts { lifetime_s: None, ..differs }, Class::Unknown, None);
    check(&CookieFacts { lifetime_s: None, ..cookie("vst", UUID, "counter.test") }, Class::Unknown, None);
    check(&cookie("vst", "blue", SITE), Class::Unknown, None);
    let same = CookieFacts { value_in_other_profile: Some(UUID), ..cookie("vst", UUID, "counter.test") };
    check(&same, Class::Unknown, None);
    let own_script = CookieFacts { set_by: Some("https://static.shop.test/app.js"), ..differs };
    check(&own_script, Class::Unknown, None);
}

#[test]
fn a_session_value_that_everybody_gets_is_exempt() {
    let facts = CookieFacts { lifetime_s: None, value_in_other_profile: Some("b"), ..cookie("vst", "b", SITE) };
    check(&facts, Class::Functional, Some(true));
    check(&CookieFacts { sent_to_third_party: true, ..facts }, Class::Unknown, None);
    check(&CookieFacts { lifetime_s: YEAR_S, ..facts }, Class::Unknown, None);
}

#[test]
fn a_library_host_does_not_make_a_tracker() {
    let through_library = CookieFacts {
        value_in_other_profile: Some(OTHER_UUID),
        set_by: Some("https://cdn.jsdelivr.net/npm/js-cookie@3/dist/js.cookie.min.js"),
        ..cookie("vst", UUID, SITE)
    };
    check(&through_library, Class::Unknown, None);
}

#[test]
fn a_host_given_away_by_its_pixel_answers_for_its_scripts() {
    let pixel = RequestFacts {
        url: "https://metrics.shop.test/x?t=1",
        document_url: PAGE,
        resource: "image",
        response_mime: Some("image/gif"),
        response_bytes: Some(43),
        sets_identifier_cookie: true,
        sends_identifier: false,
    };
    let found = CLASSIFIER.request_behaviour(&pixel).expect("the pixel is caught");
    let mut trackers = TrackerHosts::default();
    trackers.note(pixel.url, SITE, &found);
    trackers.note("https://www.shop.test/pixel", SITE, &found);
    assert_eq!(trackers.iter().map(|(host, _)| host).collect::<Vec<_>>(), ["metrics.shop.test"]);

    let script = CookieFacts { set_by: Some("https://metrics.shop.test/m.js"), ..cookie("sst", UUID, SITE) };
    check(&script, Class::Unknown, None);
    assert_eq!(CLASSIFIER.cookie_given(&script, &trackers).exempt, Some(false));
    let own = CookieFacts { set_by: Some("https://shop.test/app.js"), ..script };
    assert_eq!(CLASSIFIER.cookie_given(&own, &trackers).exempt, None);

    let key = StorageFacts {
        kind: StorageKind::Local,
        key: "sst",
        value: UUID,
        origin: Some(("https://shop.test", Party::First)),
        value_in_other_profile: None,
        sent_to_third_party: false,
        written_by_choice: false,
        set_by: script.set_by,
    };
    assert_eq!(CLASSIFIER.storage_key_given(&key, &trackers).exempt, Some(false));
    let third = StorageFacts { set_by: Some("https://counter.test/c.js"), ..key };
    assert_eq!(CLASSIFIER.storage_key_given(&third, &TrackerHosts::default()).exempt, Some(false));
}

#[test]
fn storage_keys_are_classified() {
    check_key("amplitude_id_a1b2", UUID, Class::Audience, Some(false));
    check_key("_hjUserAttributesHash", UUID, Class::Audience, Some(false));
    check_key("ph_phc_abc_posthog", UUID, Class::Audience, Some(false));
    check_key("yt-remote-device-id", UUID, Class::Social, Some(false));
    check_key("euconsent-v2", "CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA", Class::Consent, Some(true));
    check_key("vst", UUID, Class::Unknown, None);
    check_key("vst", "[1,2]", Class::Unknown, None);
    let by_tracker = Some("https://static.hotjar.com/c/hotjar-1.js");
    let found = CLASSIFIER.storage_key(StorageKind::Session, "vst", UUID, None, false, by_tracker);
    assert_eq!((found.exempt, found.basis), (Some(false), Basis::FilterList));
}

#[test]
fn the_database_is_not_believed_about_words_anybody_would_choose() {
    let find = |name, domain| cookie_database::find(name, Some(domain), party(domain, SITE), None).map(|row| row.class);
    for name in [
        "token",
        "uid",
        "c",
        "test",
        "store",
        "t",
        "login",
        "locale",
        "hash",
        "uuid",
        "data-theme",
        "_sst_id",
        "user_id",
    ] {
        let found = find(name, SITE);
        assert!(found.is_none_or(|class| class.is_exempt() != Some(false)), "{name}: {found:?}");
    }
    assert_eq!(find("token", "track.adform.net"), Some(Class::Advertising));
    assert_eq!(find("token", "ib.adnxs.com"), Some(Class::Functional));
    assert_eq!(find("token", "elsewhere.test"), None);
    assert_eq!(find("_gac_UA-1", SITE), Some(Class::Advertising));
    assert_eq!(find("KRTBCOOKIE_27", "pubmatic.com"), Some(Class::Advertising));
}

#[test]
fn lists_name_trackers() {
    for (url, resource, class) in [
        ("https://www.google-analytics.com/g/collect?v=2", "fetch", Class::Audience),
        ("https://www.googletagmanager.com/gtag/js?id=G-1", "script", Class::Audience),
        ("https://connect.facebook.net/en_US/fbevents.js", "script", Class::Advertising),
        ("https://www.facebook.com/tr?id=1", "image", Class::Advertising),
        ("https://analytics.tiktok.com/i18n/pixel/events.js", "script", Class::Advertising),
        ("https://googleads.g.doubleclick.net/pagead/id", "image", Class::Advertising),
        ("https://stats.g.doubleclick.net/j/collect", "xhr", Class::Advertising),
        ("https://bat.bing.com/action/0?ti=1", "image", Class::Advertising),
        ("https://px.ads.linkedin.com/collect?pid=1", "image", Class::Advertising),
        ("https://ct.pinterest.com/v3/?tid=1", "image", Class::Advertising),
        ("https://static.hotjar.com/c/hotjar-1.js", "script", Class::Audience),
        ("https://cdn.matomo.cloud/a.matomo.cloud/matomo.js", "script", Class::Audience),
        ("https://api.segment.io/v1/p", "fetch", Class::Audience),
        ("https://www.youtube.com/embed/abc", "document", Class::Social),
    ] {
        let found = CLASSIFIER.request(url, PAGE, resource);
        assert_eq!(found.as_ref().map(|found| found.class), Some(class), "{url}: {found:?}");
    }
}

#[test]
fn a_match_names_its_rule() {
    let why = |url| CLASSIFIER.request(url, PAGE, "script").map(|found| found.why);
    let expected = "EasyPrivacy: `||googletagmanager.com^`";
    assert_eq!(why("https://www.googletagmanager.com/gtag/js?id=G-1").as_deref(), Some(expected));
}

#[test]
fn what_is_asked_of_consent_tools_libraries_and_the_site_is_no_tracker() {
    for (url, resource) in [
        ("https://consent.cookiebot.com/uc.js", "script"),
        ("https://cdn.cookielaw.org/scripttemplates/otSDKStub.js", "script"),
        ("https://cdn.segment.com/v1/projects/abc/integrations", "fetch"),
        ("https://cdn.jsdelivr.net/npm/vue@3", "script"),
        ("https://fonts.gstatic.com/s/roboto.woff2", "font"),
        ("https://shop.test/app.js", "script"),
        (PAGE, "document"),
        ("https://metrics.other.test/app.js", "script"),
        ("data:image/gif;base64,R0lGODlhAQABAAAAACw=", "image"),
    ] {
        assert_eq!(CLASSIFIER.request(url, PAGE, resource), None, "{url}");
    }
    // Visiting the company itself makes its page no tracker.
    assert_eq!(CLASSIFIER.request("https://www.hotjar.com/", "https://www.hotjar.com/", "document"), None);
}

#[test]
fn an_exception_for_named_sites_keeps_a_tracker_a_tracker() {
    let url = "https://www.googletagmanager.com/gtm.js?id=GTM-1";
    assert!(CLASSIFIER.request(url, "https://aena.es/", "script").is_some());
}

#[test]
fn requests_no_list_knows_are_judged_by_what_they_do() {
    let plain = RequestFacts {
        url: "https://counter.test/a",
        document_url: PAGE,
        resource: "image",
        response_mime: Some("image/gif"),
        response_bytes: Some(43),
        sets_identifier_cookie: false,
        sends_identifier: false,
    };
    let caught = |facts: &RequestFacts<'_>| CLASSIFIER.request_behaviour(facts).is_some();
    assert!(!caught(&plain), "an empty picture alone is a spacer");
    assert!(caught(&RequestFacts { sets_identifier_cookie: true, ..plain }));
    assert!(caught(&RequestFacts { sends_identifier: true, resource: "fetch", response_mime: None, ..plain }));
    for url in [
        "https://counter.test/a?u=https%3A%2F%2Fshop.test%2Fbags",
        "https://counter.test/a?h=shop.test",
        "https://counter.test/a?d=https://shop.test/bags?colour=red&x=1",
    ] {
        assert!(caught(&RequestFacts { url, ..plain }), "{url}");
        assert!(
            !caught(&RequestFacts { url, response_bytes: Some(request::TINY_BYTES + 1), ..plain }),
            "a real picture"
        );
        assert!(!caught(&RequestFacts { url, resource: "script", response_mime: Some("text/javascript"), ..plain }));
    }
    for resource in ["script", "font", "stylesheet", "fetch"] {
        assert!(!caught(&RequestFacts { resource, response_mime: Some("text/css"), ..plain }), "{resource}");
    }
    // Behind a first-party name.
    let cloaked = RequestFacts { url: "https://metrics.shop.test/p.gif?t=1", ..plain };
    assert!(!caught(&cloaked));
    assert!(caught(&RequestFacts { sets_identifier_cookie: true, ..cloaked }));
    assert!(caught(&RequestFacts { sends_identifier: true, ..cloaked }));
    let api = RequestFacts {
        resource: "fetch",
        response_mime: Some("application/json"),
        response_bytes: Some(900),
        ..cloaked
    };
    assert!(
        !caught(&RequestFacts { sets_identifier_cookie: true, sends_identifier: true, ..api }),
        "the site's own service"
    );
    // The site's own host, and a consent tool.
    for url in ["https://www.shop.test/p.gif?t=1", "https://shop.test/p.gif?t=1", "https://cdn.cookielaw.org/p.gif?t=1"]
    {
        assert!(!caught(&RequestFacts { url, sets_identifier_cookie: true, sends_identifier: true, ..plain }), "{url}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_cookie_gets_an_answer(name in "\\PC{0,40}", value in "\\PC{0,80}", domain in "\\PC{0,20}", by in "\\PC{0,40}") {
        let _ = CLASSIFIER.cookie(&CookieFacts { set_by: Some(&by), ..cookie(&name, &value, &domain) });
    }

    #[test]
    fn any_request_gets_an_answer(url in "(https?://)?\\PC{0,60}", page in "(https://)?\\PC{0,20}", resource in "[a-z]{0,9}") {
        let _ = CLASSIFIER.request(&url, &page, &resource);
    }

    /// Whoever sets it and however long it lasts: an identifier that is handed on is never called exempt by behaviour.
    #[test]
    fn an_identifier_handed_to_third_parties_is_never_exempt(name in "[a-z]{3,8}zq", days in 8.0..4000.0_f64, http_only: bool) {
        let facts = CookieFacts { lifetime_s: Some(days * 86_400.0), http_only, sent_to_third_party: true, ..cookie(&name, UUID, SITE) };
        prop_assert_eq!(CLASSIFIER.cookie(&facts).exempt, Some(false));
    }
}
