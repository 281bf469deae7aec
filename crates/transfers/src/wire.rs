//! What crosses to the recipient beside the records: the batch's receipt, as one JSON document.
//!
//! It opens the sender's entry: header, and the seed of the rows' salts. So the recipient computes the same root from the
//! records that it has, and can log it in a ledger of its own.

use crate::field::{FieldType, leaving_schema, row_template, write_content};
use crate::flow::Format;
use arrow_array::RecordBatch;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use vigie_ledger::commitment::{Place, Salt, commit};
use vigie_ledger::{Entry, Hash, Kind, Receipt, TrustPolicy};
use vigie_vault::{RowList, RowRefused, Rows};

/// The schema of [`BatchReceipt`].
pub const SCHEMA: &str = "vigie-transfer-receipt/1";
/// What headers of batches begin with.
pub const HEADER: &str = "vigie/transfer/v1";
/// What the header of a run's end begins with.
pub const END_HEADER: &str = "vigie/transfer-end/v1";
/// How names of receipts end.
pub const RECEIPT_SUFFIX: &str = ".receipt.json";

/// What travels with a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchReceipt {
    /// [`SCHEMA`].
    pub schema: String,
    /// The file with the records.
    pub file: String,
    /// Its SHA-256, in base64.
    pub sha256: String,
    /// The entry as it is in the sender's ledger, in base64.
    pub entry: String,
    /// The header that it commits to.
    pub header: String,
    /// The salt of that commitment, in base64.
    pub header_salt: String,
    /// The seed of the rows' salts, in base64.
    pub salts: String,
    /// That the entry is in the sender's ledger (C2SP tlog-proof).
    pub receipt: String,
}

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Lines after the first: name and value.
    pub lines: Vec<(String, String)>,
}

/// Why a batch is not what its receipt says.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Mismatch {
    /// The receipt cannot be read.
    #[error("the receipt cannot be read: {0}")]
    Form(String),
    /// It proves nothing.
    #[error("the sender's ledger does not vouch for it: {0}")]
    Unproven(String),
    /// The header is another.
    #[error("the header is not the one that the entry commits to")]
    Header,
    /// The file is another.
    #[error("file `{0}` is not the one that was sent: its SHA-256 differs")]
    File(String),
    /// The records are others.
    #[error("the records have the root {found}, the sender's ledger has {expected}")]
    Root {
        /// Of the records, in base64.
        found: String,
        /// Of the entry.
        expected: String,
    },
    /// A row cannot be accounted for.
    #[error(transparent)]
    Row(#[from] RowRefused),
}

/// A receipt that was read, and is proved.
#[derive(Debug)]
pub struct Proved {
    /// The sender's entry.
    pub entry: Entry,
    /// Its header.
    pub header: Header,
    /// The fields, as the header names them.
    pub fields: Vec<(String, FieldType)>,
    /// The form of the file.
    pub format: Format,
    /// The seed of the rows' salts.
    pub salts: [u8; 32],
}

impl Header {
    /// Writes a header; values are one line each.
    pub fn write(first: &str, lines: &[(&str, String)]) -> String {
        let mut text = format!("{first}\n");
        for (name, value) in lines {
            writeln!(text, "{name} {}", value.replace(['\n', '\r'], " ")).expect("a string takes everything");
        }
        text
    }

    /// Reads a header that begins with `first`.
    pub fn read(first: &str, text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        (lines.next() == Some(first)).then_some(())?;
        let split = |line: &str| line.split_once(' ').map(|(name, value)| (name.to_owned(), value.to_owned()));
        Some(Self { lines: lines.map(split).collect::<Option<_>>()? })
    }

    /// Returns the value of a line.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.lines.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    fn fields(&self) -> Option<Vec<(String, FieldType)>> {
        let fields = self.lines.iter().filter(|(name, _)| name == "field");
        let field = |value: &str| {
            let mut words = value.split(' ');
            Some((words.next()?.to_owned(), FieldType::of(words.next()?)?))
        };
        fields.map(|(_, value)| field(value)).collect()
    }
}

