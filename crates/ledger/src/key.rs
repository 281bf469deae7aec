//! Keys of logs and witnesses: how they are written, what they sign, and whether a signature is theirs.
//!
//! A key has a name, and an id that depends on name, algorithm and key: the same bytes under another name are another
//! key. Three algorithms are spoken: plain Ed25519 for logs, and cosignatures by Ed25519 or ML-DSA-44 for witnesses.
//!
//! Signing is deterministic in all three, and secrets are handed in: nothing here draws a random number or reads a clock.
//!
//! # Source
//!
//! C2SP signed-note 1.0.0 (names, ids, verifier keys), tlog-cosignature 1.0.1 (types 0x04 and 0x06). The form of signer
//! keys is that of Go's `golang.org/x/mod/sumdb/note`.

use crate::checkpoint::Checkpoint;
use crate::hash::hex;
use crate::note::Signature;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::Signer as _;
use ml_dsa::{KeyExport as _, MlDsa44};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// The name of a key: by custom a URL without its scheme. For a log it is the origin.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyName(String);

/// The first four bytes of a hash over name, algorithm and key: an identifier, no protection.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId(pub [u8; 4]);

/// What a key signs, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Ed25519 over the text of a note: logs, authorities.
    Ed25519,
    /// Ed25519 over a checkpoint with a time: witnesses.
    CosignatureEd25519,
    /// ML-DSA-44 over a checkpoint's origin, size and root with a time: witnesses that outlast quantum computers.
    CosignatureMlDsa44,
}

/// A public key with its name.
#[derive(Clone)]
pub struct VerifierKey {
    name: KeyName,
    id: KeyId,
    public: Public,
}

#[derive(Clone)]
enum Public {
    Ed25519(ed25519_dalek::VerifyingKey),
    CosignatureEd25519(ed25519_dalek::VerifyingKey),
    CosignatureMlDsa44(Box<ml_dsa::VerifyingKey<MlDsa44>>),
}

/// A secret key with its name. It shows nothing of itself but by [`SignerKey::to_secret_text`].
pub struct SignerKey {
    verifier: VerifierKey,
    seed: [u8; 32],
    secret: Secret,
}

enum Secret {
    Ed25519(Box<ed25519_dalek::SigningKey>),
    MlDsa44(Box<ml_dsa::SigningKey<MlDsa44>>),
}

/// Bytes of an ML-DSA-44 public key (FIPS 204).
const ML_DSA_44_KEY_BYTES: usize = 1312;
/// Latest time a cosignature may carry (tlog-cosignature).
const MAX_TIME: u64 = i64::MAX as u64;

/// What is wrong with a key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// The name cannot be written in a signature line.
    #[error("key name `{0}` is empty, or contains a space or a plus sign")]
    Name(String),
    /// It is not of the form of verifier keys.
    #[error("`{0}` is no verifier key; expected NAME+ID+BASE64, as `vigie ledger key` prints")]
    Form(String),
    /// Its id belongs to another key.
    #[error("verifier key `{name}` has the id {found}, its name and key make {expected}")]
    Id {
        /// The key's name.
        name: KeyName,
        /// The id written.
        found: String,
        /// The id computed.
        expected: String,
    },
    /// It signs in a way that is not spoken here.
    #[error("verifier key `{name}` is of type 0x{found:02x}; known are 0x01, 0x04 and 0x06")]
    Algorithm {
        /// The key's name.
        name: KeyName,
        /// The type byte.
        found: u8,
    },
    /// The key itself cannot be a key.
    #[error("verifier key `{0}` holds no valid public key")]
    Material(KeyName),
    /// It is not of the form of signer keys. The text is not repeated: it may be a secret.
    #[error("this is no signer key; expected PRIVATE+KEY+NAME+ID+BASE64, as `vigie ledger init` writes")]
    Secret,
}

/// Why a signature is not one.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadSignature {
    /// It has another length than such signatures have.
    #[error("it has {found} bytes, expected {expected}")]
    Length {
        /// Bytes found.
        found: usize,
        /// Bytes of such a signature.
        expected: usize,
    },
    /// Its time is none.
    #[error("its time is zero or beyond what a time may be")]
    Time,
    /// A cosignature is under something that is no checkpoint.
    #[error("it is a cosignature under a text that is no checkpoint")]
    NoCheckpoint,
    /// It was made over something else, or by another key.
    #[error("it was not made with this key over this text")]
    Mismatch,
}

