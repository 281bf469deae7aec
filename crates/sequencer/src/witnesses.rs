//! Asking witnesses for their cosignatures, all at once, and hearing what they have against us.
//!
//! Out of scope: what a witness does (`witness`), and how many are enough (the log's policy).
//!
//! The surprise: a witness that has seen more of this log than we have, or another history of it, ends the log: its folder
//! was rolled back, and whatever we signed next would be a fork that everybody can prove.
//!
//! # Source
//!
//! C2SP tlog-witness 1.0.0.

use crate::publish::FolderSource;
use std::{io, time::Duration};
use ureq::Agent;
use vigie_ledger::{
    Checkpoint, Note, SignedCheckpoint, VerifierKey,
    note::{MAX_NOTE_BYTES, Signature},
    proof::consistency_proof,
    reader::{ReadError, Tiles},
    witness::AddCheckpoint,
};

/// A witness is asked at most so often for one head: a second time when it says how far it is.
const ATTEMPTS: usize = 3;

/// The witnesses of a log, and how far each has come.
#[derive(Debug)]
pub(crate) struct Witnesses {
    agent: Agent,
    each: Vec<Witness>,
}

#[derive(Debug)]
struct Witness {
    key: VerifierKey,
    url: String,
    /// Size of the head that it cosigned last, as far as we know.
    old: u64,
}

/// What the witnesses said.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) cosignatures: Vec<Signature>,
    /// Each by its name.
    pub(crate) said: Vec<(String, String)>,
    /// Why the log must not go on.
    pub(crate) against: Option<String>,
}

enum Said {
    Cosigned(Vec<Signature>),
    /// It last cosigned a head of this size.
    Conflict(u64),
    /// It holds that our head does not continue what it cosigned.
    Inconsistent,
    Failed(String),
}

impl Witnesses {
    /// Those of a policy that have an address. `published` tells which of them have cosigned what.
    pub(crate) fn new<'key>(
        parties: impl Iterator<Item = &'key vigie_ledger::policy::Party>,
        published: Option<&SignedCheckpoint>,
        timeout: Duration,
    ) -> Self {
        // Whatever else is in the program may have chosen the cryptography already; either choice will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("vigie/", env!("CARGO_PKG_VERSION")))
            .build();
        let cosigned = |key: &VerifierKey| {
            let published = published?;
            let signed = published.cosigners([key]).ok()?;
            (!signed.is_empty()).then_some(published.checkpoint().size())
        };
        let each = parties.filter_map(|party| {
            let url = party.url.as_ref()?.trim_end_matches('/').to_owned();
            Some(Witness { key: party.key.clone(), url, old: cosigned(&party.key).unwrap_or(0) })
        });
        Self { agent: config.new_agent(), each: each.collect() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.each.is_empty()
    }

    /// Asks all of them about a head of ours.
    pub(crate) fn ask(&mut self, note: &Note, head: &Checkpoint, tiles: &mut Tiles<FolderSource>) -> Asked {
        let mut asked = Asked::default();
        // INVARIANT (one outcome each): those that have not said anything final are asked once more.
        let mut left: Vec<usize> = (0..self.each.len()).collect();
        let mut outcomes: Vec<Option<String>> = vec![None; self.each.len()];
        for attempt in 1..=ATTEMPTS {
            let requests: Vec<(usize, Result<AddCheckpoint, String>)> =
                left.iter().map(|at| (*at, request(self.each[*at].old, note, head, tiles))).collect();
            let answers: Vec<(usize, Said)> = std::thread::scope(|scope| {
                let (agent, each) = (&self.agent, &self.each);
                let threads: Vec<_> = requests
                    .into_iter()
                    .map(|(at, request)| (at, scope.spawn(move || post(agent, &each[at], request))))
                    .collect();
                let ended = || Said::Failed("asking it ended in a panic".to_owned());
                threads.into_iter().map(|(at, thread)| (at, thread.join().unwrap_or_else(|_| ended()))).collect()
            });
            left.clear();
            for (at, said) in answers {
                let witness = &mut self.each[at];
                let name = witness.key.name();
                match said {
                    Said::Cosigned(signatures) => {
                        witness.old = head.size();
                        asked.cosignatures.extend(signatures);
                        outcomes[at] = Some("cosigned".to_owned());
                    }
                    Said::Conflict(size) if size > head.size() => {
                        asked.against = Some(format!(
                            "witness `{name}` has cosigned a head of {size} entries, the log has {}: the log was rolled \
                             back, and signs nothing more",
                            head.size()
                        ));
                    }
                    Said::Inconsistent => {
                        asked.against = Some(format!(
                            "witness `{name}` holds that the head of {} entries does not continue the one of {} that it \
                             cosigned: the log was rolled back or changed, and signs nothing more",
                            head.size(),
                            witness.old
                        ));
                    }
                    Said::Conflict(size) if attempt < ATTEMPTS => {
                        witness.old = size;
                        left.push(at);
                    }
                    Said::Conflict(size) => outcomes[at] = Some(format!("says again and again that it is at {size}")),
                    Said::Failed(why) => outcomes[at] = Some(why),
                }
            }
            if left.is_empty() || asked.against.is_some() {
                break;
            }
        }
        let names = self.each.iter().map(|witness| witness.key.name().to_string());
        asked.said = names.zip(outcomes.into_iter().map(Option::unwrap_or_default)).collect();
        asked
    }
}

fn request(old: u64, note: &Note, head: &Checkpoint, tiles: &mut Tiles<FolderSource>) -> Result<AddCheckpoint, String> {
    let proof: Result<_, ReadError<io::Error>> = consistency_proof(tiles, old.min(head.size()), head.size());
    let proof = proof.map_err(|error| format!("no proof for it could be made: {}", crate::recovery::chain(&error)))?;
    Ok(AddCheckpoint { old, proof, note: note.clone() })
}

fn post(agent: &Agent, witness: &Witness, request: Result<AddCheckpoint, String>) -> Said {
    let request = match request {
        Ok(request) => request,
        Err(why) => return Said::Failed(why),
    };
    let sent = agent.post(format!("{}/add-checkpoint", witness.url)).send(request.to_body());
    let mut response = match sent {
        Ok(response) => response,
        Err(error) => return Said::Failed(format!("could not be asked: {error}")),
    };
    let status = response.status().as_u16();
    let body = match response.body_mut().with_config().limit(MAX_NOTE_BYTES as u64).read_to_string() {
        Ok(body) => body,
        Err(error) => return Said::Failed(format!("did not end its answer: {error}")),
    };
    match status {
        200 => cosignatures(&request.note, &witness.key, &body).map_or_else(Said::Failed, Said::Cosigned),
        409 => match body.trim_end_matches('\n').parse() {
            Ok(size) => Said::Conflict(size),
            Err(_) => Said::Failed("answered 409 without a size".to_owned()),
        },
        422 => Said::Inconsistent,
        status => Said::Failed(format!("answered {status}")),
    }
}

/// Takes the lines that are the witness's own and right: one that is wrong would spoil the checkpoint for everybody.
fn cosignatures(note: &Note, key: &VerifierKey, body: &str) -> Result<Vec<Signature>, String> {
    let wrong = |why: String| format!("answered with something else than its cosignature: {why}");
    let answered =
        Note::parse(format!("{}\n{body}", note.text()).as_bytes()).map_err(|error| wrong(error.to_string()))?;
    answered.verify([key]).map_err(|error| wrong(error.to_string()))?;
    let own = |line: &&Signature| line.name == *key.name() && line.id == key.id();
    Ok(answered.signatures().iter().filter(own).cloned().collect())
}
