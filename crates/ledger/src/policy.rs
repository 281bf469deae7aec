//! Whom a reader trusts: which logs, which witnesses, and how many of them must have seen a checkpoint.
//!
//! # Source
//!
//! C2SP tlog-policy (draft). The limits are ours; the specification asks for at least 32 of each.

use crate::checkpoint::{CheckpointError, OpenError, SignedCheckpoint};
use crate::key::{KeyError, KeyName, VerifierKey};
use crate::note::{Note, NoteError};
use std::collections::{BTreeMap, BTreeSet};

/// Most logs, witnesses or groups that a policy may name, each.
pub const MAX_NAMED: usize = 256;

/// Which logs and witnesses are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustPolicy {
    logs: Vec<Party>,
    witnesses: Vec<(String, Party)>,
    groups: Vec<Group>,
    quorum: Quorum,
}

/// A log or a witness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// Its key.
    pub key: VerifierKey,
    /// Where it is reached.
    pub url: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    name: String,
    needed: usize,
    members: Vec<Member>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    Witness(usize),
    Group(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quorum {
    None,
    Of(Member),
}

/// A checkpoint that satisfies a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attested {
    /// The checkpoint, with its signatures.
    pub checkpoint: SignedCheckpoint,
    /// The witnesses of the policy that cosigned it, in its order, and when each did, in seconds since 1970.
    pub witnesses: Vec<(KeyName, u64)>,
}

impl Attested {
    /// Returns when the last witness cosigned, in seconds since 1970; `None` without witnesses.
    pub fn latest(&self) -> Option<u64> {
        self.witnesses.iter().map(|(_, time)| *time).max()
    }
}

/// What is wrong with the text of a policy.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line} of the policy {problem}")]
pub struct PolicyError {
    /// Counted from 1; for what is missing, the line after the last.
    pub line: usize,
    /// What is wrong there.
    #[source]
    pub problem: Problem,
}

/// What can be wrong with a line of a policy.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Problem {
    /// It contains a control character.
    #[error("contains a control character")]
    Control,
    /// It begins with none of the words.
    #[error("begins with `{0}`; expected `log`, `witness`, `group` or `quorum`")]
    Word(String),
    /// It has too few or too many words.
    #[error("is not of the form `{0}`")]
    Form(&'static str),
    /// A key cannot be read.
    #[error("holds a key that cannot be used: {0}")]
    Key(KeyError),
    /// A key is not of the kind needed.
    #[error("names `{0}`, whose key is not of the kind that a {1} has")]
    Kind(KeyName, &'static str),
    /// A key is there twice.
    #[error("repeats the key of `{0}`")]
    Repeated(KeyName),
    /// A name is defined twice.
    #[error("defines `{0}` a second time")]
    Defined(String),
    /// A name is not defined.
    #[error("uses `{0}`, which no line before defines")]
    Unknown(String),
    /// A name is a member twice.
    #[error("makes `{0}` a member a second time")]
    Member(String),
    /// A threshold cannot be reached, or always is.
    #[error("asks for `{found}` of {members} members")]
    Threshold {
        /// What it asks for.
        found: String,
        /// How many there are.
        members: usize,
    },
    /// There are more parties than are read.
    #[error("is one too many: at most {MAX_NAMED} logs, witnesses or groups are read")]
    TooMany,
    /// The quorum is said twice.
    #[error("says the quorum a second time")]
    SecondQuorum,
    /// The quorum is not said.
    #[error("is missing: `quorum NAME` or `quorum none`")]
    NoQuorum,
}

/// Why a checkpoint does not satisfy a policy.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refusal {
    /// It is no note, or a signature is bad.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// It is no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// It is of a log that the policy does not list.
    #[error("checkpoint is of the log `{0}`, which the policy does not list")]
    UnknownLog(KeyName),
    /// It is of a log of the policy, which has not signed it.
    #[error("checkpoint names the log `{0}`, which has not signed it")]
    Unsigned(KeyName),
    /// Too few witnesses have seen it.
    #[error("checkpoint of `{origin}` is cosigned by {}, which is not the quorum that the policy asks for", listed(.seen))]
    NoQuorum {
        /// The log.
        origin: KeyName,
        /// The policy's witnesses that have cosigned.
        seen: Vec<KeyName>,
    },
}

