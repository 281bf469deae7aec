//! Where bundles go when the machine that made them is not to keep them: a folder, or any S3-compatible store.
//!
//! A bundle is put there before its result is told to anybody, so that a result never names a bundle that is not
//! there. Out of scope: what is in it, and taking it away again.

use crate::{runner::Done, store::Job};
use object_store::{
    ObjectStore, ObjectStoreExt, aws::AmazonS3Builder, buffered::BufWriter, local::LocalFileSystem, path::Path as Place,
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::io::AsyncWriteExt;
use url::Url;

/// Why a bundle could not be put on the shelf, or the shelf not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// An address that names no store.
    #[error("`{given}` names no store: {why}; expected `s3://bucket/prefix` or `file:///folder`")]
    Address {
        /// What was given.
        given: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file that cannot be read.
    #[error("`{}` cannot be put on the shelf: {why}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The system's words.
        why: String,
    },
    /// The store does not do it.
    #[error("the store `{address}` does not take or give `{place}`: {why}")]
    Store {
        /// The store.
        address: String,
        /// The object.
        place: String,
        /// Its words.
        why: String,
    },
}

/// A place for bundles.
#[derive(Debug, Clone)]
pub struct Shelf {
    store: Arc<dyn ObjectStore>,
    prefix: Place,
    address: String,
}

impl Shelf {
    /// Returns the store, and the prefix below which things go.
    pub fn store(&self) -> (Arc<dyn ObjectStore>, String) {
        (self.store.clone(), self.prefix.to_string())
    }

    /// Opens a shelf: `s3://bucket/prefix`, or `file:///folder`, which is made if it is not there.
    ///
    /// Credentials, region and endpoint of an S3-compatible store come from the environment, under the names that
    /// other tools use: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT`, and
    /// `AWS_ALLOW_HTTP=true` for one without TLS. Nothing is asked of the store yet.
    ///
    /// # Errors
    ///
    /// [`ShelfError::Address`] if the address names neither, or the environment lacks something.
    pub fn open(address: &str) -> Result<Self, ShelfError> {
        // Whatever else is in the program may have chosen the cryptography already; either choice will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let wrong =
            |why: &dyn std::fmt::Display| ShelfError::Address { given: address.to_owned(), why: why.to_string() };
        let url = Url::parse(address).map_err(|error| wrong(&error))?;
        let (store, prefix): (Arc<dyn ObjectStore>, Place) = match url.scheme() {
            "s3" => {
                let store = AmazonS3Builder::from_env().with_url(address).build().map_err(|error| wrong(&error))?;
                (Arc::new(store), Place::from(url.path()))
            }
            "file" => {
                let folder = url.to_file_path().map_err(|()| wrong(&"it is no folder of this machine"))?;
                std::fs::create_dir_all(&folder).map_err(|error| wrong(&error))?;
                let store = LocalFileSystem::new_with_prefix(folder).map_err(|error| wrong(&error))?;
                (Arc::new(store), Place::default())
            }
            other => return Err(wrong(&format!("its scheme is `{other}`"))),
        };
        Ok(Self { store, prefix, address: address.trim_end_matches('/').to_owned() })
    }

    /// Puts an inspection's bundle on the shelf and returns the inspection with the bundle's address.
    ///
    /// Each attempt has a place of its own, so that two machines that make the same inspection never mix.
    ///
    /// # Errors
    ///
    /// [`ShelfError`] if a file cannot be read or the store does not take it, after its own attempts.
    pub async fn keep(&self, job: &Job, mut done: Done) -> Result<Done, ShelfError> {
        if let Some(files) = done.files.take() {
            done.bundle = Some(self.put(&place(job), &files).await?);
        }
        Ok(done)
    }

