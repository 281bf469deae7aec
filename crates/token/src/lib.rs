//! Signed tokens (JWT) of one issuer, verified against its keys (JWKS).
//!
//! Three algorithms, each with the one kind of key that it belongs to: RS256, ES256, EdDSA. A key is found by its id and
//! says itself what it verifies, so `none`, or HMAC with a public key as its secret, verify nothing here.
//!
//! Out of scope: what the claims say of whoever shows the token (`gateway`, `consent`), and how people get one.
//!
//! # Source
//!
//! RFC 7515 (JWS), RFC 7517 and 7518 (keys and algorithms), RFC 7519 (JWT), RFC 8037 (Ed25519), RFC 8725 (best practices).

mod keys;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use keys::Keys;
use serde_json::{Map, Value};
use std::path::PathBuf;

/// The largest token, in bytes.
pub const MAX_BYTES: usize = 8 << 10;

/// How far the provider's clock may be from ours, in seconds.
pub const MAX_SKEW_SECONDS: u32 = 60;

/// Which tokens are taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// What `iss` must be.
    pub issuer: String,
    /// What `aud` must be or contain.
    pub audience: String,
    /// A file with the issuer's keys (JWKS); or
    pub keys_file: Option<PathBuf>,
    /// the address that they are fetched from: HTTPS, or HTTP on the loopback.
    pub keys_url: Option<String>,
    /// The authorities (PEM) that the address's certificate is checked against; the public ones without it.
    pub keys_ca: Option<PathBuf>,
    /// How far the issuer's clock may be from ours; at most [`MAX_SKEW_SECONDS`].
    pub skew_seconds: u32,
}

/// What a token says, its signature, time, issuer and audience verified.
pub type Claims = Map<String, Value>;