fn listed(names: &[KeyName]) -> String {
    if names.is_empty() {
        return "none of its witnesses".to_owned();
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl TrustPolicy {
    /// Makes a policy that believes one log, without witnesses.
    pub fn of_log(key: VerifierKey) -> Self {
        let logs = vec![Party { key, url: None }];
        Self { logs, witnesses: Vec::new(), groups: Vec::new(), quorum: Quorum::None }
    }

    /// Reads the text of a policy.
    ///
    /// # Errors
    ///
    /// [`PolicyError`]: the first thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let mut draft = Draft::default();
        let mut lines = 0;
        for (at, line) in text.split('\n').enumerate() {
            lines = at + 1;
            draft.line(line).map_err(|problem| PolicyError { line: lines, problem })?;
        }
        let quorum = draft.quorum.ok_or(PolicyError { line: lines, problem: Problem::NoQuorum })?;
        Ok(Self { logs: draft.logs, witnesses: draft.witnesses, groups: draft.groups, quorum })
    }

    /// Returns the logs, in the order of the text.
    pub fn logs(&self) -> &[Party] {
        &self.logs
    }

    /// Returns the witnesses, in the order of the text.
    pub fn witnesses(&self) -> impl Iterator<Item = &Party> {
        self.witnesses.iter().map(|(_, party)| party)
    }

    /// Tells whether these witnesses are a quorum.
    pub fn is_quorum<'key>(&self, seen: impl IntoIterator<Item = &'key VerifierKey>) -> bool {
        let seen: Vec<_> = seen.into_iter().collect();
        let witnessed: Vec<_> = self.witnesses.iter().map(|(_, party)| seen.contains(&&party.key)).collect();
        let mut reached: Vec<bool> = Vec::with_capacity(self.groups.len());
        let holds = |member: &Member, reached: &[bool]| match *member {
            Member::Witness(at) => witnessed[at],
            Member::Group(at) => reached[at],
        };
        for group in &self.groups {
            let count = group.members.iter().filter(|member| holds(member, &reached)).count();
            reached.push(count >= group.needed);
        }
        match &self.quorum {
            Quorum::None => true,
            Quorum::Of(member) => holds(member, &reached),
        }
    }

    /// Reads a signed checkpoint and checks that a log of the policy signed it and a quorum of witnesses saw it.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub fn attest(&self, bytes: &[u8]) -> Result<Attested, Refusal> {
        let note = Note::parse(bytes)?;
        let checkpoint = crate::checkpoint::Checkpoint::parse(note.text())?;
        let origin = checkpoint.origin();
        let keys: Vec<_> = self.logs.iter().map(|party| &party.key).filter(|key| key.name() == origin).collect();
        if keys.is_empty() {
            return Err(Refusal::UnknownLog(origin.clone()));
        }
        let log = match note.verify(keys) {
            Err(NoteError::Unsigned) => return Err(Refusal::Unsigned(origin.clone())),
            signed => signed?[0].key.clone(),
        };
        let checkpoint = SignedCheckpoint::of_note(note, &log).map_err(|error| match error {
            OpenError::Note(error) => Refusal::Note(error),
            OpenError::Checkpoint(error) => Refusal::Checkpoint(error),
            OpenError::Origin { found, .. } => Refusal::UnknownLog(found),
        })?;
        let cosigned = checkpoint.cosigners(self.witnesses.iter().map(|(_, party)| &party.key))?;
        let seen = |key: &VerifierKey| cosigned.iter().find(|signed| signed.key == key);
        let witnesses: Vec<_> = self
            .witnesses
            .iter()
            .filter_map(|(_, party)| Some((party.key.name().clone(), seen(&party.key)?.time?)))
            .collect();
        if !self.is_quorum(cosigned.iter().map(|signed| signed.key)) {
            let seen = witnesses.into_iter().map(|(name, _)| name).collect();
            return Err(Refusal::NoQuorum { origin: checkpoint.checkpoint().origin().clone(), seen });
        }
        Ok(Attested { checkpoint, witnesses })
    }
}

#[derive(Default)]
struct Draft {
    logs: Vec<Party>,
    witnesses: Vec<(String, Party)>,
    groups: Vec<Group>,
    names: BTreeMap<String, Member>,
    members: BTreeSet<String>,
    quorum: Option<Quorum>,
}

