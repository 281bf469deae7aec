//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS: shows knowledge of a password without sending it, both ways.
//!
//! [`server`] is what clients meet, [`client`] is how the gateway logs in. Both are chains of types: each step gives the
//! next, so that none is left out or taken twice. Randomness is passed in as a [`Nonce`].
//!
//! Out of scope: the messages around the steps (`wire`), who the person is (`identity`).
//!
//! A person who is not known goes through all steps with a verifier made up from a secret, and fails at the last one, as
//! with a wrong password: names cannot be probed.
//!
//! # Source
//!
//! RFC 5802 and RFC 7677 (SCRAM), RFC 5929 §4 (`tls-server-end-point`), RFC 4013 (preparation of passwords). That a
//! password which cannot be prepared is used as it is, that the name of the user in the first message is ignored, and the
//! form of stored verifiers are PostgreSQL's.

pub mod client;
pub mod server;
#[cfg(test)]
mod tests;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use std::{borrow::Cow, fmt, str::FromStr};

/// The mechanism without channel binding.
pub const SCRAM_SHA_256: &str = "SCRAM-SHA-256";

/// The mechanism with channel binding.
pub const SCRAM_SHA_256_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// How many iterations a new verifier gets.
///
/// # Source
///
/// RFC 7677 §4 asks for at least 4096, which PostgreSQL uses; passwords of roles are random, so more would gain nothing.
pub const ITERATIONS: u32 = 4096;

/// The most iterations that are computed for a server: it could otherwise keep a client busy for hours.
pub const MAX_ITERATIONS: u32 = 1_000_000;

/// SHA-256's length.
type Key = [u8; 32];

/// What a server keeps instead of a password. Whoever has it can pose as the server, not as the client.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    iterations: u32,
    salt: Vec<u8>,
    stored_key: Key,
    server_key: Key,
}

/// What a client may keep instead of a password: enough to log in, for one salt and number of iterations.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// `ClientKey`.
    pub client_key: Key,
    /// `ServerKey`.
    pub server_key: Key,
}

/// Why a verifier cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a verifier reads `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`; {0}")]
pub struct VerifierError(&'static str);

/// Why logging in by SCRAM failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    /// The other side's message is not what this step demands.
    #[error("a message of SCRAM is malformed: {0}")]
    Malformed(&'static str),
    /// The client does not know the password, or the person is not known.
    #[error("the proof of the password is wrong")]
    WrongProof,
    /// The client saw another certificate than ours: someone is in between.
    #[error("the channel binding is not that of this connection")]
    WrongBinding,
    /// The client could bind to the channel, and believes that we cannot: someone took it from our list.
    #[error("the client supports channel binding but saw no offer of it")]
    Downgraded,
    /// The other side does not know the password's verifier.
    #[error("the server did not prove that it knows the verifier of the password")]
    WrongSignature,
    /// The server said that logging in failed.
    #[error("the server refused the proof of the password")]
    Refused,
    /// The server asks for too much work, or too little.
    #[error("the server asks for {0} iterations; 1 to 1000000 are computed")]
    Iterations(u32),
    /// No mechanism in common.
    #[error("the mechanism asked for is not offered")]
    Mechanism,
}

/// A number used once, printable, without commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce(String);

impl Nonce {
    /// Returns a new one of 18 random bytes, as PostgreSQL uses.
    ///
    /// # Panics
    ///
    /// If the system has no random numbers: nothing can be secured then.
    pub fn random() -> Self {
        let mut bytes = [0; 18];
        getrandom::fill(&mut bytes).expect("the system has random numbers");
        Self(BASE64_STANDARD.encode(bytes))
    }

    #[cfg(test)]
    fn of(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Verifier(iterations: {}, …)", self.iterations)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Keys(…)")
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] =
            [&self.salt[..], &self.stored_key, &self.server_key].map(|bytes| BASE64_STANDARD.encode(bytes));
        write!(formatter, "{SCRAM_SHA_256}${}:{salt}${stored}:{server}", self.iterations)
    }
}

impl FromStr for Verifier {
    type Err = VerifierError;