impl Algorithm {
    /// Returns the byte by which notes tell it.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::CosignatureEd25519 => 0x04,
            Self::CosignatureMlDsa44 => 0x06,
        }
    }

    /// Tells whether such a key makes cosignatures.
    pub const fn is_cosigner(self) -> bool {
        matches!(self, Self::CosignatureEd25519 | Self::CosignatureMlDsa44)
    }

    const fn of(byte: u8) -> Option<Self> {
        match byte {
            0x01 => Some(Self::Ed25519),
            0x04 => Some(Self::CosignatureEd25519),
            0x06 => Some(Self::CosignatureMlDsa44),
            _ => None,
        }
    }
}

impl KeyName {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for KeyName {
    type Err = KeyError;

    fn from_str(name: &str) -> Result<Self, KeyError> {
        let wrong = |character: char| character.is_whitespace() || character.is_control() || character == '+';
        if name.is_empty() || name.contains(wrong) {
            Err(KeyError::Name(name.to_owned()))
        } else {
            Ok(Self(name.to_owned()))
        }
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KeyId({self})")
    }
}

impl KeyId {
    fn of(name: &KeyName, algorithm: Algorithm, key: &[u8]) -> Self {
        let digest = Sha256::new()
            .chain_update(name.as_str())
            .chain_update([b'\n', algorithm.byte()])
            .chain_update(key)
            .finalize();
        Self(*digest.first_chunk().expect("SHA-256 has 32 bytes"))
    }
}

impl VerifierKey {
    fn new(name: KeyName, algorithm: Algorithm, key: &[u8]) -> Result<Self, KeyError> {
        let id = KeyId::of(&name, algorithm, key);
        let ed25519 = || {
            let key = ed25519_dalek::VerifyingKey::from_bytes(key.try_into().ok()?).ok()?;
            // A key of small order accepts signatures that nobody made.
            (!key.is_weak()).then_some(key)
        };
        let public = match algorithm {
            Algorithm::Ed25519 => ed25519().map(Public::Ed25519),
            Algorithm::CosignatureEd25519 => ed25519().map(Public::CosignatureEd25519),
            Algorithm::CosignatureMlDsa44 => {
                let encoded = (key.len() == ML_DSA_44_KEY_BYTES).then(|| key.try_into().ok()).flatten();
                encoded.map(|encoded| Public::CosignatureMlDsa44(Box::new(ml_dsa::VerifyingKey::decode(encoded))))
            }
        };
        match public {
            Some(public) => Ok(Self { name, id, public }),
            None => Err(KeyError::Material(name)),
        }
    }

    /// Returns the name.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// Returns the id.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Returns what it signs, and how.
    pub fn algorithm(&self) -> Algorithm {
        match self.public {
            Public::Ed25519(_) => Algorithm::Ed25519,
            Public::CosignatureEd25519(_) => Algorithm::CosignatureEd25519,
            Public::CosignatureMlDsa44(_) => Algorithm::CosignatureMlDsa44,
        }
    }

    /// Tells whether both wrap the same public key, whatever their names.
    pub fn is_same_key(&self, other: &Self) -> bool {
        self.key_bytes() == other.key_bytes()
    }

    fn key_bytes(&self) -> Vec<u8> {
        match &self.public {
            Public::Ed25519(key) | Public::CosignatureEd25519(key) => key.to_bytes().to_vec(),
            Public::CosignatureMlDsa44(key) => key.to_bytes().to_vec(),
        }
    }

