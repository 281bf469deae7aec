//! Orders of authorities that a flow stops (SH-08): signed documents, and what they stop.
//!
//! ```text
//! vigie/stop-order/v1
//! authority CNIL
//! reference MED-2017-075
//! effect 2026-11-30T12:00:00Z
//! purpose advertising              every line from here on narrows the order, and may be missing
//! recipient parent.example
//! field phone
//! group country=FR
//! ```
//!
//! signed as a C2SP note by a key that the operator registered. `vigie/stop-lift/v1` with `authority`, `order` (the hash
//! of the order's text), `reference` and `effect` lifts one, under the same key.
//!
//! Out of scope: when they are looked at (`run`). The surprise: a document among the orders that cannot be read, or whose
//! signature is not that of a registered authority, stops everything: it could be an order.

use crate::flow::{Authority, Flow};
use arrow_array::RecordBatch;
use jiff::Timestamp;
use std::fmt;
use std::path::{Path, PathBuf};
use vigie_ledger::key::SignerKey;
use vigie_ledger::{Hash, Note};

const ORDER: &str = "vigie/stop-order/v1";
const LIFT: &str = "vigie/stop-lift/v1";

/// What an authority orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopOrder {
    /// Who orders it.
    pub authority: String,
    /// The file or decision.
    pub reference: String,
    /// From when on.
    pub effect: Timestamp,
    /// For which purpose; for all, if none.
    pub purpose: Option<String>,
    /// To whom; to everybody, if none.
    pub recipient: Option<String>,
    /// Which field; whole records, if none.
    pub field: Option<String>,
    /// Whose records: those with this value in this field; everybody's, if none.
    pub group: Option<(String, String)>,
}

/// That an order is lifted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lift {
    /// Who lifts it.
    pub authority: String,
    /// The hash of the order's text.
    pub order: Hash,
    /// The file or decision.
    pub reference: String,
    /// From when on.
    pub effect: Timestamp,
}

/// A document of an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// Stop.
    Stop(StopOrder),
    /// Go on.
    Lift(Lift),
}

/// Why a document is no order that counts.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// A file or folder cannot be read.
    #[error("`{}` cannot be read: {why}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// It is no order.
    #[error("`{}` is among the orders and is none: {why}", .path.display())]
    Text {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Nobody signed it who may.
    #[error("`{}` is not signed by the key of `{authority}` that is registered", .path.display())]
    Unsigned {
        /// Which.
        path: PathBuf,
        /// Who should have.
        authority: String,
    },
    /// It lifts what there is not.
    #[error("`{}` lifts order sha256:{order}, and no order of `{authority}` among these has that hash", .path.display())]
    NoSuchOrder {
        /// Which.
        path: PathBuf,
        /// The order's hash, in hexadecimal.
        order: String,
        /// Who lifts.
        authority: String,
    },
}

/// An order, and whether it was lifted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The order.
    pub order: StopOrder,
    /// The hash of its text.
    pub hash: Hash,
    /// Since when it is lifted, if it is.
    pub lifted: Option<Timestamp>,
}

/// All orders that an operator was given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Orders(Vec<Standing>);

/// What orders stop of a flow at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stops {
    /// Whether all records are stopped.
    pub everything: Everything,
    /// Fields that do not leave.
    pub fields: Vec<String>,
    /// Records that do not leave: those with the value in the field.
    pub groups: Vec<(String, String)>,
    /// Fields that do not leave of some records: field, and the group.
    pub fields_of_groups: Vec<(String, (String, String))>,
    /// The hashes of the orders in force.
    pub hashes: Vec<Hash>,
}

/// Whether all records are stopped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Everything {
    /// Only what is named.
    #[default]
    Goes,
    /// All.
    Stopped,
}

