//! Explains one decision: who asked, from where, for what, what was decided and by which policies, and what left.
//!
//! A decision's name is that of its event, as clients find it in DETAIL of a denial. What is explained is what was
//! recorded then, not what would be decided today.

use crate::accounting::{AccessHeader, Account, JournalError};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::Arc;
use vigie_ledger::{EventId, Kind};
use vigie_vault::FileError;

/// A decision, as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The event's name.
    pub event_id: EventId,
    /// Its index in the ledger, from 0.
    pub index: u64,
    /// When, in seconds since 1970.
    pub time: u64,
    /// Who, why, by which decision.
    pub header: AccessHeader,
    /// Rows about people that left in this chunk of the result.
    pub rows: u32,
    /// How many of them were erased since.
    pub erased: u32,
}

/// Why a decision is not explained.
#[derive(Debug, thiserror::Error)]
pub enum NotExplained {
    /// The vault could not be read.
    #[error("the vault could not be read")]
    Vault(#[from] FileError),
    /// The ledger could not be asked.
    #[error("the ledger could not be asked for the decision")]
    Journal(#[from] JournalError),
    /// The event is not an access.
    #[error("event `{0}` is not an access as this version records them")]
    NotAnAccess(EventId),
}

/// Reads the name of a decision: 32 hexadecimal digits, with or without `decision ` before them.
pub fn read_event_id(text: &str) -> Option<EventId> {
    let digits = text.trim();
    let digits = digits.strip_prefix("decision ").unwrap_or(digits);
    if digits.len() != 32 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut id = [0; 16];
    for (byte, pair) in id.iter_mut().zip(digits.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(EventId(id))
}

impl Account {
    /// Explains a decision; `None` if the vault has none of this name.
    ///
    /// # Errors
    ///
    /// [`NotExplained`].
    pub async fn explain(self: &Arc<Self>, event_id: EventId) -> Result<Option<Explanation>, NotExplained> {
        let Some(record) = self.vault().find(event_id)? else { return Ok(None) };
        let header = AccessHeader::parse(&record.header).filter(|_| record.entry.kind == Kind::Access);
        let header = header.ok_or(NotExplained::NotAnAccess(event_id))?;
        // Handing an entry in again gives the place that it has.
        let placed = self.journal().append(&record.entry.to_bytes()).await?;
        let erased = record.rows.erased().count();
        Ok(Some(Explanation {
            event_id,
            index: placed.index,
            time: record.time_ms / 1000,
            header,
            rows: record.rows.count(),
            erased: u32::try_from(erased).unwrap_or(u32::MAX),
        }))
    }
}

impl Explanation {
    /// Tells whether it was a denial.
    pub fn is_denial(&self) -> bool {
        self.header.get("outcome") == Some("denied")
    }

    /// Writes it as a JSON document.
    pub fn to_json(&self) -> Value {
        let columns: Vec<&str> = self.columns().collect();
        let fields = self.header.fields().filter(|(name, _)| *name != "columns");
        let access: serde_json::Map<String, Value> =
            fields.map(|(name, value)| (name.to_owned(), value.into())).collect();
        json!({
            "schema": "vigie-explanation/1",
            "decision": self.event_id.to_string(),
            "denied": self.is_denial(),
            "time": self.time,
            "access": access,
            "columns": columns,
            "rows": self.rows,
            "erased_rows": self.erased,
            "ledger_index": self.index,
        })
    }

    fn columns(&self) -> impl Iterator<Item = &str> {
        let columns = self.header.fields().filter(|(name, _)| *name == "columns");
        columns.map(|(_, value)| value.split_once(' ').map_or(value, |(_, rest)| rest))
    }
}

/// Writes an explanation for people, from its JSON document: that is how it comes from a running gateway, too.
pub fn to_text(explained: &Value) -> String {
    let access = |name: &str| explained["access"][name].as_str().unwrap_or("-");
    let denied = explained["denied"].as_bool().unwrap_or(true);
    let columns: Vec<&str> = explained["columns"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let time = explained["time"].as_i64().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    let time = time.map_or_else(|| "-".to_owned(), |time| time.to_string());
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        writeln!(text, "  {name:<10} {value}").expect("a string takes everything");
    };
    line("who", &format!("{} of {}", access("who"), access("entity")));
    line("from", &format!("{} (zone {}), address {}", access("country"), access("zone"), access("client")));
    line("for", access("purpose"));
    line(
        "asked",
        &format!("{} of {}", access("action"), if columns.is_empty() { "-".to_owned() } else { columns.join("; ") }),
    );
    line("because", access("decision"));
    line("ticket", access("ticket"));
    line("rows", &format!("{}, of which {} were erased since", explained["rows"], explained["erased_rows"]));
    line("statement", access("statement"));
    line("policy", access("policy"));
    line("ledger", &format!("entry {} of {time}", explained["ledger_index"]));
    let outcome = if denied { "denied" } else { access("outcome") };
    format!("{outcome}: decision {}\n{text}", explained["decision"].as_str().unwrap_or("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_decisions_are_read_as_clients_see_them() {
        let id = EventId([0xab; 16]);
        assert_eq!(read_event_id(&format!("decision {id}")), Some(id));
        assert_eq!(read_event_id(&format!(" {id}\n")), Some(id));
        for wrong in ["", "abab", &"g".repeat(32), &"+a".repeat(16), &"é".repeat(16)] {
            assert_eq!(read_event_id(wrong), None, "{wrong}");
        }
    }
}