    /// Checks a signature over a text, and returns its time if it has one.
    ///
    /// # Errors
    ///
    /// [`BadSignature`].
    pub fn verify(&self, text: &str, signature: &[u8]) -> Result<Option<u64>, BadSignature> {
        match &self.public {
            Public::Ed25519(key) => verify_ed25519(key, text.as_bytes(), signature).map(|()| None),
            Public::CosignatureEd25519(key) => {
                let (time, signature) = timed(signature, ed25519_dalek::SIGNATURE_LENGTH)?;
                Checkpoint::parse(text).map_err(|_| BadSignature::NoCheckpoint)?;
                verify_ed25519(key, ed25519_message(text, time).as_bytes(), signature).map(|()| Some(time))
            }
            Public::CosignatureMlDsa44(key) => {
                let (time, bytes) = timed(signature, ML_DSA_44_SIGNATURE_BYTES)?;
                let checkpoint = Checkpoint::parse(text).map_err(|_| BadSignature::NoCheckpoint)?;
                let message = ml_dsa_message(&self.name, &checkpoint, time).ok_or(BadSignature::NoCheckpoint)?;
                let encoded = bytes.try_into().map_err(|_| BadSignature::Mismatch)?;
                let signature = ml_dsa::Signature::<MlDsa44>::decode(encoded).ok_or(BadSignature::Mismatch)?;
                if key.verify_with_context(&message, &[], &signature) {
                    Ok(Some(time))
                } else {
                    Err(BadSignature::Mismatch)
                }
            }
        }
    }
}

/// Bytes of an ML-DSA-44 signature (FIPS 204).
const ML_DSA_44_SIGNATURE_BYTES: usize = 2420;

fn timed(signature: &[u8], length: usize) -> Result<(u64, &[u8]), BadSignature> {
    let expected = 8 + length;
    let (time, rest) = match signature.split_first_chunk::<8>() {
        Some((time, rest)) if rest.len() == length => (u64::from_be_bytes(*time), rest),
        _ => return Err(BadSignature::Length { found: signature.len(), expected }),
    };
    if time == 0 || time > MAX_TIME { Err(BadSignature::Time) } else { Ok((time, rest)) }
}

fn verify_ed25519(key: &ed25519_dalek::VerifyingKey, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
    let expected = ed25519_dalek::SIGNATURE_LENGTH;
    let bytes = signature.try_into().map_err(|_| BadSignature::Length { found: signature.len(), expected })?;
    key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(bytes)).map_err(|_| BadSignature::Mismatch)
}

fn ed25519_message(text: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

/// `None` if a name is longer than its length byte can say.
fn ml_dsa_message(cosigner: &KeyName, checkpoint: &Checkpoint, time: u64) -> Option<Vec<u8>> {
    let mut message = b"subtree/v1\n\0".to_vec();
    let mut named = |text: &str, number: u64| {
        message.push(u8::try_from(text.len()).ok()?);
        message.extend_from_slice(text.as_bytes());
        message.extend_from_slice(&number.to_be_bytes());
        Some(())
    };
    named(cosigner.as_str(), time)?;
    // A checkpoint is the subtree that begins at 0.
    named(checkpoint.origin().as_str(), 0)?;
    message.extend_from_slice(&checkpoint.size().to_be_bytes());
    message.extend_from_slice(&checkpoint.root().0);
    Some(message)
}

impl PartialEq for VerifierKey {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.algorithm() == other.algorithm() && self.is_same_key(other)
    }
}

impl Eq for VerifierKey {}

impl std::str::FromStr for VerifierKey {
    type Err = KeyError;

    /// Reads `NAME+ID+BASE64`.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let form = || KeyError::Form(text.chars().take(100).collect());
        let (name, rest) = text.split_once('+').ok_or_else(form)?;
        let (id, base64) = rest.split_once('+').ok_or_else(form)?;
        let name: KeyName = name.parse()?;
        let bytes = BASE64_STANDARD.decode(base64).map_err(|_| form())?;
        let (&byte, key) = bytes.split_first().ok_or_else(form)?;
        let algorithm = Algorithm::of(byte).ok_or_else(|| KeyError::Algorithm { name: name.clone(), found: byte })?;
        let verifier = Self::new(name, algorithm, key)?;
        let expected = verifier.id.to_string();
        if id == expected {
            Ok(verifier)
        } else {
            Err(KeyError::Id { name: verifier.name, found: id.to_owned(), expected })
        }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&[self.algorithm().byte()], self.key_bytes().as_slice()].concat();
        write!(formatter, "{}+{}+{}", self.name, self.id, BASE64_STANDARD.encode(bytes))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "VerifierKey({}+{})", self.name, self.id)
    }
}

