//! The server's side: checks a client's proof against a stored verifier.

use super::{
    Key, Nonce, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramError, Verifier, attribute, base64, hmac, sha256, utf8, xor,
};
use ::base64::{Engine as _, prelude::BASE64_STANDARD};
use subtle::ConstantTimeEq as _;

/// What is known of the person who logs in.
#[derive(Debug, Clone)]
pub enum Credential {
    /// The person has this verifier.
    Known(Verifier),
    /// There is no such person, or none with a password: every step is taken, and the last one fails.
    Unknown {
        /// The name asked for.
        name: String,
        /// Of the gateway, constant over its life: the same name gets the same salt each time.
        secret: [u8; 32],
    },
}

/// An exchange that has not begun.
#[derive(Debug)]
pub struct Server {
    verifier: Verifier,
    known: subtle::Choice,
    binding: Option<Vec<u8>>,
}

/// An exchange after the client's first message.
#[derive(Debug)]
pub struct Challenged {
    verifier: Verifier,
    known: subtle::Choice,
    /// What `c=` must decode to.
    bound: Vec<u8>,
    nonce: String,
    first_messages: String,
}

impl Server {
    /// Begins an exchange. `binding` is the hash of our certificate (`tls-server-end-point`) if the connection is encrypted.
    pub fn new(credential: Credential, binding: Option<Vec<u8>>) -> Self {
        let (verifier, known) = match credential {
            Credential::Known(verifier) => (verifier, 1),
            Credential::Unknown { name, secret } => (Verifier::made_up(&name, &secret), 0),
        };
        Self { verifier, known: known.into(), binding }
    }

    /// Returns the mechanisms to offer, best first.
    pub fn mechanisms(&self) -> &'static [&'static str] {
        if self.binding.is_some() { &[SCRAM_SHA_256_PLUS, SCRAM_SHA_256] } else { &[SCRAM_SHA_256] }
    }

    /// Takes the client's first message, and returns ours.
    ///
    /// # Errors
    ///
    /// If the mechanism was not offered, the message is malformed, or the client was talked out of channel binding.
    pub fn challenge(self, mechanism: &str, first: &[u8], nonce: &Nonce) -> Result<(String, Challenged), ScramError> {
        let plus = match mechanism {
            SCRAM_SHA_256 => false,
            SCRAM_SHA_256_PLUS if self.binding.is_some() => true,
            _ => return Err(ScramError::Mechanism),
        };
        let first = utf8(first)?;
        let mut parts = first.splitn(3, ',');
        let (Some(flag), Some(identity), Some(bare)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(ScramError::Malformed("the first message has no header"));
        };
        if !identity.is_empty() {
            return Err(ScramError::Malformed("it asks to act for someone else"));
        }
        let mut bound = format!("{flag},,").into_bytes();
        match (flag, plus) {
            ("n", false) => {}
            ("y", false) if self.binding.is_none() => {}
            ("y", false) => return Err(ScramError::Downgraded),
            ("p=tls-server-end-point", true) => bound.extend(self.binding.iter().flatten()),
            _ => return Err(ScramError::Malformed("its channel binding does not fit the mechanism")),
        }
        let mut attributes = bare.split(',');
        // The name is PostgreSQL's to ignore: who logs in was said in the startup message. An `m=` here is refused.
        attribute(attributes.next(), "n", "the first message has no name")?;
        let theirs = attribute(attributes.next(), "r", "the first message has no nonce")?;
        if theirs.is_empty() || !theirs.bytes().all(|byte| matches!(byte, 0x21..=0x7e)) {
            return Err(ScramError::Malformed("its nonce is empty or not printable"));
        }
        let nonce = format!("{theirs}{}", nonce.0);
        let salt = BASE64_STANDARD.encode(&self.verifier.salt);
        let ours = format!("r={nonce},s={salt},i={}", self.verifier.iterations);
        let first_messages = format!("{bare},{ours}");
        Ok((ours, Challenged { verifier: self.verifier, known: self.known, bound, nonce, first_messages }))
    }
}

impl Challenged {
    /// Takes the client's last message, and returns ours, by which the client knows us.
    ///
    /// # Errors
    ///
    /// If the message is malformed, bound to another channel, or its proof is wrong: for someone unknown it always is.
    pub fn finish(self, last: &[u8]) -> Result<String, ScramError> {
        let last = utf8(last)?;
        let (without_proof, proof) = last.rsplit_once(",p=").ok_or(ScramError::Malformed("it has no proof"))?;
        let mut attributes = without_proof.split(',');
        let bound = base64(attribute(attributes.next(), "c", "it has no channel binding")?)?;
        let nonce = attribute(attributes.next(), "r", "it has no nonce")?;
        if !bool::from(bound.ct_eq(&self.bound)) {
            return Err(ScramError::WrongBinding);
        }
        if !bool::from(nonce.as_bytes().ct_eq(self.nonce.as_bytes())) {
            return Err(ScramError::Malformed("its nonce is not that of this exchange"));
        }
        let proof: Key =
            base64(proof)?.try_into().map_err(|_| ScramError::Malformed("its proof has a wrong length"))?;
        let signed = [self.first_messages.as_bytes(), b",", without_proof.as_bytes()];
        let client_key = xor(&proof, &hmac(&self.verifier.stored_key, &signed));
        let right = sha256(&client_key).ct_eq(&self.verifier.stored_key);
        if !bool::from(right & self.known) {
            return Err(ScramError::WrongProof);
        }
        Ok(format!("v={}", BASE64_STANDARD.encode(hmac(&self.verifier.server_key, &signed))))
    }
}
