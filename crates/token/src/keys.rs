//! The keys of an identity provider (JWKS), read from a file or fetched, and kept for a while.
//!
//! Whoever sends tokens decides which key id we look for, so he must not decide how often we fetch: at most once in
//! [`PAUSE`], whatever he sends.

use super::{KeysError, Settings, TokenError};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;
use std::{
    collections::HashMap,
    fs,
    io::Read as _,
    path::PathBuf,
    sync::{Mutex, RwLock},
    time::Duration,
};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// The largest set of keys, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// The most keys.
const MAX_KEYS: usize = 100;

/// How long fetching may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait at least before keys are looked for again.
const PAUSE: SignedDuration = SignedDuration::from_secs(30);

/// After which age keys are looked for again though all are known: a provider withdraws a key by no longer listing it.
const FRESH: SignedDuration = SignedDuration::from_hours(1);

/// For how long keys are used while the provider does not answer.
const USABLE: SignedDuration = SignedDuration::from_hours(24);

/// What signs a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// RSA with PKCS #1 v1.5 padding and SHA-256; keys of 2048 to 8192 bits.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            "EdDSA" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

/// A key, of the kind that its algorithm needs.
#[derive(Debug)]
enum Key {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// As an uncompressed point.
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Entry>,
}

/// A key as it is listed. Keys of kinds that we do not know are passed over, as RFC 7517 §5 asks.
#[derive(Deserialize)]
struct Entry {
    kid: Option<String>,
    kty: String,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Entry {
    fn key(&self) -> Option<Key> {
        if self.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let part = |part: &Option<String>| BASE64_URL_SAFE_NO_PAD.decode(part.as_deref()?).ok();
        let (algorithm, key) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => ("RS256", Key::Rsa { n: part(&self.n)?, e: part(&self.e)? }),
            ("EC", Some("P-256")) => {
                let (x, y) = (part(&self.x)?, part(&self.y)?);
                let sizes_fit = x.len() == 32 && y.len() == 32;
                ("ES256", Key::P256(sizes_fit.then(|| [&[4][..], &x, &y].concat())?))
            }
            ("OKP", Some("Ed25519")) => ("EdDSA", Key::Ed25519(part(&self.x)?)),
            _ => return None,
        };
        self.alg.as_deref().is_none_or(|named| named == algorithm).then_some(key)
    }
}

#[derive(Debug)]
enum Place {
    File(PathBuf),
    Web { url: String, agent: ureq::Agent },
}

/// What is known, and since when.
#[derive(Debug, Default)]
struct Known {
    keys: HashMap<String, Key>,
    since: Option<Timestamp>,
}

#[derive(Debug)]
pub(super) struct Keys {
    place: Place,
    known: RwLock<Known>,
    /// When keys were last looked for; held while that is done, so that it is done once.
    tried: Mutex<Option<Timestamp>>,
}

impl Keys {
    pub(super) fn new(settings: &Settings) -> Result<Self, KeysError> {
        let place = match (&settings.keys_file, &settings.keys_url) {
            (Some(path), None) => Place::File(path.clone()),
            (None, Some(url)) => {
                let loopback = ["http://127.0.0.1:", "http://[::1]:"].iter().any(|prefix| url.starts_with(prefix));
                if !url.starts_with("https://") && !loopback {
                    return Err(KeysError::Settings("`keys_url` is neither HTTPS nor on the loopback"));
                }
                let mut tls = TlsConfig::builder();
                if let Some(path) = &settings.keys_ca {
                    let pem = fs::read(path).map_err(KeysError::File)?;
                    let roots: Vec<Certificate<'static>> = parse_pem(&pem)
                        .filter_map(|item| match item {
                            Ok(PemItem::Certificate(certificate)) => Some(certificate),
                            _ => None,
                        })
                        .collect();
                    if roots.is_empty() {
                        return Err(KeysError::Settings("`keys_ca` holds no certificate"));
                    }
                    tls = tls.root_certs(RootCerts::Specific(std::sync::Arc::new(roots)));
                }
                let agent = ureq::Agent::config_builder()
                    .timeout_global(Some(FETCH_TIMEOUT))
                    .http_status_as_error(false)
                    // A redirect could lead anywhere, and to plain text.
                    .max_redirects(0)
                    .tls_config(tls.build())
                    .user_agent(concat!("vigie/", env!("CARGO_PKG_VERSION")))
                    .build()
                    .new_agent();
                Place::Web { url: url.clone(), agent }
            }
            _ => return Err(KeysError::Settings("one of `keys_file` and `keys_url` is needed")),
        };
        Ok(Self { place, known: RwLock::default(), tried: Mutex::default() })
    }