    fn from_str(text: &str) -> Result<Self, VerifierError> {
        let mut parts = text.split('$');
        let (Some(SCRAM_SHA_256), Some(cost), Some(keys), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(VerifierError("it is not of this form"));
        };
        let (iterations, salt) = cost.split_once(':').ok_or(VerifierError("it has no salt"))?;
        let iterations = iterations.parse().map_err(|_| VerifierError("its iterations are not a number"))?;
        if !(ITERATIONS..=MAX_ITERATIONS).contains(&iterations) {
            return Err(VerifierError("it has fewer than 4096 or more than 1000000 iterations"));
        }
        let (stored, server) = keys.split_once(':').ok_or(VerifierError("it has only one key"))?;
        let salt = BASE64_STANDARD.decode(salt).map_err(|_| VerifierError("its salt is not base64"))?;
        if salt.is_empty() {
            return Err(VerifierError("its salt is empty"));
        }
        let key = |text: &str| -> Result<Key, VerifierError> {
            let bytes = BASE64_STANDARD.decode(text).map_err(|_| VerifierError("a key is not base64"))?;
            bytes.try_into().map_err(|_| VerifierError("a key does not have 32 bytes"))
        };
        Ok(Self { iterations, salt, stored_key: key(stored)?, server_key: key(server)? })
    }
}

impl Verifier {
    /// Returns the verifier of a password.
    ///
    /// # Panics
    ///
    /// If `iterations` is 0 or the salt is empty.
    pub fn new(password: &str, salt: &[u8], iterations: u32) -> Self {
        assert!(iterations > 0 && !salt.is_empty(), "a verifier has a salt and at least one iteration");
        let keys = Keys::derive(password, salt, iterations);
        Self { iterations, salt: salt.to_vec(), stored_key: sha256(&keys.client_key), server_key: keys.server_key }
    }

    /// Returns a verifier that nobody has the password of; always the same for a name and a secret.
    pub(crate) fn made_up(name: &str, secret: &[u8; 32]) -> Self {
        let made = |purpose: &[u8]| hmac(secret, &[purpose, name.as_bytes()]);
        Self {
            iterations: ITERATIONS,
            salt: made(b"vigie/scram-mock-salt/v1\0")[..16].to_vec(),
            stored_key: made(b"vigie/scram-mock-stored/v1\0"),
            server_key: made(b"vigie/scram-mock-server/v1\0"),
        }
    }
}

impl Keys {
    /// Computes the keys of a password: takes milliseconds by intent, so keep them where logins are frequent.
    pub fn derive(password: &str, salt: &[u8], iterations: u32) -> Self {
        let salted = salted_password(&prepared(password), salt, iterations);
        Self { client_key: hmac(&salted, &[b"Client Key"]), server_key: hmac(&salted, &[b"Server Key"]) }
    }
}

/// Returns the verifier of a password as PostgreSQL stores it: `ALTER ROLE … PASSWORD` takes it as it is.
///
/// # Panics
///
/// If `iterations` is 0 or the salt is empty.
///
/// # Example
///
/// ```
/// let verifier = vigie_gateway::scram::verifier("pencil", b"0123456789abcdef", 4096);
/// assert!(verifier.starts_with("SCRAM-SHA-256$4096:MDEyMzQ1Njc4OWFiY2RlZg==$"));
/// ```
pub fn verifier(password: &str, salt: &[u8], iterations: u32) -> String {
    Verifier::new(password, salt, iterations).to_string()
}

fn prepared(password: &str) -> Cow<'_, str> {
    stringprep::saslprep(password).unwrap_or(Cow::Borrowed(password))
}

fn mac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Key {
    let mut mac = mac(key);
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn sha256(bytes: &[u8]) -> Key {
    Sha256::digest(bytes).into()
}

fn xor(left: &Key, right: &Key) -> Key {
    std::array::from_fn(|at| left[at] ^ right[at])
}

/// `Hi` of RFC 5802 §2.2: PBKDF2 with one block.
fn salted_password(password: &str, salt: &[u8], iterations: u32) -> Key {
    // The key's two hash states are computed once and copied: half the work.
    let keyed = mac(password.as_bytes());
    let step = |parts: &[&[u8]]| -> Key {
        let mut mac = keyed.clone();
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    };
    let mut last = step(&[salt, &1_u32.to_be_bytes()]);
    let mut sum = last;
    for _ in 1..iterations {
        last = step(&[&last]);
        sum = xor(&sum, &last);
    }
    sum
}

/// Takes `name=` from the front of an attribute.
fn attribute<'a>(part: Option<&'a str>, name: &str, missing: &'static str) -> Result<&'a str, ScramError> {
    part.and_then(|part| part.strip_prefix(name)?.strip_prefix('=')).ok_or(ScramError::Malformed(missing))
}

fn utf8(message: &[u8]) -> Result<&str, ScramError> {
    std::str::from_utf8(message).map_err(|_| ScramError::Malformed("it is not UTF-8"))
}

fn base64(text: &str) -> Result<Vec<u8>, ScramError> {
    BASE64_STANDARD.decode(text).map_err(|_| ScramError::Malformed("a value is not base64"))
}