impl Draft {
    fn line(&mut self, line: &str) -> Result<(), Problem> {
        if line.chars().any(|character| character.is_ascii_control() && character != '\t') {
            return Err(Problem::Control);
        }
        // Only spaces and tabs part words: other spaces of Unicode may be in names.
        let words: Vec<_> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
        match words.as_slice() {
            [] => Ok(()),
            [word, ..] if word.starts_with('#') => Ok(()),
            ["log", key, url @ ..] if url.len() < 2 => self.log(key, url.first()),
            ["log", ..] => Err(Problem::Form("log KEY [URL]")),
            ["witness", name, key, url @ ..] if url.len() < 2 => self.witness(name, key, url.first()),
            ["witness", ..] => Err(Problem::Form("witness NAME KEY [URL]")),
            ["group", name, needed, members @ ..] if !members.is_empty() => self.group(name, needed, members),
            ["group", ..] => Err(Problem::Form("group NAME all|any|K NAME…")),
            ["quorum", name] => self.quorum(name),
            ["quorum", ..] => Err(Problem::Form("quorum NAME|none")),
            [word, ..] => Err(Problem::Word((*word).to_owned())),
        }
    }

    fn log(&mut self, key: &str, url: Option<&&str>) -> Result<(), Problem> {
        let key: VerifierKey = key.parse().map_err(Problem::Key)?;
        if key.algorithm().is_cosigner() {
            return Err(Problem::Kind(key.name().clone(), "log"));
        }
        if let Some(same) = self.logs.iter().find(|log| log.key.is_same_key(&key)) {
            return Err(Problem::Repeated(same.key.name().clone()));
        }
        room(self.logs.len())?;
        self.logs.push(Party { key, url: url.map(|url| (*url).to_owned()) });
        Ok(())
    }

    fn witness(&mut self, name: &str, key: &str, url: Option<&&str>) -> Result<(), Problem> {
        let key: VerifierKey = key.parse().map_err(Problem::Key)?;
        if !key.algorithm().is_cosigner() {
            return Err(Problem::Kind(key.name().clone(), "witness"));
        }
        if let Some((_, same)) = self.witnesses.iter().find(|(_, witness)| witness.key.is_same_key(&key)) {
            return Err(Problem::Repeated(same.key.name().clone()));
        }
        room(self.witnesses.len())?;
        self.define(name, Member::Witness(self.witnesses.len()))?;
        self.witnesses.push((name.to_owned(), Party { key, url: url.map(|url| (*url).to_owned()) }));
        Ok(())
    }

    fn group(&mut self, name: &str, needed: &str, members: &[&str]) -> Result<(), Problem> {
        let n_members = members.len();
        let threshold = || Problem::Threshold { found: needed.to_owned(), members: n_members };
        let needed = match needed {
            "any" => 1,
            "all" => n_members,
            number => {
                crate::checkpoint::decimal(number).and_then(|number| number.try_into().ok()).ok_or_else(threshold)?
            }
        };
        if needed == 0 || needed > n_members {
            return Err(threshold());
        }
        let mut found = Vec::with_capacity(n_members);
        for member in members {
            found.push(*self.names.get(*member).ok_or_else(|| Problem::Unknown((*member).to_owned()))?);
            if !self.members.insert((*member).to_owned()) {
                return Err(Problem::Member((*member).to_owned()));
            }
        }
        room(self.groups.len())?;
        self.define(name, Member::Group(self.groups.len()))?;
        self.groups.push(Group { name: name.to_owned(), needed, members: found });
        Ok(())
    }

    fn quorum(&mut self, name: &str) -> Result<(), Problem> {
        if self.quorum.is_some() {
            return Err(Problem::SecondQuorum);
        }
        self.quorum = Some(match self.names.get(name) {
            _ if name == "none" => Quorum::None,
            Some(member) => Quorum::Of(*member),
            None => return Err(Problem::Unknown(name.to_owned())),
        });
        Ok(())
    }

    fn define(&mut self, name: &str, member: Member) -> Result<(), Problem> {
        if name == "none" || self.names.insert(name.to_owned(), member).is_some() {
            return Err(Problem::Defined(name.to_owned()));
        }
        Ok(())
    }
}

fn room(count: usize) -> Result<(), Problem> {
    if count < MAX_NAMED { Ok(()) } else { Err(Problem::TooMany) }
}
