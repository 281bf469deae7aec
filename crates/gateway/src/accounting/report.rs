//! Who read the data of a person: every access, with what proves it.
//!
//! A line has two receipts, of the same entry: one opens the header (who, from where, for what), the other the row (that
//! it was this person's). Both are checked offline by `vigie verify`, against the ledger's key and witnesses.
//!
//! The surprise: places are had by handing entries in again. An access whose rows never left, because its entry was not
//! logged in time, is logged then: the report rather says too much.

use super::header::{AccessHeader, read_row};
use super::{Account, JournalError};
use std::fmt::Write as _;
use std::sync::Arc;
use vigie_accounting::with_opening;
use vigie_ledger::opening::Part;
use vigie_ledger::{Entry, EventId, Kind, Receipt};
use vigie_vault::{FileError, Found, NotOpened, Record};

/// One access to the data of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLine {
    /// The minute of the access, in seconds since 1970.
    pub time: u64,
    /// The event's name.
    pub event_id: EventId,
    /// Its index in the ledger.
    pub index: u64,
    /// Who, why, by which decision.
    pub header: AccessHeader,
    /// What was read: relation and columns.
    pub columns: String,
    /// The row's number in the ledger.
    pub row: u64,
    /// Proves entry and header; `None` if the ledger is behind a queue.
    pub header_receipt: Option<Receipt>,
    /// Proves entry and row; `None` if the ledger is behind a queue.
    pub row_receipt: Option<Receipt>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The vault could not be read.
    #[error("the vault could not be read")]
    Vault(#[from] FileError),
    /// The ledger could not be asked.
    #[error("the ledger could not be asked for an access")]
    Journal(#[from] JournalError),
    /// A row cannot be opened.
    #[error("a row of event `{event}` cannot be opened")]
    Row {
        /// The event.
        event: EventId,
        /// Why.
        #[source]
        source: NotOpened,
    },
    /// The record of an access cannot be read.
    #[error("the record of event `{0}` is not of an access as this version writes them")]
    Record(EventId),
    /// The gateway is ending.
    #[error("the gateway is ending")]
    Ending,
}

impl Account {
    /// Lists all accesses to the data of a person that were promised before, in the ledger's order.
    ///
    /// # Errors
    ///
    /// [`ReportError`]. There is no report in part.
    pub async fn access_report(self: &Arc<Self>, subject: &[u8]) -> Result<Vec<AccessLine>, ReportError> {
        let (vault, subject) = (self.vault().clone(), subject.to_vec());
        let found = tokio::task::spawn_blocking(move || vault.about(&subject)).await;
        let mut lines = Vec::new();
        for Found { record, rows } in found.map_err(|_| ReportError::Ending)?? {
            if record.entry.kind == Kind::Access {
                self.report_event(&record, &rows, &mut lines).await?;
            }
        }
        // The vault knows minutes only; the ledger knows what came first.
        lines.sort_by_key(|line| line.row);
        Ok(lines)
    }

    async fn report_event(
        &self,
        record: &Record,
        rows: &[u32],
        lines: &mut Vec<AccessLine>,
    ) -> Result<(), ReportError> {
        let event_id = record.event_id();
        let header = AccessHeader::parse(&record.header).ok_or(ReportError::Record(event_id))?;
        let bytes = record.entry.to_bytes();
        let placed = self.journal().append(&bytes).await?;
        let receipt = match self.journal().receipt(&bytes, placed.index).await {
            Err(JournalError::NoReceipts) => None,
            other => Some(other?),
        };
        let entry = Entry { row_base: placed.row_base, ..record.entry };
        let showing = |part| receipt.as_ref().map(|receipt| with_opening(receipt, &entry, part));
        for row in rows {
            let failed = |source| ReportError::Row { event: event_id, source };
            let part = record.row_part(u64::from(*row)).map_err(failed)?;
            let columns = match &part {
                Part::Row { bytes, .. } => read_row(bytes).and_then(|(number, _)| header.columns(number)),
                Part::Header { .. } | Part::Erased { .. } => None,
            };
            lines.push(AccessLine {
                time: entry.time_bucket,
                event_id,
                index: placed.index,
                columns: columns.ok_or(ReportError::Record(event_id))?.to_owned(),
                header: header.clone(),
                row: entry.row_base + u64::from(*row),
                header_receipt: showing(record.header_part()),
                row_receipt: showing(part),
            });
        }
        Ok(())
    }
}

/// Writes a report as one JSON document. Receipts are texts, each a file as `vigie verify` reads it.
pub fn to_json(lines: &[AccessLine]) -> serde_json::Value {
    let text = |receipt: &Option<Receipt>| {
        receipt.as_ref().map(|receipt| String::from_utf8_lossy(&receipt.to_bytes()).into_owned())
    };
    let lines: Vec<_> = lines
        .iter()
        .map(|line| {
            let header: serde_json::Map<String, serde_json::Value> = line
                .header
                .fields()
                .filter(|(name, _)| *name != "columns")
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect();
            serde_json::json!({
                "time": line.time,
                "event": line.event_id.to_string(),
                "index": line.index,
                "row": line.row,
                "access": header,
                "columns": line.columns,
                "header_receipt": text(&line.header_receipt),
                "row_receipt": text(&line.row_receipt),
            })
        })
        .collect();
    serde_json::json!({ "schema": "vigie/access-report/v1", "accesses": lines })
}

/// Writes a report for people, a paragraph an access.
pub fn to_text(lines: &[AccessLine]) -> String {
    let mut text = String::new();
    for line in lines {
        let get = |name: &str| line.header.get(name).unwrap_or("-").to_owned();
        writeln!(
            text,
            "{} of {} in {} ({}) for {}: {} of {}\n  decision {}, outcome {}, minute {}, ledger entry {}, row {}",
            get("who"),
            get("entity"),
            get("country"),
            get("zone"),
            get("purpose"),
            get("action"),
            line.columns,
            get("decision"),
            get("outcome"),
            line.time,
            line.index,
            line.row,
        )
        .expect("a string takes everything");
    }
    text
}