    /// Verifies a signature by the key of an id.
    pub(super) fn verify(
        &self,
        id: &str,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
        now: Timestamp,
    ) -> Result<(), TokenError> {
        let age = |known: &Known| known.since.map_or(SignedDuration::MAX, |since| now.duration_since(since));
        let (known_key, old) = {
            let known = self.known.read().expect("nothing panics while it holds the lock");
            (known.keys.contains_key(id), age(&known) > FRESH)
        };
        if old || !known_key {
            self.refresh(now)?;
        }
        let known = self.known.read().expect("nothing panics while it holds the lock");
        if age(&known) > USABLE {
            return Err(KeysError::Settings("the keys are older than a day, and no new ones can be had").into());
        }
        let shown = || id.chars().filter(|character| !character.is_control()).take(60).collect::<String>();
        let key = known.keys.get(id).ok_or_else(|| TokenError::UnknownKey(shown()))?;
        let verified = match (key, algorithm) {
            (Key::Rsa { n, e }, Algorithm::Rs256) => {
                RsaPublicKeyComponents { n, e }.verify(&signature::RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
            (Key::P256(point), Algorithm::Es256) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            (Key::Ed25519(key), Algorithm::EdDsa) => {
                UnparsedPublicKey::new(&signature::ED25519, key).verify(message, signature)
            }
            _ => return Err(TokenError::WrongKey(shown())),
        };
        verified.map_err(|_| TokenError::Signature)
    }

    /// Looks for keys, unless that was done a moment ago. If it fails, those that are known stay, as long as they may.
    fn refresh(&self, now: Timestamp) -> Result<(), KeysError> {
        let mut tried = self.tried.lock().expect("nothing panics while it holds the lock");
        if tried.is_some_and(|tried| now.duration_since(tried).abs() < PAUSE) {
            return Ok(());
        }
        *tried = Some(now);
        match self.read().and_then(|text| parse(&text)) {
            Ok(keys) => {
                let mut known = self.known.write().expect("nothing panics while it holds the lock");
                *known = Known { keys, since: Some(now) };
                Ok(())
            }
            Err(error) => {
                let known = self.known.read().expect("nothing panics while it holds the lock");
                if known.since.is_some() { Ok(()) } else { Err(error) }
            }
        }
    }

    fn read(&self) -> Result<Vec<u8>, KeysError> {
        match &self.place {
            Place::File(path) => {
                let mut bytes = Vec::new();
                let file = fs::File::open(path).map_err(KeysError::File)?;
                file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(KeysError::File)?;
                if bytes.len() as u64 > MAX_BYTES { Err(KeysError::TooMany) } else { Ok(bytes) }
            }
            Place::Web { url, agent } => {
                let fetch = |error| KeysError::Fetch(Box::new(error));
                let mut answer = agent.get(url).call().map_err(fetch)?;
                match answer.status().as_u16() {
                    200 => answer.body_mut().with_config().limit(MAX_BYTES).read_to_vec().map_err(fetch),
                    status => Err(KeysError::Status(status)),
                }
            }
        }
    }
}

fn parse(text: &[u8]) -> Result<HashMap<String, Key>, KeysError> {
    let set: KeySet = serde_json::from_slice(text).map_err(KeysError::Format)?;
    if set.keys.len() > MAX_KEYS {
        return Err(KeysError::TooMany);
    }
    Ok(set.keys.into_iter().filter_map(|entry| Some((entry.kid.clone()?, entry.key()?))).collect())
}