impl fmt::Display for Document {
    /// Writes the text that is signed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stop(order) => {
                writeln!(
                    f,
                    "{ORDER}\nauthority {}\nreference {}\neffect {}",
                    order.authority, order.reference, order.effect
                )?;
                let narrowing = [("purpose", &order.purpose), ("recipient", &order.recipient), ("field", &order.field)];
                for (name, value) in narrowing {
                    if let Some(value) = value {
                        writeln!(f, "{name} {value}")?;
                    }
                }
                order.group.as_ref().map_or(Ok(()), |(field, value)| writeln!(f, "group {field}={value}"))
            }
            Self::Lift(lift) => writeln!(
                f,
                "{LIFT}\nauthority {}\nreference {}\neffect {}\norder {}",
                lift.authority,
                lift.reference,
                lift.effect,
                lift.order.to_hex()
            ),
        }
    }
}

impl Document {
    /// Reads the text of a document. Each line may be there once.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.strip_suffix('\n').ok_or("it does not end with a line")?.split('\n');
        let first = lines.next().unwrap_or_default();
        let known: &[&str] = match first {
            ORDER => &["authority", "reference", "effect", "purpose", "recipient", "field", "group"],
            LIFT => &["authority", "reference", "effect", "order"],
            other => return Err(format!("it begins with `{other}`, expected `{ORDER}` or `{LIFT}`")),
        };
        let mut values = std::collections::BTreeMap::new();
        for line in lines {
            let (name, value) = line.split_once(' ').ok_or_else(|| format!("line `{line}` has no value"))?;
            if !known.contains(&name) {
                return Err(format!("line `{name}` is not known"));
            }
            if values.insert(name, value.to_owned()).is_some() {
                return Err(format!("line `{name}` is there twice"));
            }
        }
        let mut needed = |name: &str| values.remove(name).ok_or_else(|| format!("line `{name}` is missing"));
        let (authority, reference, effect) = (needed("authority")?, needed("reference")?, needed("effect")?);
        let effect = effect
            .parse()
            .map_err(|_| format!("`effect` is `{effect}`, expected a time such as 2026-11-30T12:00:00Z"))?;
        if first == LIFT {
            let order = needed("order")?;
            let order = from_hex(&order).ok_or("`order` is no hash in hexadecimal")?;
            return Ok(Self::Lift(Lift { authority, order, reference, effect }));
        }
        let group = values.remove("group");
        let group = match group {
            None => None,
            Some(group) => {
                let (field, value) = group.split_once('=').ok_or("`group` is not FIELD=VALUE")?;
                Some((field.to_owned(), value.to_owned()))
            }
        };
        Ok(Self::Stop(StopOrder {
            authority,
            reference,
            effect,
            purpose: values.remove("purpose"),
            recipient: values.remove("recipient"),
            field: values.remove("field"),
            group,
        }))
    }

    /// Returns who wrote it.
    pub fn authority(&self) -> &str {
        match self {
            Self::Stop(order) => &order.authority,
            Self::Lift(lift) => &lift.authority,
        }
    }

    /// Signs it.
    ///
    /// # Errors
    ///
    /// If a value has a character that a signed note cannot hold.
    pub fn signed(&self, key: &SignerKey) -> Result<String, String> {
        let text = self.to_string();
        // What cannot be read back would stop everything at the operator's.
        Self::parse(&text)?;
        let mut note = Note::new(text).map_err(|error| error.to_string())?;
        note.add(key.sign(note.text()));
        Ok(note.to_string())
    }
}

fn from_hex(text: &str) -> Option<Hash> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(Hash(bytes))
}