impl BatchReceipt {
    /// Checks the receipt by itself: that the sender's ledger has the entry, and the entry this header.
    ///
    /// # Errors
    ///
    /// [`Mismatch`].
    pub fn prove(&self, policy: &TrustPolicy) -> Result<Proved, Mismatch> {
        let form = |why: &str| Mismatch::Form(why.to_owned());
        if self.schema != SCHEMA {
            return Err(Mismatch::Form(format!("its schema is `{}`, expected `{SCHEMA}`", self.schema)));
        }
        let bytes =
            |text: &str, what: &str| BASE64_STANDARD.decode(text).map_err(|_| form(&format!("`{what}` is not base64")));
        let array = |text: &str, what: &str| -> Result<[u8; 32], Mismatch> {
            bytes(text, what)?.try_into().map_err(|_| form(&format!("`{what}` has not 32 bytes")))
        };
        let entry_bytes = bytes(&self.entry, "entry")?;
        let entry = Entry::parse(&entry_bytes).map_err(|error| Mismatch::Form(error.to_string()))?;
        if entry.kind != Kind::TransferOut {
            return Err(Mismatch::Form(format!("its entry is of kind `{}`", entry.kind.name())));
        }
        let receipt = Receipt::parse(self.receipt.as_bytes()).map_err(|error| Mismatch::Form(error.to_string()))?;
        receipt.verify(&entry_bytes, policy).map_err(|error| Mismatch::Unproven(error.to_string()))?;
        let salt = Salt(array(&self.header_salt, "header_salt")?);
        if self.header.len() > vigie_ledger::commitment::MAX_ROW_BYTES
            || commit(&salt, entry.event_id, Place::Header, self.header.as_bytes()) != entry.header_commit
        {
            return Err(Mismatch::Header);
        }
        let header = Header::read(HEADER, &self.header).ok_or_else(|| form("its header is not of a batch"))?;
        let fields = header.fields().ok_or_else(|| form("its header names no fields"))?;
        let format =
            header.get("format").and_then(Format::of).ok_or_else(|| form("its header names no form of files"))?;
        Ok(Proved { entry, header, fields, format, salts: array(&self.salts, "salts")? })
    }
}

impl Proved {
    /// Makes the rows of the records again, and holds their root against the entry's.
    ///
    /// The person is the column that the header names as `subject`; without one among the fields, rows are kept under
    /// their number.
    ///
    /// # Errors
    ///
    /// [`Mismatch::Root`] and [`Mismatch::Row`].
    pub fn rows(&self, batches: &[RecordBatch]) -> Result<Rows, Mismatch> {
        let said = |name: &str| self.header.get(name).unwrap_or_default();
        let names: Vec<&str> = self.fields.iter().map(|(name, _)| name.as_str()).collect();
        let template = row_template(said("flow"), said("recipient"), said("purpose"), &names);
        let mut list = RowList::with_content(vec![template])?;
        let subject =
            self.header.get("subject").and_then(|name| self.fields.iter().position(|(field, _)| field == name));
        let (mut text, mut content) = (String::new(), Vec::new());
        for batch in batches {
            for row in 0..batch.num_rows() {
                write_content(batch, row, &mut text, &mut content);
                let person = subject.and_then(|at| crate::field::value_text(batch.column(at), row));
                let person = person.unwrap_or_else(|| format!("row {}", list.count()));
                list.push_content(0, person.as_bytes(), &content)?;
            }
        }
        let rows = list.with_seed(self.salts);
        let found = rows.root(self.entry.event_id);
        if found != self.entry.rows_root || u64::from(rows.count()) != self.entry.row_count {
            return Err(Mismatch::Root { found: found.to_base64(), expected: self.entry.rows_root.to_base64() });
        }
        Ok(rows)
    }

    /// Returns the schema of the records.
    pub fn schema(&self) -> arrow_schema::SchemaRef {
        leaving_schema(&self.fields)
    }

    /// Returns the hash of the leaf that the sender's ledger has.
    pub fn leaf(&self) -> Hash {
        Hash::leaf(&self.entry.to_bytes())
    }
}
