//! The record of a person's choices as JSON-LD: one consent record a purpose and recipient, with all that was ever said.
//!
//! | field of ISO/IEC TS 27560 | here |
//! |---|---|
//! | schema version, record id | `dct:conformsTo`, `dct:identifier` |
//! | PII principal, PII controller | `dpv:hasDataSubject`, `dpv:hasDataController` |
//! | privacy notice, its language | `dpv:hasNotice` with `dct:identifier`, `dct:language`, the words as `dct:description` |
//! | purpose, lawful basis | `dpv:hasProcess` → `dpv:hasPurpose`; `dpv:hasLegalBasis` |
//! | recipients | `dpv:hasProcess` → `dpv:hasRecipient` |
//! | events: state, time, by whom, how | `dpv:hasConsentStatus`, oldest first |
//!
//! Purposes that do not rest on consent are in the document too, as `dpv:DataProcessingRecord`: a person who objected
//! finds the objection there.
//!
//! # Source
//!
//! DPVCG, *Consent Records and Receipts as per ISO/IEC TS 27560:2023 using DPV* (final community group report, 1 August
//! 2024). The standard itself is not free and was not read; the mapping is followed. `vigie:` terms are ours.

use crate::{Choice, Recorded, State};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The profile that records conform to.
pub const PROFILE: &str = "https://w3id.org/dpv/schema/dpv-27560#record";

/// Who is answerable for the processing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Controller {
    /// Its name.
    pub name: String,
    /// How it is reached, for instance the address of its data protection officer.
    pub contact: String,
}

/// Returns the record of one person. `wordings` are the words by the hash that choices name them by, in hexadecimal.
///
/// `made_at` is the moment of the export (RFC 3339).
pub fn record(
    subject: &str,
    controller: &Controller,
    choices: &[Choice],
    history: &[Recorded],
    wordings: &BTreeMap<String, String>,
    made_at: &str,
) -> Value {
    let graph: Vec<Value> = choices
        .iter()
        .map(|choice| {
            let said: Vec<&Recorded> = history
                .iter()
                .filter(|said| said.purpose == choice.purpose && said.recipient == choice.recipient)
                .collect();
            one(subject, controller, choice, &said, wordings)
        })
        .collect();
    json!({
        "@context": {
            "dpv": "https://w3id.org/dpv#",
            "eu-gdpr": "https://w3id.org/dpv/legal/eu/gdpr#",
            "dct": "http://purl.org/dc/terms/",
            "xsd": "http://www.w3.org/2001/XMLSchema#",
            "vigie": "https://example.org/vigie/choices#",
            "dct:created": { "@type": "xsd:dateTime" },
            "dct:conformsTo": { "@type": "@id" },
            "dpv:isIndicatedAtTime": { "@type": "xsd:dateTime" },
            "dpv:hasPurpose": { "@type": "@id" },
            "dpv:hasLegalBasis": { "@type": "@id" },
            "dpv:isIndicatedBy": { "@type": "@id" },
        },
        "dct:created": made_at,
        "@graph": graph,
    })
}

