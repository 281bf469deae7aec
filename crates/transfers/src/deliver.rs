//! Handing a batch to its recipient: a folder, a store, or an address to which it is posted.
//!
//! In folders and stores the records are put first and the receipt last: a batch is there when its receipt is. An
//! address gets both in one request, `POST ADDRESS/EVENT`, the receipt as one line of JSON and the records behind it; with
//! 200 to 299 the recipient says that it has them durably.
//!
//! The surprise: after a break nothing is sent on a guess. [`Delivery::has`] asks first: the receipt's file, or
//! `GET ADDRESS/EVENT`, to which 200 means that it is there and 404 that it is not. Anything else stops the flow.

use crate::progress::sync_folder_of;
use crate::wire::{BatchReceipt, RECEIPT_SUFFIX};
use object_store::{ObjectStore, ObjectStoreExt as _, path::Path as StorePath};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// A recipient.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// A folder.
    Folder(PathBuf),
    /// A store, and the prefix of its names.
    Store(Arc<dyn ObjectStore>, String, Duration),
    /// An address.
    Endpoint(Endpoint),
}

/// An address to which batches are posted.
#[derive(Debug, Clone)]
pub struct Endpoint {
    url: Url,
    token: Option<String>,
    agent: ureq::Agent,
    patience: Duration,
}

/// Why it is not known that a batch has arrived.
#[derive(Debug, thiserror::Error)]
#[error("`{to}` did not take batch `{batch}`: {why}")]
pub struct NotDelivered {
    /// The recipient's place.
    pub to: String,
    /// The batch.
    pub batch: String,
    /// Why.
    pub why: String,
}

impl Endpoint {
    /// An address that asks for a token, or for none, and has so long to answer.
    pub fn new(url: Url, token: Option<String>, patience: Duration) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // What is personal goes to whom the register names, and to nobody that they point to.
            .max_redirects(0)
            .timeout_global(Some(patience))
            .build()
            .new_agent();
        Self { url, token, agent, patience }
    }

    fn of(&self, batch: &str) -> String {
        format!("{}/{batch}", self.url.as_str().trim_end_matches('/'))
    }

    fn why(&self, error: &ureq::Error) -> String {
        match error {
            ureq::Error::Timeout(_) => format!("no answer within {} s", self.patience.as_secs()),
            other => other.to_string(),
        }
    }

    fn post(&self, batch: &str, body: &[u8]) -> Result<(), String> {
        let mut request = self.agent.post(self.of(batch)).header("Content-Type", "application/vnd.vigie.batch");
        request = request.header("Idempotency-Key", batch);
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let answer = request.send(body).map_err(|error| self.why(&error))?;
        match answer.status().as_u16() {
            200..=299 => Ok(()),
            status => Err(format!("it answered with status {status}")),
        }
    }

    fn has(&self, batch: &str) -> Result<bool, String> {
        let mut request = self.agent.get(self.of(batch));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        match request.call().map_err(|error| self.why(&error))?.status().as_u16() {
            200 => Ok(true),
            404 => Ok(false),
            status => Err(format!("asked whether it has the batch, it answered with status {status}")),
        }
    }
}

impl Delivery {
    /// Returns the place, for people.
    pub fn place(&self) -> String {
        match self {
            Self::Folder(folder) => folder.display().to_string(),
            Self::Store(_, prefix, _) => format!("store, below `{prefix}`"),
            Self::Endpoint(endpoint) => endpoint.url.to_string(),
        }
    }

    /// Makes sure, as far as that can be, that something can be delivered.
    ///
    /// # Errors
    ///
    /// [`NotDelivered`] for a folder that cannot be written.
    pub fn prepare(&self) -> Result<(), NotDelivered> {
        let Self::Folder(folder) = self else { return Ok(()) };
        let probe = folder.join(".vigie-probe");
        let tried =
            fs::create_dir_all(folder).and_then(|()| fs::write(&probe, b"")).and_then(|()| fs::remove_file(&probe));
        tried.map_err(|error| self.failed("", format!("the folder cannot be written: {error}")))
    }

