//! The client's side: how the gateway logs in to PostgreSQL.

use super::{
    Key, Keys, MAX_ITERATIONS, Nonce, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramError, attribute, base64, hmac, sha256,
    utf8, xor,
};
use ::base64::{Engine as _, prelude::BASE64_STANDARD};
use std::fmt;
use subtle::ConstantTimeEq as _;

/// What the client knows.
#[derive(Clone)]
pub enum Secret {
    /// The password.
    Password(String),
    /// Its keys for one salt and number of iterations; the password where the server has others, else logging in fails.
    Keys {
        /// Whose keys.
        salt: Vec<u8>,
        /// Whose keys.
        iterations: u32,
        /// The keys.
        keys: Keys,
        /// For the case that the role got a new verifier.
        password: Option<String>,
    },
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Password(_) => "Password(…)",
            Self::Keys { .. } => "Keys(…)",
        })
    }
}

/// How the exchange is tied to the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binding {
    /// The connection is not encrypted, or its certificate cannot be bound to.
    Impossible,
    /// The connection is encrypted, but the server does not offer binding: it is told so, and fails if it did offer it.
    NotOffered,
    /// The hash of the server's certificate (`tls-server-end-point`).
    EndPoint(Vec<u8>),
}

/// An exchange after our first message.
#[derive(Debug)]
pub struct Client {
    secret: Secret,
    header: &'static str,
    bound: Vec<u8>,
    bare: String,
    nonce: Nonce,
}

/// An exchange after our proof.
#[derive(Debug)]
pub struct Proved {
    signature: Key,
    /// The keys that were used, to be kept for the next login.
    pub used: Secret,
}

impl Client {
    /// Chooses among the mechanisms that a server offers: the one with binding if the connection has one.
    ///
    /// `endpoint` is the hash of the server's certificate if the connection is encrypted and the certificate has one.
    ///
    /// # Errors
    ///
    /// If neither mechanism is offered.
    pub fn choose<'a>(
        mechanisms: impl Iterator<Item = &'a [u8]>,
        endpoint: Option<Vec<u8>>,
    ) -> Result<(&'static str, Binding), ScramError> {
        let (mut plain, mut plus) = (false, false);
        for name in mechanisms {
            plain |= name == SCRAM_SHA_256.as_bytes();
            plus |= name == SCRAM_SHA_256_PLUS.as_bytes();
        }
        match (endpoint, plus, plain) {
            (Some(hash), true, _) => Ok((SCRAM_SHA_256_PLUS, Binding::EndPoint(hash))),
            (Some(_), false, true) => Ok((SCRAM_SHA_256, Binding::NotOffered)),
            (None, _, true) => Ok((SCRAM_SHA_256, Binding::Impossible)),
            (_, _, false) => Err(ScramError::Mechanism),
        }
    }

    /// Begins an exchange, and returns our first message. PostgreSQL ignores `name`, which may be empty.
    pub fn begin(secret: Secret, name: &str, binding: Binding, nonce: Nonce) -> (String, Self) {
        let (header, bound) = match binding {
            Binding::Impossible => ("n,,", Vec::new()),
            Binding::NotOffered => ("y,,", Vec::new()),
            Binding::EndPoint(hash) => ("p=tls-server-end-point,,", hash),
        };
        let name = name.replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={name},r={}", nonce.0);
        (format!("{header}{bare}"), Self { secret, header, bound, bare, nonce })
    }

    /// Takes the server's first message, and returns our proof.
    ///
    /// # Errors
    ///
    /// If the message is malformed, does not continue our nonce, or asks for too much work.
    pub fn prove(self, challenge: &[u8]) -> Result<(String, Proved), ScramError> {
        let challenge = utf8(challenge)?;
        let mut attributes = challenge.split(',');
        let nonce = attribute(attributes.next(), "r", "the challenge has no nonce")?;
        let salt = base64(attribute(attributes.next(), "s", "the challenge has no salt")?)?;
        let iterations = attribute(attributes.next(), "i", "the challenge has no iterations")?;
        let iterations: u32 = iterations.parse().map_err(|_| ScramError::Malformed("iterations are a number"))?;
        if nonce.len() <= self.nonce.0.len() || !nonce.starts_with(&self.nonce.0) {
            return Err(ScramError::Malformed("its nonce does not continue ours"));
        }
        if !(1..=MAX_ITERATIONS).contains(&iterations) {
            return Err(ScramError::Iterations(iterations));
        }
        let (keys, password) = match self.secret {
            Secret::Keys { salt: kept, iterations: kept_iterations, keys, password } => {
                if kept == salt && kept_iterations == iterations {
                    (keys, password)
                } else {
                    let password = password.ok_or(ScramError::Refused)?;
                    (Keys::derive(&password, &salt, iterations), Some(password))
                }
            }
            Secret::Password(password) => (Keys::derive(&password, &salt, iterations), Some(password)),
        };
        let mut bound = self.header.as_bytes().to_vec();
        bound.extend(&self.bound);
        let without_proof = format!("c={},r={nonce}", BASE64_STANDARD.encode(bound));
        let signed = format!("{},{challenge},{without_proof}", self.bare);
        let proof = xor(&keys.client_key, &hmac(&sha256(&keys.client_key), &[signed.as_bytes()]));
        let signature = hmac(&keys.server_key, &[signed.as_bytes()]);
        let last = format!("{without_proof},p={}", BASE64_STANDARD.encode(proof));
        Ok((last, Proved { signature, used: Secret::Keys { salt, iterations, keys, password } }))
    }
}

impl Proved {
    /// Takes the server's last message; only then is it known that the server is the one that has the verifier.
    ///
    /// # Errors
    ///
    /// If it refused our proof, or its own is wrong.
    pub fn finish(self, last: &[u8]) -> Result<Secret, ScramError> {
        let last = utf8(last)?;
        if last.starts_with("e=") {
            return Err(ScramError::Refused);
        }
        let signature = base64(attribute(last.split(',').next(), "v", "it has no signature")?)?;
        if bool::from(signature.ct_eq(&self.signature)) { Ok(self.used) } else { Err(ScramError::WrongSignature) }
    }
}
