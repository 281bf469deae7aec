//! The key that signs bundles: made at first use, kept in a file that only its owner may read.
//!
//! Whoever holds it can sign bundles in its name. That a bundle is signed by it says nothing of who that is: publish the
//! fingerprint where others can find it, and compare.
//!
//! # Source
//!
//! wacz-auth 0.1.0, "Anonymous Signature": ECDSA. Curve and hash are those that players verify (wabac.js, `certutils.ts`;
//! ArchiveWeb.page, `keystore.ts`): P-384 with SHA-256, over the text of the hash; signature as r‖s; key as
//! SubjectPublicKeyInfo; both in base64.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use p384::{
    ecdsa::{
        Signature, SigningKey, VerifyingKey,
        signature::hazmat::{PrehashSigner, PrehashVerifier},
    },
    elliptic_curve::rand_core::{OsRng, RngCore as _},
    pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding},
};
use sha2::{Digest as _, Sha256};

use crate::warc;

/// A key file is a few hundred bytes.
const MAX_KEY_BYTES: u64 = 16 * 1024;

/// A key that signs bundles.
#[derive(Clone)]
pub struct Key(SigningKey);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.fingerprint())
    }
}

/// A key could not be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file could not be read.
    #[error("the signing key in `{path}` could not be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// A new file could not be written; none is there then.
    #[error("a new signing key could not be kept in `{path}`")]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Others may read or change the file.
    #[error("the signing key in `{path}` has mode {mode:03o}, which lets others use it; expected 600")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file holds something else.
    #[error("`{path}` holds no P-384 private key in PEM (PKCS #8)")]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

impl Key {
    /// Returns the key in this file; makes one, and the folder, where there is none.
    ///
    /// Two programs that do so at once get the same key. The file has mode 0600 from its first moment.
    ///
    /// # Errors
    ///
    /// [`KeyError`]. A file that is there is never changed.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        match File::open(path) {
            Ok(file) => Self::read(path, file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(path),
            Err(source) => Err(KeyError::Read { path: path.to_owned(), source }),
        }
    }

    fn read(path: &Path, file: File) -> Result<Self, KeyError> {
        let unreadable = |source| KeyError::Read { path: path.to_owned(), source };
        let mode = file.metadata().map_err(unreadable)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed { path: path.to_owned(), mode });
        }
        let mut text = String::new();
        file.take(MAX_KEY_BYTES).read_to_string(&mut text).map_err(unreadable)?;
        Self::from_pem(&text).ok_or_else(|| KeyError::Malformed { path: path.to_owned() })
    }

    fn create(path: &Path) -> Result<Self, KeyError> {
        let unwritable = |source| KeyError::Write { path: path.to_owned(), source };
        let key = Self(SigningKey::random(&mut OsRng));
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(unwritable)?;
        let mut file = tempfile::Builder::new()
            .prefix(".key-")
            .permissions(fs::Permissions::from_mode(0o600))
            .tempfile_in(folder)
            .map_err(unwritable)?;
        let pem = key.0.to_pkcs8_pem(LineEnding::LF).expect("a key has a PEM form");
        file.write_all(pem.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(unwritable)?;
        match file.persist_noclobber(path) {
            // The name is durable only with its folder; until then a crash leaves no key, and nothing signed by it.
            Ok(_) => File::open(folder).and_then(|folder| folder.sync_all()).map_err(unwritable)?,
            // Another program was faster: its key is the key.
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => return Self::load_or_create(path),
            Err(error) => return Err(unwritable(error.error)),
        }
        Ok(key)
    }

    /// Returns the key of a PEM text (PKCS #8), if it is one on P-384.
    pub fn from_pem(text: &str) -> Option<Self> {
        SigningKey::from_pkcs8_pem(text).ok().map(Self)
    }

    /// Returns the public key in PEM (SubjectPublicKeyInfo), as `openssl` reads it.
    pub fn public_pem(&self) -> String {
        self.0.verifying_key().to_public_key_pem(LineEnding::LF).expect("a key has a PEM form")
    }

    /// Returns `sha256:` and the hex SHA-256 of the public key in DER.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.public_der())
    }

    fn public_der(&self) -> Vec<u8> {
        self.0.verifying_key().to_public_key_der().expect("a key has a DER form").into_vec()
    }

    /// Returns the public key in base64 of its DER.
    pub(crate) fn public_base64(&self) -> String {
        STANDARD.encode(self.public_der())
    }

    /// Signs a text; returns the signature in base64. The same text gives the same signature (RFC 6979).
    pub(crate) fn sign(&self, text: &str) -> String {
        let signature: Signature = self.0.sign_prehash(&Sha256::digest(text)).expect("the hash is long enough");
        // Of the two values of s that verify, the low one: then a signature has one form.
        STANDARD.encode(signature.normalize_s().unwrap_or(signature).to_bytes())
    }
}

/// Returns the name by which a public key is known.
fn fingerprint(der: &[u8]) -> String {
    warc::digest(&Sha256::digest(der))
}

/// Returns the fingerprint of the key if its signature of the text verifies, else what is wrong.
pub(crate) fn verify(text: &str, signature: &str, public_key: &str) -> Result<String, &'static str> {
    let der = STANDARD.decode(public_key).map_err(|_| "`publicKey` is not base64")?;
    let key = VerifyingKey::from_public_key_der(&der).map_err(|_| "`publicKey` is no P-384 key")?;
    let signature = STANDARD.decode(signature).map_err(|_| "`signature` is not base64")?;
    let signature = Signature::from_slice(&signature).map_err(|_| "`signature` is no P-384 signature")?;
    if signature.normalize_s().is_some() {
        return Err("`signature` has the high of two values, so it was altered");
    }
    key.verify_prehash(&Sha256::digest(text), &signature).map_err(|_| "`signature` was not made by `publicKey`")?;
    Ok(fingerprint(&der))
}

/// Returns a random number, for questions whose answers must be fresh.
pub(crate) fn nonce() -> u64 {
    OsRng.next_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/signing.pem");
        let made = Key::load_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(Key::load_or_create(&path).unwrap().fingerprint(), made.fingerprint());
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no half-written key is left");

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = Key::load_or_create(&path).unwrap_err().to_string();
        assert!(error.ends_with("has mode 644, which lets others use it; expected 600"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_key_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signing.pem");
        fs::write(&path, "mine").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(Key::load_or_create(&path), Err(KeyError::Malformed { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }

    #[test]
    fn a_signature_fits_its_text_and_key_only() {
        let folder = tempfile::tempdir().unwrap();
        let key = Key::load_or_create(&folder.path().join("a.pem")).unwrap();
        let other = Key::load_or_create(&folder.path().join("b.pem")).unwrap();
        let signature = key.sign("text");
        assert_eq!(signature, key.sign("text"));
        assert_eq!(verify("text", &signature, &key.public_base64()), Ok(key.fingerprint()));
        assert!(verify("texts", &signature, &key.public_base64()).is_err());
        assert!(verify("text", &signature, &other.public_base64()).is_err());
    }
}