    /// Puts a file, or a folder with all that is in it, below a place. Returns its address.
    ///
    /// # Errors
    ///
    /// [`ShelfError`] if a file cannot be read or the store does not take it; what was put before stays.
    pub async fn put(&self, place: &str, files: &Path) -> Result<String, ShelfError> {
        let unreadable = |path: &Path, error: &io::Error| ShelfError::File {
            path: path.to_owned(),
            why: crate::store::reason(error),
        };
        let name = files.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut left = vec![(files.to_owned(), format!("{place}/{name}"))];
        while let Some((path, place)) = left.pop() {
            let kind = tokio::fs::metadata(&path).await.map_err(|error| unreadable(&path, &error))?;
            if kind.is_dir() {
                let mut entries = tokio::fs::read_dir(&path).await.map_err(|error| unreadable(&path, &error))?;
                while let Some(entry) = entries.next_entry().await.map_err(|error| unreadable(&path, &error))? {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    left.push((entry.path(), format!("{place}/{name}")));
                }
                continue;
            }
            let mut from = tokio::fs::File::open(&path).await.map_err(|error| unreadable(&path, &error))?;
            let mut to = BufWriter::new(Arc::clone(&self.store), self.whole(&place));
            let copied = tokio::io::copy(&mut from, &mut to).await;
            let done = match copied {
                // The object is there when this returns, whole, or not at all.
                Ok(_) => to.shutdown().await,
                Err(error) => Err(error),
            };
            if let Err(error) = done {
                let _ = to.abort().await;
                return Err(self.failed(&place, &error));
            }
        }
        Ok(format!("{}/{place}/{name}", self.address))
    }

    /// Puts a text at a place.
    pub(crate) async fn put_text(&self, place: &str, text: String) -> Result<(), ShelfError> {
        let put = self.store.put(&self.whole(place), text.into_bytes().into()).await;
        put.map(|_| ()).map_err(|error| self.failed(place, &error))
    }

    /// Gets the text at a place.
    pub(crate) async fn get_text(&self, place: &str) -> Result<String, ShelfError> {
        let got = self.store.get(&self.whole(place)).await.map_err(|error| self.failed(place, &error))?;
        let bytes = got.bytes().await.map_err(|error| self.failed(place, &error))?;
        String::from_utf8(bytes.to_vec()).map_err(|error| self.failed(place, &error))
    }

    fn whole(&self, place: &str) -> Place {
        // Names come from hosts; the store's own rules make them harmless, part by part.
        self.prefix.parts().chain(Place::from(place).parts()).collect()
    }

    fn failed(&self, place: &str, why: &dyn std::error::Error) -> ShelfError {
        let mut words = why.to_string();
        let mut cause = why.source();
        while let Some(further) = cause {
            let text = further.to_string();
            if !words.contains(&text) {
                words = format!("{words}: {text}");
            }
            cause = further.source();
        }
        ShelfError::Store { address: self.address.clone(), place: place.to_owned(), why: words }
    }
}

/// Returns the place of an attempt.
pub(crate) fn place(job: &Job) -> String {
    format!("{}/site-{:06}/repeat-{}-attempt-{}", job.campaign, job.site, job.repeat, job.attempt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_names_no_store_is_said_in_one_sentence() {
        let check = |given: &str, expected: &str| {
            assert_eq!(Shelf::open(given).unwrap_err().to_string(), expected);
        };
        check(
            "ftp://there/",
            "`ftp://there/` names no store: its scheme is `ftp`; expected `s3://bucket/prefix` or `file:///folder`",
        );
        check(
            "folder",
            "`folder` names no store: relative URL without a base; expected `s3://bucket/prefix` or `file:///folder`",
        );
    }

    #[tokio::test]
    async fn a_folder_is_put_with_all_that_is_in_it() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let bundle = from.path().join("a.test-2026");
        std::fs::create_dir_all(bundle.join("pictures")).unwrap();
        std::fs::write(bundle.join("evidence.json"), "{}").unwrap();
        std::fs::write(bundle.join("pictures/s0.png"), vec![7; 3_000_000]).unwrap();
        let address = format!("file://{}/kept", to.path().display());
        let shelf = Shelf::open(&address).unwrap();
        assert_eq!(shelf.put("c/site-1", &bundle).await.unwrap(), format!("{address}/c/site-1/a.test-2026"));
        let kept = to.path().join("kept/c/site-1/a.test-2026");
        assert_eq!(std::fs::read(kept.join("pictures/s0.png")).unwrap().len(), 3_000_000);
        assert_eq!(std::fs::read_to_string(kept.join("evidence.json")).unwrap(), "{}");
        shelf.put_text("c/d.json", "text".to_owned()).await.unwrap();
        assert_eq!(shelf.get_text("c/d.json").await.unwrap(), "text");
        let missing = shelf.put("c", Path::new("/nowhere/a.wacz")).await.unwrap_err().to_string();
        assert_eq!(missing, "`/nowhere/a.wacz` cannot be put on the shelf: no such file or directory");
    }
}
