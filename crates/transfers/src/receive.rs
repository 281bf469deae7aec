//! The other side: a recipient checks a batch against the sender's ledger, and logs in its own what it received.
//!
//! Its entry has the same root over the rows, under the same salts, and names the sender's entry; so a sample of either
//! side can be looked up in the other, and a hand-over that one of the two keeps silent about is seen.

use crate::flow::Format;
use crate::source::open_file;
use crate::wire::{BatchReceipt, Header, Mismatch, Proved, RECEIPT_SUFFIX};
use std::path::{Path, PathBuf};
use vigie_accounting::{Accounts, Draft, NotLogged, Receipted};
use vigie_ledger::entry::Flags;
use vigie_ledger::{Entry, Hash, Kind, TrustPolicy};
use vigie_vault::{FileError, Record, RowList};

/// Most bytes of a receipt.
const MAX_RECEIPT_BYTES: u64 = 4 << 20;
/// Records that are read together.
const AT_ONCE: usize = 65_536;

/// A batch that was received.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its header.
    pub header: Header,
    /// Records.
    pub records: u64,
    /// The sender's entry in the sender's ledger: hash of its leaf.
    pub sent: Hash,
    /// Its place in the recipient's ledger.
    pub logged: Receipted,
}

/// Why a batch is not received.
#[derive(Debug, thiserror::Error)]
pub enum NotReceived {
    /// A file cannot be read.
    #[error("`{}` cannot be read: {why}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// It is not what its receipt says.
    #[error("`{}` is not what was sent", .path.display())]
    Mismatch {
        /// The receipt.
        path: PathBuf,
        /// Why.
        #[source]
        source: Mismatch,
    },
    /// It could not be logged.
    #[error("the batch of `{}` could not be logged", .path.display())]
    NotLogged {
        /// The receipt.
        path: PathBuf,
        /// Why.
        #[source]
        source: NotLogged,
    },
    /// The vault cannot be read.
    #[error("the vault could not be read")]
    Vault(#[from] FileError),
}

/// Lists the receipts in a folder, in the order of their names.
///
/// # Errors
///
/// [`NotReceived::File`].
pub fn receipts_in(folder: &Path) -> Result<Vec<PathBuf>, NotReceived> {
    let failed = |error: std::io::Error| NotReceived::File { path: folder.to_owned(), why: error.to_string() };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.to_string_lossy().ends_with(RECEIPT_SUFFIX) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Checks the batch of a receipt, beside which its records lie, and makes its record; nothing is logged.
///
/// # Errors
///
/// [`NotReceived`].
pub fn check(path: &Path, policy: &TrustPolicy) -> Result<(Proved, vigie_vault::Rows), NotReceived> {
    let unreadable = |path: &Path, why: String| NotReceived::File { path: path.to_owned(), why };
    let length = std::fs::metadata(path).map_err(|error| unreadable(path, error.to_string()))?.len();
    if length > MAX_RECEIPT_BYTES {
        return Err(unreadable(path, format!("it has {length} bytes, more than any receipt")));
    }
    let bytes = std::fs::read(path).map_err(|error| unreadable(path, error.to_string()))?;
    let wrong = |source| NotReceived::Mismatch { path: path.to_owned(), source };
    let receipt: BatchReceipt =
        serde_json::from_slice(&bytes).map_err(|error| wrong(Mismatch::Form(error.to_string())))?;
    let proved = receipt.prove(policy).map_err(wrong)?;
    // The name is the sender's: it must not lead elsewhere.
    let name = Path::new(&receipt.file).file_name().filter(|name| *name == receipt.file.as_str());
    let name = name.ok_or_else(|| wrong(Mismatch::Form("its file is in another folder".to_owned())))?;
    let file = path.parent().unwrap_or(Path::new(".")).join(name);
    let sha256 = crate::source::fingerprint(&crate::flow::Source::File { format: Format::Parquet, path: file.clone() });
    let sha256 = sha256.map_err(|error| unreadable(&file, error.to_string()))?;
    if sha256.to_base64() != receipt.sha256 {
        return Err(wrong(Mismatch::File(receipt.file.clone())));
    }
    let batches = open_file(proved.format, &file, &proved.fields, 0, AT_ONCE);
    let batches = batches.map_err(|error| unreadable(&file, error.to_string()))?;
    let mut read = Vec::new();
    for batch in batches {
        let batch = batch.map_err(|error| unreadable(&file, error.to_string()))?;
        read.push(declared(&batch, &proved).map_err(|why| unreadable(&file, why))?);
    }
    let rows = proved.rows(&read).map_err(wrong)?;
    Ok((proved, rows))
}

/// Brings columns into the order and types of the header.
fn declared(batch: &arrow_array::RecordBatch, proved: &Proved) -> Result<arrow_array::RecordBatch, String> {
    let column = |(name, field_type): &(String, crate::field::FieldType)| {
        let column = batch.column_by_name(name).ok_or_else(|| format!("it has no column `{name}`"))?;
        crate::field::as_declared(column, *field_type).map_err(|error| error.to_string())
    };
    let columns = proved.fields.iter().map(column).collect::<Result<Vec<_>, _>>()?;
    arrow_array::RecordBatch::try_new(proved.schema(), columns).map_err(|error| error.to_string())
}

/// Checks the batch of a receipt and logs that it was received; a second time changes nothing.
///
/// # Errors
///
/// [`NotReceived`]; then it is not logged as received.
pub async fn receive(path: &Path, policy: &TrustPolicy, accounts: &Accounts) -> Result<Received, NotReceived> {
    let (proved, rows) = tokio::task::block_in_place(|| check(path, policy))?;
    let not_logged = |source| NotReceived::NotLogged { path: path.to_owned(), source };
    let (sent, records) = (proved.leaf(), proved.entry.row_count);
    let event_id = proved.entry.event_id;
    let logged = if let Some(record) = accounts.vault().find(event_id)? {
        let placed = accounts.journal().append(&record.entry.to_bytes()).await;
        let placed = placed.map_err(|error| not_logged(error.into()))?;
        Receipted { event_id, index: placed.index, row_base: placed.row_base }
    } else {
        let mut said: Vec<(&str, String)> = vec![("sent", format!("sha256:{}", sent.to_hex()))];
        said.extend(proved.header.lines.iter().map(|(name, value)| (name.as_str(), value.clone())));
        let header = Header::write("vigie/transfer-in/v1", &said).into_bytes();
        // Made as any other, and then given the sender's rows and salts.
        let rows_list = RowList::with_content(Vec::new()).map_err(|error| not_logged(error.into()))?;
        let draft = Draft {
            kind: Kind::TransferIn,
            flags: Flags::NONE,
            peer_ref: sent,
            header,
            rows: rows_list,
            event_id: Some(event_id),
        };
        let empty = draft.into_record().map_err(not_logged)?;
        let entry = Entry { row_count: records, rows_root: proved.entry.rows_root, ..empty.entry };
        let record = Record { entry, rows, ..empty };
        accounts.log_kept_first(record).await.map_err(not_logged)?
    };
    Ok(Received { header: proved.header, records, sent, logged })
}