impl SignerKey {
    /// Makes the key of a seed: 32 bytes from a good source of randomness.
    pub fn from_seed(name: KeyName, algorithm: Algorithm, seed: [u8; 32]) -> Self {
        let (secret, public) = match algorithm {
            Algorithm::Ed25519 | Algorithm::CosignatureEd25519 => {
                let key = ed25519_dalek::SigningKey::from_bytes(&seed);
                let public = key.verifying_key().to_bytes().to_vec();
                (Secret::Ed25519(Box::new(key)), public)
            }
            Algorithm::CosignatureMlDsa44 => {
                let key = ml_dsa::SigningKey::<MlDsa44>::from_seed(&seed.into());
                let public = AsRef::<ml_dsa::VerifyingKey<MlDsa44>>::as_ref(&key).to_bytes().to_vec();
                (Secret::MlDsa44(Box::new(key)), public)
            }
        };
        let verifier = VerifierKey::new(name, algorithm, &public).expect("a key made of a seed is valid");
        Self { verifier, seed, secret }
    }

    /// Returns the public part.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Signs the text of a note.
    ///
    /// # Panics
    ///
    /// If this is the key of a cosigner: cosignatures carry a time.
    pub fn sign(&self, text: &str) -> Signature {
        let (Secret::Ed25519(key), Algorithm::Ed25519) = (&self.secret, self.verifier.algorithm()) else {
            panic!("a cosigner signs checkpoints, with a time");
        };
        self.line(key.sign(text.as_bytes()).to_bytes().to_vec())
    }

    /// Cosigns a checkpoint: at `time`, in seconds since 1970, this is the largest consistent tree we have seen.
    ///
    /// # Panics
    ///
    /// If this is no key of a cosigner, or `time` is 0.
    pub fn cosign(&self, checkpoint: &Checkpoint, time: u64) -> Signature {
        assert!(time > 0 && time <= MAX_TIME, "a cosignature has a time");
        let signature = match &self.secret {
            Secret::Ed25519(key) => {
                assert!(self.verifier.algorithm().is_cosigner(), "a log signs its checkpoint, a witness cosigns it");
                key.sign(ed25519_message(&checkpoint.to_string(), time).as_bytes()).to_bytes().to_vec()
            }
            Secret::MlDsa44(key) => {
                let message =
                    ml_dsa_message(self.verifier.name(), checkpoint, time).expect("names are at most 255 bytes");
                let signature = key.expanded_key().sign_deterministic(&message, &[]).expect("the context is short");
                signature.encode().to_vec()
            }
        };
        self.line([time.to_be_bytes().as_slice(), &signature].concat())
    }

    fn line(&self, bytes: Vec<u8>) -> Signature {
        Signature { name: self.verifier.name.clone(), id: self.verifier.id, bytes }
    }

    /// Writes the key with its secret, for a file that only its owner reads.
    pub fn to_secret_text(&self) -> String {
        let bytes = [&[self.verifier.algorithm().byte()], self.seed.as_slice()].concat();
        format!("PRIVATE+KEY+{}+{}+{}", self.verifier.name, self.verifier.id, BASE64_STANDARD.encode(bytes))
    }

    /// Reads what [`SignerKey::to_secret_text`] writes.
    ///
    /// # Errors
    ///
    /// [`KeyError::Secret`]; the text is not repeated in it.
    pub fn from_secret_text(text: &str) -> Result<Self, KeyError> {
        let read = || {
            let (name, rest) = text.trim_end().strip_prefix("PRIVATE+KEY+")?.split_once('+')?;
            let (id, base64) = rest.split_once('+')?;
            let bytes = BASE64_STANDARD.decode(base64).ok()?;
            let (&byte, seed) = bytes.split_first()?;
            let key = Self::from_seed(name.parse().ok()?, Algorithm::of(byte)?, seed.try_into().ok()?);
            (key.verifier.id.to_string() == id).then_some(key)
        };
        read().ok_or(KeyError::Secret)
    }
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SignerKey({}+{})", self.verifier.name, self.verifier.id)
    }
}