fn one(
    subject: &str,
    controller: &Controller,
    choice: &Choice,
    said: &[&Recorded],
    wordings: &BTreeMap<String, String>,
) -> Value {
    let is_consent = choice.basis == "consent";
    let kind = if is_consent { "dpv:ConsentRecord" } else { "dpv:DataProcessingRecord" };
    let mut process = Map::new();
    process.insert("@type".into(), "dpv:Process".into());
    process.insert("dpv:hasPurpose".into(), choice.term.as_str().into());
    process.insert("dct:title".into(), choice.purpose.as_str().into());
    if !choice.recipient.is_empty() {
        process.insert("dpv:hasRecipient".into(), choice.recipient.as_str().into());
    }
    let mut data_controller = json!({ "@type": "dpv:DataController", "dpv:hasName": controller.name });
    if !controller.contact.is_empty() {
        data_controller["dpv:hasContact"] = controller.contact.as_str().into();
    }
    let notices: BTreeMap<(&str, &str, String), Value> = said
        .iter()
        .filter(|said| !said.notice.is_empty() || said.wording_hash.is_some())
        .map(|said| {
            let hash = said.wording_hash.as_deref().map(hex).unwrap_or_default();
            let mut notice = Map::new();
            notice.insert("@type".into(), if is_consent { "dpv:ConsentNotice" } else { "dpv:PrivacyNotice" }.into());
            for (term, text) in [("dct:identifier", &said.notice), ("dct:language", &said.language)] {
                if !text.is_empty() {
                    notice.insert(term.into(), text.as_str().into());
                }
            }
            if !hash.is_empty() {
                notice.insert("vigie:wordingSha256".into(), hash.as_str().into());
            }
            if let Some(words) = wordings.get(&hash) {
                notice.insert("dct:description".into(), words.as_str().into());
            }
            ((said.notice.as_str(), said.language.as_str(), hash), Value::Object(notice))
        })
        .collect();
    let identifier = identifier(choice);
    json!({
        "@id": format!("urn:vigie:choice:{identifier}"),
        "@type": kind,
        "dct:conformsTo": PROFILE,
        "dct:identifier": identifier,
        "dpv:hasDataSubject": { "@type": "dpv:DataSubject", "dct:identifier": subject },
        "dpv:hasDataController": data_controller,
        "dpv:hasLegalBasis": legal_basis(&choice.basis),
        "dpv:hasProcess": process,
        "dpv:hasNotice": notices.into_values().collect::<Vec<_>>(),
        "dpv:hasConsentStatus": said.iter().map(|said| event(said, is_consent)).collect::<Vec<_>>(),
        "vigie:permitted": choice.permitted,
    })
}

/// Two people may have the same: the document is about one.
fn identifier(choice: &Choice) -> String {
    if choice.recipient.is_empty() {
        choice.purpose.clone()
    } else {
        format!("{}:{}", choice.purpose, choice.recipient)
    }
}

fn event(said: &Recorded, is_consent: bool) -> Value {
    // DPV has words for consent; an objection to a legitimate interest is no consent that was refused.
    let kind = match (is_consent, said.state) {
        (true, State::Requested) => "dpv:ConsentRequested",
        (true, State::Given) => "dpv:ConsentGiven",
        (true, State::Refused) => "dpv:ConsentRefused",
        (true, State::Withdrawn) => "dpv:ConsentWithdrawn",
        (true, State::Lapsed) => "dpv:ConsentExpired",
        (false, State::Refused | State::Withdrawn) => "vigie:Objection",
        (false, State::Given) => "vigie:ObjectionTakenBack",
        (false, State::Requested | State::Lapsed) => "vigie:NoObjection",
    };
    let mut event = json!({
        "@type": kind,
        "dpv:isIndicatedAtTime": said.decided_at,
        "dpv:isIndicatedBy": "dpv:DataSubject",
        "dpv:hasIndicationMethod": said.method,
        "dct:created": said.recorded_at,
        "vigie:inForce": said.in_force,
    });
    // Whoever withdraws is shown no notice.
    for (term, text) in [("dct:language", &said.language), ("vigie:notice", &said.notice)] {
        if !text.is_empty() {
            event[term] = text.as_str().into();
        }
    }
    if let Some(logged_as) = &said.event {
        event["vigie:ledgerEvent"] = hex(logged_as).into();
    }
    event
}

/// The term of DPV's extension for the GDPR.
fn legal_basis(basis: &str) -> &'static str {
    match basis {
        "consent" => "eu-gdpr:A6-1-a",
        "contract" => "eu-gdpr:A6-1-b",
        "legal-obligation" => "eu-gdpr:A6-1-c",
        "vital-interest" => "eu-gdpr:A6-1-d",
        "public-task" => "eu-gdpr:A6-1-e",
        _ => "eu-gdpr:A6-1-f",
    }
}

/// Writes bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
