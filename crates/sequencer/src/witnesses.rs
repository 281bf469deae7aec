//! Asking witnesses for their cosignatures, all at once, and hearing what they have against us.
//!
//! Out of scope: what a witness does (`witness`), and how many are enough (the log's policy).
//!
//! The surprise: a witness that has seen more of this log than we have, or another history of it, ends the log if it shows
//! a head that our own key signed and that we do not know: the folder was rolled back, and whatever we signed next would be
//! a fork that everybody can prove. One that only says so is left aside, so that no single liar stops a log, unless
//! without it the policy's quorum cannot be had.
//!
//! # Source
//!
//! C2SP tlog-witness 1.0.0.

use crate::publish::FolderSource;
use std::{io, time::Duration};
use ureq::Agent;
use vigie_ledger::{
    Checkpoint, Hash, Note, SignedCheckpoint, VerifierKey,
    note::{MAX_NOTE_BYTES, Signature},
    proof::consistency_proof,
    reader::{ReadError, Tiles},
    witness::AddCheckpoint,
};

/// A witness is asked at most so often for one head: a second time when it says how far it is.
const ATTEMPTS: usize = 3;

/// What follows for a log that was rolled back.
pub(crate) const ENDS: &str = "the log was rolled back or changed, and signs nothing more";

/// The witnesses of a log, and how far each has come.
#[derive(Debug)]
pub(crate) struct Witnesses {
    agent: Agent,
    log: VerifierKey,
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
    /// What witnesses hold against the log without showing it: each with the beginning of a sentence.
    pub(crate) accusations: Vec<(VerifierKey, String)>,
    /// Why the log must not go on: a witness has shown it.
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
        log: &VerifierKey,
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
        Self { agent: config.new_agent(), log: log.clone(), each: each.collect() }
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
        let mut accused: Vec<(usize, String)> = Vec::new();
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
                        let (entries, ours) = (size, head.size());
                        let why =
                            format!("witness `{name}` has cosigned a head of {entries} entries, the log has {ours}");
                        accused.push((at, why));
                    }
                    Said::Inconsistent => {
                        let why = format!(
                            "witness `{name}` holds that the head of {} entries does not continue the one of {} that it \
                             cosigned",
                            head.size(),
                            witness.old
                        );
                        accused.push((at, why));
                    }
                    Said::Conflict(size) if attempt < ATTEMPTS => {
                        witness.old = size;
                        left.push(at);
                    }
                    Said::Conflict(size) => outcomes[at] = Some(format!("says again and again that it is at {size}")),
                    Said::Failed(why) => outcomes[at] = Some(why),
                }
            }
            if left.is_empty() {
                break;
            }
        }
        for (at, why) in accused {
            match self.evidence(&self.each[at], head, tiles) {
                Ok(shown) => {
                    asked.against.get_or_insert(format!("{why}, and shows {shown}: {ENDS}"));
                }
                Err(lacking) => {
                    outcomes[at] = Some(format!("says that the log was rolled back or changed, and {lacking}"));
                    asked.accusations.push((self.each[at].key.clone(), why));
                }
            }
        }
        let names = self.each.iter().map(|witness| witness.key.name().to_string());
        asked.said = names.zip(outcomes.into_iter().map(Option::unwrap_or_default)).collect();
        asked
    }

    /// Looks at the head that a witness shows: is it one that our key signed, and that we do not know?
    ///
    /// # Errors
    ///
    /// What is lacking, as the end of a sentence about the witness.
    fn evidence(
        &self,
        witness: &Witness,
        head: &Checkpoint,
        tiles: &mut Tiles<FolderSource>,
    ) -> Result<String, String> {
        let origin = Hash::of(self.log.name().as_str().as_bytes()).to_hex();
        let asked = self.agent.get(format!("{}/{origin}/checkpoint", witness.url)).call();
        let mut response = asked.map_err(|error| format!("could not be asked for what it has cosigned: {error}"))?;
        if response.status().as_u16() != 200 {
            return Err(format!("answered {} when asked for what it has cosigned", response.status().as_u16()));
        }
        let body = response.body_mut().with_config().limit(MAX_NOTE_BYTES as u64).read_to_vec();
        let body =
            body.map_err(|error| format!("did not end its answer when asked for what it has cosigned: {error}"))?;
        let shown = SignedCheckpoint::open(&body, &self.log)
            .map_err(|error| format!("shows no head that this log has signed: {error}"))?;
        let (size, root) = (shown.checkpoint().size(), shown.checkpoint().root());
        if size > head.size() {
            return Ok(format!("a head of {size} entries with the log's own signature"));
        }
        let ours: Result<Hash, ReadError<io::Error>> = vigie_ledger::proof::root(tiles, size);
        match ours {
            Ok(ours) if ours == root => Err(format!("shows a head of {size} entries that is the log's own")),
            Ok(_) => Ok(format!("another head of {size} entries with the log's own signature")),
            Err(error) => Err(format!("the head it shows could not be compared: {}", crate::recovery::chain(&error))),
        }
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
