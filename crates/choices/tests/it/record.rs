//! What is read back of a person's choices, and what is kept beside them.

use crate::fixture::{CONTRACT, Fixture, INTEREST, OTHER, at, connect, map, parsed, person};
use std::collections::BTreeMap;
use vigie_choices::{
    Choices, ChoicesError, Evidence, State,
    jsonld::{self, Controller},
};

fn with(second: u64, recipient: &str, wording: Option<[u8; 32]>) -> Evidence {
    Evidence { recipient: recipient.to_owned(), wording_hash: wording, ..at(second) }
}

#[tokio::test]
async fn what_a_person_said_is_read_back_with_all_that_was_ever_said() {
    let fixture = Fixture::ready("readback").await;
    let (choices, client, who) = (fixture.choices, &fixture.client, person(1));
    let words = "We would like to send you offers. You can say no.";
    let hash = choices.keep_wording(client, words).await.unwrap();
    assert_eq!(choices.keep_wording(client, words).await.unwrap(), hash, "kept once");
    choices.record(client, &who, "marketing", State::Requested, &with(0, "", Some(hash))).await.unwrap();
    let event = Some([9; 16]);
    choices.record_as(client, &who, "marketing", State::Given, &with(1, "", Some(hash)), event).await.unwrap();
    choices.record(client, &who, "marketing", State::Given, &with(1, "Partner BV", Some(hash))).await.unwrap();
    choices.record(client, &who, "marketing", State::Withdrawn, &with(2, "Partner BV", None)).await.unwrap();
    let late = choices.record(client, &who, "marketing", State::Refused, &with(0, "", None)).await.unwrap();
    assert!(!late);

    let now = choices.choices_of(client, &who).await.unwrap();
    let told: Vec<(&str, &str, bool, Option<State>)> = now
        .iter()
        .map(|it| (it.purpose.as_str(), it.recipient.as_str(), it.permitted, it.said.as_ref().map(|said| said.state)))
        .collect();
    assert_eq!(
        told,
        [
            ("service", "", true, None),
            ("marketing", "", true, Some(State::Given)),
            ("marketing", "Partner BV", false, Some(State::Withdrawn)),
            ("fraud-prevention", "", true, None),
            ("research", "", true, None),
        ]
    );
    let said = now[1].said.as_ref().unwrap();
    assert_eq!(said.decided_at, "2023-11-14T22:13:21.000000Z");
    assert_eq!((said.event, said.wording_hash.as_deref()), (event, Some(hash.as_slice())));
    assert_eq!(choices.wording_of(client, &hash).await.unwrap().as_deref(), Some(words));

    let history = choices.whole_history_of(client, &who).await.unwrap();
    let states: Vec<(State, bool)> = history.iter().map(|said| (said.state, said.in_force)).collect();
    assert_eq!(
        states,
        [
            (State::Requested, true),
            (State::Given, true),
            (State::Given, true),
            (State::Withdrawn, true),
            (State::Refused, false)
        ]
    );
    let page = choices.history_of(client, &who, history[1].number, 2).await.unwrap();
    assert_eq!(page, history[2..4]);
    assert!(choices.whole_history_of(client, &person(2)).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_recipient_gets_nothing_while_an_order_stands() {
    let fixture = Fixture::ready("recipientstop").await;
    let (choices, client, who) = (fixture.choices, &fixture.client, person(1));
    choices.record(client, &who, "marketing", State::Given, &with(1, "Partner BV", None)).await.unwrap();
    let permitted = async || {
        let now = choices.choices_of(client, &who).await.unwrap();
        now.iter().find(|it| it.recipient == "Partner BV").unwrap().permitted
    };
    assert!(permitted().await);
    let order = vigie_choices::StopOrder {
        subject: None,
        purpose: Some("marketing".into()),
        ordered_by: "authority".into(),
        reference: "1/26".into(),
        reason: "no basis".into(),
    };
    let number = choices.stop(client, &order).await.unwrap();
    assert!(!permitted().await);
    assert!(choices.lift(client, number, "authority").await.unwrap());
    assert!(permitted().await);
}

#[tokio::test]
async fn a_new_purpose_by_consent_starts_refused_for_everyone() {
    let mut fixture = Fixture::ready("newpurpose").await;
    let text = map("newpurpose", "bigint")
        + "[[purpose]]\nname = \"profiling\"\nterm = \"dpv:Personalisation\"\nbit = 9\nbasis = \"consent\"\n";
    let (choices, report) = Choices::install(&mut fixture.client, &parsed(&text)).await.unwrap();
    assert_eq!(report.purposes_added, ["profiling"]);
    fixture.settle().await;
    for id in [1, 2] {
        assert_eq!(fixture.masks("users", id).await, [CONTRACT | INTEREST | OTHER]);
        let now = choices.choices_of(&fixture.client, &person(id)).await.unwrap();
        let new = now.iter().find(|it| it.purpose == "profiling").unwrap();
        assert!(!new.permitted && new.said.is_none());
    }
}

#[tokio::test]
async fn what_was_kept_cannot_be_changed_and_words_have_bounds() {
    let fixture = Fixture::ready("keptwords").await;
    let (choices, client) = (fixture.choices, &fixture.client);
    let hash = choices.keep_wording(client, "words").await.unwrap();
    for sql in ["UPDATE vigie.wording SET words = 'other'", "DELETE FROM vigie.wording"] {
        let error = client.batch_execute(sql).await.unwrap_err();
        assert_eq!(error.as_db_error().map(|error| error.code().code()), Some("42501"), "{sql}");
    }
    for words in [String::new(), "x".repeat(20_001)] {
        let error = choices.keep_wording(client, &words).await.unwrap_err();
        assert!(matches!(error, ChoicesError::Refused { .. }), "{error:?}");
    }
    assert_eq!(choices.wording_of(client, &hash).await.unwrap().as_deref(), Some("words"));
}

#[tokio::test]
async fn the_role_of_choices_can_do_this_and_no_more() {
    let fixture = Fixture::ready("servicerole").await;
    let client = connect(&fixture.database).await;
    client.batch_execute("SET ROLE vigie_servicerole_choices").await.unwrap();
    let (choices, who) = (fixture.choices, person(1));
    let (key, request) = ([1; 32], [2; 32]);
    assert_eq!(choices.answer_before(&client, &key, &request).await.unwrap(), None);
    choices.keep_answer(&client, &key, &request, "yes").await.unwrap();
    choices.keep_answer(&client, &key, &[3; 32], "no").await.unwrap();
    assert_eq!(choices.answer_before(&client, &key, &request).await.unwrap(), Some((true, "yes".to_owned())));
    assert_eq!(choices.answer_before(&client, &key, &[3; 32]).await.unwrap(), Some((false, "yes".to_owned())));
    choices.note_unlogged(&client, &[7; 16]).await.unwrap();
    assert_eq!(choices.unlogged(&client, 10).await.unwrap(), [[7; 16]]);
    choices.note_logged(&client, &[7; 16]).await.unwrap();
    assert!(choices.unlogged(&client, 10).await.unwrap().is_empty());
    choices.record_as(&client, &who, "marketing", State::Given, &at(1), Some([1; 16])).await.unwrap();
    assert_eq!(choices.whole_history_of(&client, &who).await.unwrap().len(), 1);
    assert_eq!(choices.choices_of(&client, &who).await.unwrap().len(), 4);
    for sql in ["SELECT * FROM vigie.choice", "SELECT * FROM vigie.answered", "SELECT * FROM users"] {
        let error = client.batch_execute(sql).await.unwrap_err();
        assert_eq!(error.as_db_error().map(|error| error.code().code()), Some("42501"), "{sql}");
    }
}

#[tokio::test]
async fn a_choice_is_found_in_one_probe_of_an_index() {
    let fixture = Fixture::ready("oneprobe").await;
    fixture.client.batch_execute("SET enable_seqscan = off").await.unwrap();
    let sql = "EXPLAIN (COSTS off) SELECT state FROM vigie.choice WHERE subject = 1 AND purpose = 1 AND recipient = ''";
    let rows = fixture.client.query(sql, &[]).await.unwrap();
    let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(plan[0], "Index Scan using choice_pkey on choice", "{plan:?}");
}

#[tokio::test]
async fn a_record_has_the_fields_of_the_standard() {
    let fixture = Fixture::ready("jsonld").await;
    let (choices, client, who) = (fixture.choices, &fixture.client, person(3));
    let hash = choices.keep_wording(client, "Offers?").await.unwrap();
    choices.record_as(client, &who, "marketing", State::Given, &with(1, "", Some(hash)), Some([1; 16])).await.unwrap();
    choices.record(client, &who, "marketing", State::Withdrawn, &with(2, "", Some(hash))).await.unwrap();
    choices.record(client, &who, "research", State::Refused, &with(3, "", None)).await.unwrap();
    let bare = Evidence { notice: String::new(), language: String::new(), ..with(4, "", None) };
    choices.record(client, &who, "marketing", State::Withdrawn, &bare).await.unwrap();
    let controller = Controller { name: "Platform Ireland Ltd".into(), contact: "mailto:dpo@platform.example".into() };
    let now = choices.choices_of(client, &who).await.unwrap();
    let history = choices.whole_history_of(client, &who).await.unwrap();
    let wordings = BTreeMap::from([(jsonld::hex(&hash), "Offers?".to_owned())]);
    let record = jsonld::record("3", &controller, &now, &history, &wordings, "2026-11-30T12:00:00Z");
    let graph = record["@graph"].as_array().unwrap();
    assert_eq!(graph.len(), 4);
    let marketing = &graph[1];
    for (field, expected) in [
        ("@type", "dpv:ConsentRecord"),
        ("dct:conformsTo", jsonld::PROFILE),
        ("dct:identifier", "marketing"),
        ("dpv:hasLegalBasis", "eu-gdpr:A6-1-a"),
    ] {
        assert_eq!(marketing[field], expected, "{field}");
    }
    assert_eq!(marketing["dpv:hasDataSubject"]["dct:identifier"], "3");
    assert_eq!(marketing["dpv:hasDataController"]["dpv:hasName"], "Platform Ireland Ltd");
    assert_eq!(marketing["dpv:hasProcess"]["dpv:hasPurpose"], "dpv:Purpose");
    assert_eq!(marketing["dpv:hasNotice"][0]["dct:description"], "Offers?");
    assert_eq!(marketing["dpv:hasNotice"][0]["dct:language"], "en");
    let events: Vec<&str> = marketing["dpv:hasConsentStatus"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["@type"].as_str().unwrap())
        .collect();
    assert_eq!(events, ["dpv:ConsentGiven", "dpv:ConsentWithdrawn", "dpv:ConsentWithdrawn"]);
    assert_eq!(
        marketing["dpv:hasNotice"].as_array().unwrap().len(),
        1,
        "who withdraws without a word is shown no notice"
    );
    assert_eq!(marketing["dpv:hasConsentStatus"][2].get("vigie:notice"), None);
    let given = &marketing["dpv:hasConsentStatus"][0];
    assert_eq!(given["dpv:isIndicatedAtTime"], "2023-11-14T22:13:21.000000Z");
    assert_eq!(given["vigie:ledgerEvent"], "01".repeat(16));
    assert_eq!(marketing["vigie:permitted"], false);
    assert_eq!(graph[3]["@type"], "dpv:DataProcessingRecord");
    assert_eq!(graph[3]["dpv:hasConsentStatus"][0]["@type"], "vigie:Objection");
}