/// Why a token is refused.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// No issuer is configured.
    #[error("no identity provider is configured")]
    NotTaken,
    /// It is no JWT.
    #[error("the token is no signed JWT: {0}")]
    Malformed(&'static str),
    /// Its algorithm is not one of ours.
    #[error("the token is signed with `{0}`; RS256, ES256 and EdDSA are verified")]
    Algorithm(String),
    /// No key has this id.
    #[error("the identity provider has no key `{0}`")]
    UnknownKey(String),
    /// The key is not made for the algorithm.
    #[error("key `{0}` is not made for the algorithm of the token")]
    WrongKey(String),
    /// The signature is wrong.
    #[error("the signature of the token is wrong")]
    Signature,
    /// It was issued by, or for, someone else.
    #[error("claim `{claim}` of the token is not `{expected}`")]
    NotForUs {
        /// `iss` or `aud`.
        claim: &'static str,
        /// What it must be.
        expected: String,
    },
    /// It is too late.
    #[error("the token expired at {0}")]
    Expired(String),
    /// It is too early.
    #[error("the token is not valid before {0}")]
    NotYet(String),
    /// A claim is missing, or cannot be what it shall be.
    #[error("claim `{0}` of the token is missing, or not what it shall be")]
    Claim(String),
    /// The keys are not known.
    #[error("the keys of the identity provider cannot be had")]
    Keys(#[from] KeysError),
}

/// Why keys are not known.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file cannot be read.
    #[error("the file of keys cannot be read")]
    File(#[source] std::io::Error),
    /// The address does not answer.
    #[error("the address of keys does not answer")]
    Fetch(#[source] Box<ureq::Error>),
    /// It answers something else.
    #[error("the address of keys answers {0}")]
    Status(u16),
    /// They are not keys.
    #[error("the keys are no JWKS")]
    Format(#[source] serde_json::Error),
    /// There are too many, or the file is too large.
    #[error("there are more keys than 100, or more bytes than 1 MiB")]
    TooMany,
    /// The settings do not fit.
    #[error("{0}")]
    Settings(&'static str),
}

/// Verifies the tokens of one provider.
#[derive(Debug)]
pub struct Tokens {
    settings: Settings,
    keys: Keys,
}

impl Tokens {
    /// Begins to take the tokens of a provider. Keys are read or fetched when the first one comes.
    ///
    /// # Errors
    ///
    /// If the settings name no keys or two places of keys, an address without TLS, or too much skew.
    pub fn new(settings: Settings) -> Result<Self, KeysError> {
        if settings.skew_seconds > MAX_SKEW_SECONDS {
            return Err(KeysError::Settings("`skew_seconds` is more than 60"));
        }
        if settings.issuer.is_empty() || settings.audience.is_empty() {
            return Err(KeysError::Settings("`issuer` or `audience` is empty"));
        }
        let keys = Keys::new(&settings)?;
        Ok(Self { settings, keys })
    }

    /// Verifies a token and returns what it says. May read or fetch keys, and waits for at most 5 s then.
    ///
    /// # Errors
    ///
    /// If its signature, time, issuer, or audience do not hold.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, TokenError> {
        if token.len() > MAX_BYTES {
            return Err(TokenError::Malformed("it is too long"));
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed("it has no signature"))?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Malformed("it has two parts"))?;
        let header = object(header)?;
        let text = |name: &str| header.get(name).and_then(Value::as_str);
        let algorithm = text("alg").ok_or(TokenError::Malformed("its header names no algorithm"))?;
        let algorithm = keys::Algorithm::named(algorithm)
            .ok_or_else(|| TokenError::Algorithm(algorithm.chars().take(20).collect()))?;
        if header.contains_key("crit") {
            return Err(TokenError::Malformed("its header has critical extensions, of which none is known"));
        }
        let id = text("kid").ok_or(TokenError::Malformed("its header names no key"))?;
        let signature = decoded(signature)?;
        self.keys.verify(id, algorithm, signed.as_bytes(), &signature, now)?;
        let claims = object(payload)?;
        self.check(&claims, now)?;
        Ok(claims)
    }

    fn check(&self, claims: &Claims, now: Timestamp) -> Result<(), TokenError> {
        let Settings { issuer, audience, .. } = &self.settings;
        if claims.get("iss").and_then(Value::as_str) != Some(issuer) {
            return Err(TokenError::NotForUs { claim: "iss", expected: issuer.clone() });
        }
        let for_us = match claims.get("aud") {
            Some(Value::String(one)) => one == audience,
            Some(Value::Array(several)) => several.iter().any(|each| each.as_str() == Some(audience)),
            _ => false,
        };
        if !for_us {
            return Err(TokenError::NotForUs { claim: "aud", expected: audience.clone() });
        }
        let (skew, now) = (f64::from(self.settings.skew_seconds), now.as_second() as f64);
        let seconds = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or_else(|| TokenError::Claim(name.to_owned())),
        };
        let moment = |seconds: f64| {
            Timestamp::from_second(seconds as i64).map_or_else(|_| seconds.to_string(), |moment| moment.to_string())
        };
        let end = seconds("exp")?.ok_or_else(|| TokenError::Claim("exp".to_owned()))?;
        if now >= end + skew {
            return Err(TokenError::Expired(moment(end)));
        }
        for name in ["nbf", "iat"] {
            if let Some(begin) = seconds(name)?.filter(|begin| now + skew < *begin) {
                return Err(TokenError::NotYet(moment(begin)));
            }
        }
        Ok(())
    }
}

/// Returns a claim that is a text of 1 to 200 bytes without control characters.
///
/// # Errors
///
/// [`TokenError::Claim`].
pub fn text_of(claims: &Claims, name: &str) -> Result<String, TokenError> {
    let text = claims.get(name).and_then(Value::as_str);
    let text = text.filter(|text| !text.is_empty() && text.len() <= 200 && !text.chars().any(char::is_control));
    text.map(str::to_owned).ok_or_else(|| TokenError::Claim(name.to_owned()))
}

fn decoded(part: &str) -> Result<Vec<u8>, TokenError> {
    BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed("a part is not base64url"))
}

fn object(part: &str) -> Result<Map<String, Value>, TokenError> {
    serde_json::from_slice(&decoded(part)?).map_err(|_| TokenError::Malformed("a part is no JSON object"))
}
