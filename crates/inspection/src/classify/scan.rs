//! Uses of interfaces that tell devices apart, each with whether something was sent afterwards.

use super::traffic::RequestFact;
use vigie_domain::{VisitRecord, record::EventKind};
use vigie_trackers::{Party, host_of, registrable_domain};

/// A use of an interface that can tell devices apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanFact {
    /// The number of the event.
    pub event: u64,
    /// The interface.
    pub api: String,
    /// The script's address.
    pub script: Option<String>,
    /// Whether the interface reads how the device draws, sounds, or which fonts it has: what CK-03 speaks of. Reading
    /// the size of the screen and the like is ordinary by itself.
    pub scans: bool,
    /// The event of the request by which something was sent afterwards, if any.
    pub egress: Option<u64>,
}

/// Beginnings of the names of interfaces that CK-03 speaks of: drawing, audio, fonts, graphics hardware.
///
/// # Source
///
/// EDPB Guidelines 2/2023, version 2.0, section 3, for the principle; the list is ours.
const DEVICE: &[&str] = &[
    "HTMLCanvasElement.",
    "CanvasRenderingContext2D.",
    "OffscreenCanvas",
    "WebGL",
    "OfflineAudioContext.",
    "AnalyserNode.",
    "font ",
];

/// Returns the uses of such interfaces in a visit; each interface and script once.
pub(super) fn scans(visit: &VisitRecord, requests: &[RequestFact]) -> Vec<ScanFact> {
    let mut found: Vec<ScanFact> = Vec::new();
    for event in &visit.events {
        let EventKind::Fingerprinting { api, script, .. } = &event.kind else { continue };
        if found.iter().any(|known| known.api == *api && known.script == *script) {
            continue;
        }
        found.push(ScanFact {
            event: event.n,
            api: api.clone(),
            script: script.clone(),
            scans: DEVICE.iter().any(|start| api.starts_with(start)),
            egress: script.as_deref().and_then(|script| egress(event.n, script, requests)),
        });
    }
    found
}

/// Returns the first request that carries data after the call and that the script answers for: to the script's own
/// party where that is not the site's, or asked for by the script itself.
fn egress(call: u64, script: &str, requests: &[RequestFact]) -> Option<u64> {
    let host = host_of(script)?;
    let answers = |request: &&RequestFact| {
        let own = request.party == Party::Third && registrable_domain(&request.host) == registrable_domain(&host);
        own || request.initiator.as_deref() == Some(script)
    };
    requests
        .iter()
        .filter(|request| request.event > call && request.carries_data && !request.is_code())
        .find(answers)
        .map(|request| request.event)
}