    /// Delivers a batch; when this returns, the recipient has it. `name` is the batch's, without suffix.
    ///
    /// # Errors
    ///
    /// [`NotDelivered`]: it may have arrived or not.
    pub async fn deliver(&self, event: &str, receipt: &BatchReceipt, records: Vec<u8>) -> Result<(), NotDelivered> {
        let line = serde_json::to_vec(receipt).expect("a receipt can be written");
        self.put(event, &receipt.file, records, line).await.map_err(|why| self.failed(event, why))
    }

    async fn put(&self, event: &str, file: &str, records: Vec<u8>, receipt: Vec<u8>) -> Result<(), String> {
        match self {
            Self::Folder(folder) => tokio::task::block_in_place(|| {
                write_whole(&folder.join(file), &records)?;
                write_whole(&folder.join(format!("{file}{RECEIPT_SUFFIX}")), &receipt)
            })
            .map_err(|error| error.to_string()),
            Self::Store(store, prefix, patience) => {
                let putting = async {
                    store.put(&place(prefix, file), records.into()).await?;
                    store.put(&place(prefix, &format!("{file}{RECEIPT_SUFFIX}")), receipt.into()).await
                };
                let put = tokio::time::timeout(*patience, putting).await;
                put.map_err(|_| format!("no answer within {} s", patience.as_secs()))?
                    .map(drop)
                    .map_err(|error| error.to_string())
            }
            Self::Endpoint(endpoint) => {
                let (endpoint, event) = (endpoint.clone(), event.to_owned());
                let body = [receipt, b"\n".to_vec(), records].concat();
                let posted = tokio::task::spawn_blocking(move || endpoint.post(&event, &body)).await;
                posted.map_err(|_| "the program is ending".to_owned())?
            }
        }
    }

    /// Tells whether the recipient has a batch.
    ///
    /// # Errors
    ///
    /// [`NotDelivered`], if that cannot be known.
    pub async fn has(&self, event: &str, file: &str) -> Result<bool, NotDelivered> {
        let receipt = format!("{file}{RECEIPT_SUFFIX}");
        let has = match self {
            Self::Folder(folder) => folder.join(receipt).try_exists().map_err(|error| error.to_string()),
            Self::Store(store, prefix, _) => match store.head(&place(prefix, &receipt)).await {
                Ok(_) => Ok(true),
                Err(object_store::Error::NotFound { .. }) => Ok(false),
                Err(error) => Err(error.to_string()),
            },
            Self::Endpoint(endpoint) => {
                let (endpoint, event) = (endpoint.clone(), event.to_owned());
                let asked = tokio::task::spawn_blocking(move || endpoint.has(&event)).await;
                asked.map_err(|_| "the program is ending".to_owned()).flatten()
            }
        };
        has.map_err(|why| self.failed(event, why))
    }

    /// Takes away records that arrived without their receipt: they never were a batch.
    ///
    /// # Errors
    ///
    /// [`NotDelivered`].
    pub async fn take_back(&self, event: &str, file: &str) -> Result<(), NotDelivered> {
        let taken = match self {
            Self::Folder(folder) => match fs::remove_file(folder.join(file)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.to_string()),
                _ => Ok(()),
            },
            Self::Store(store, prefix, _) => match store.delete(&place(prefix, file)).await {
                Err(error) if !matches!(error, object_store::Error::NotFound { .. }) => Err(error.to_string()),
                _ => Ok(()),
            },
            Self::Endpoint(_) => Ok(()),
        };
        taken.map_err(|why| self.failed(event, why))
    }

    fn failed(&self, batch: &str, why: String) -> NotDelivered {
        NotDelivered { to: self.place(), batch: batch.to_owned(), why }
    }
}

fn place(prefix: &str, file: &str) -> StorePath {
    StorePath::from(format!("{prefix}/{file}"))
}

/// Writes a file that is there whole and durably, or not at all. Only its owner reads it.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    // If we stop here, the new file is written over the next time.
    fs::rename(&new, path)?;
    sync_folder_of(path)
}