impl Orders {
    /// Reads all orders of a folder; none if it is not there.
    ///
    /// # Errors
    ///
    /// [`OrderError`], also for a single document that does not count: then nothing may leave.
    pub fn read(folder: &Path, authorities: &[Authority]) -> Result<Self, OrderError> {
        let failed =
            |path: &Path, error: &std::io::Error| OrderError::File { path: path.to_owned(), why: error.to_string() };
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(failed(folder, &error)),
        };
        let mut paths = Vec::new();
        for entry in entries {
            paths.push(entry.map_err(|error| failed(folder, &error))?.path());
        }
        paths.sort();
        let (mut standing, mut lifts) = (Vec::new(), Vec::new());
        for path in paths {
            let bytes = std::fs::read(&path).map_err(|error| failed(&path, &error))?;
            let (document, hash) = open(&path, &bytes, authorities)?;
            match document {
                Document::Stop(order) => standing.push(Standing { order, hash, lifted: None }),
                Document::Lift(lift) => lifts.push((path, lift)),
            }
        }
        for (path, lift) in lifts {
            let of = |it: &&mut Standing| it.hash == lift.order && it.order.authority == lift.authority;
            let order = standing.iter_mut().find(of).ok_or_else(|| OrderError::NoSuchOrder {
                path,
                order: lift.order.to_hex(),
                authority: lift.authority.clone(),
            })?;
            order.lifted = Some(order.lifted.map_or(lift.effect, |before| before.min(lift.effect)));
        }
        Ok(Self(standing))
    }

    /// Lists them, those lifted too.
    pub fn all(&self) -> &[Standing] {
        &self.0
    }

    /// Returns what they stop of a flow at a moment.
    pub fn stops(&self, flow: &Flow, now: Timestamp) -> Stops {
        let mut stops = Stops::default();
        for Standing { order, hash, .. } in self.0.iter().filter(|it| it.is_in_force(now) && it.order.concerns(flow)) {
            stops.hashes.push(*hash);
            match (order.field.clone(), order.group.clone()) {
                (None, None) => stops.everything = Everything::Stopped,
                (None, Some(group)) => stops.groups.push(group),
                (Some(field), None) => stops.fields.push(field),
                (Some(field), Some(group)) => stops.fields_of_groups.push((field, group)),
            }
        }
        stops
    }
}

/// Reads one document, and checks who signed it.
///
/// # Errors
///
/// [`OrderError`].
pub fn open(path: &Path, bytes: &[u8], authorities: &[Authority]) -> Result<(Document, Hash), OrderError> {
    let wrong = |why: String| OrderError::Text { path: path.to_owned(), why };
    let note = Note::parse(bytes).map_err(|error| wrong(error.to_string()))?;
    let document = Document::parse(note.text()).map_err(wrong)?;
    let unsigned = || OrderError::Unsigned { path: path.to_owned(), authority: document.authority().to_owned() };
    let keys: Vec<_> = authorities.iter().filter(|it| it.name == document.authority()).map(|it| &it.key).collect();
    let signed = note.verify(keys.iter().copied());
    if signed.map_err(|_| unsigned())?.is_empty() {
        return Err(unsigned());
    }
    let hash = Hash::of(note.text().as_bytes());
    Ok((document, hash))
}

impl Standing {
    /// Tells whether the order is in force at a moment.
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.order.effect <= now && self.lifted.is_none_or(|lifted| lifted > now)
    }
}

impl StopOrder {
    /// Tells whether it is about a flow. A field that a flow does not have is none of its own.
    pub fn concerns(&self, flow: &Flow) -> bool {
        let fits = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        fits(&self.purpose, &flow.purpose)
            && fits(&self.recipient, &flow.recipient)
            && self.field.as_ref().is_none_or(|field| flow.fields.iter().any(|known| known.name == *field))
    }
}

impl Stops {
    /// Tells of each record whether it is stopped. A group by a field that the flow does not have cannot be told from
    /// others: then all are.
    pub fn of(&self, records: &RecordBatch) -> Vec<bool> {
        if self.everything == Everything::Stopped {
            return vec![true; records.num_rows()];
        }
        let mut stopped = vec![false; records.num_rows()];
        for group in &self.groups {
            for (stopped, is_in) in stopped.iter_mut().zip(in_group(records, group)) {
                *stopped |= is_in;
            }
        }
        stopped
    }
}

/// Tells of each record whether it is in a group; all are, if the field is not there.
pub(crate) fn in_group(records: &RecordBatch, (field, value): &(String, String)) -> Vec<bool> {
    let Some(column) = records.column_by_name(field) else { return vec![true; records.num_rows()] };
    (0..records.num_rows()).map(|row| crate::field::value_text(column, row).as_deref() == Some(value)).collect()
}
