//! Tokens of an identity provider (OpenID Connect), and whom they are about.
//!
//! Out of scope: whether a token holds (`token`), how it comes (as the password, over TLS: `startup`), and how people get
//! one.

#[cfg(test)]
pub(crate) mod tests;

use super::{Attestation, Attested, Kind, Method, Principal};
use jiff::{Timestamp, civil::Date};
use serde::Deserialize;
use serde_json::Value;
use std::{collections::BTreeSet, path::PathBuf};
use vigie_token::{KeysError, text_of};

pub use vigie_token::{MAX_BYTES, MAX_SKEW_SECONDS, TokenError};

/// Which tokens are taken.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What `iss` must be.
    pub issuer: String,
    /// What `aud` must be or contain.
    pub audience: String,
    /// A file with the provider's keys (JWKS); or
    #[serde(default)]
    pub keys_file: Option<PathBuf>,
    /// the address that they are fetched from: HTTPS, or HTTP on the loopback.
    #[serde(default)]
    pub keys_url: Option<String>,
    /// The authorities (PEM) that the address's certificate is checked against; the public ones without it.
    #[serde(default)]
    pub keys_ca: Option<PathBuf>,
    /// How far the provider's clock may be from ours; at most [`MAX_SKEW_SECONDS`].
    #[serde(default)]
    pub skew_seconds: u32,
    /// Which claims say what.
    #[serde(default)]
    pub claims: Claims,
}

/// The names of the claims that are read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Claims {
    /// The id: what clients give as their user.
    pub id: String,
    /// How people call him.
    pub name: String,
    /// The legal entity.
    pub entity: String,
    /// The country.
    pub country: String,
    /// The groups; none if it is missing.
    pub groups: String,
    /// The last day of current training, `2027-01-01`; none if it is missing.
    pub training_until: String,
}

impl Default for Claims {
    fn default() -> Self {
        let [id, name, entity, country, groups, training_until] =
            ["sub", "name", "entity", "country", "groups", "training_until"].map(str::to_owned);
        Self { id, name, entity, country, groups, training_until }
    }
}

/// Verifies the tokens of one provider.
#[derive(Debug)]
pub struct Tokens {
    issuer: String,
    names: Claims,
    verifier: vigie_token::Tokens,
}

impl Tokens {
    /// Begins to take the tokens of a provider. Keys are read or fetched when the first one comes.
    ///
    /// # Errors
    ///
    /// If the settings name no keys or two places of keys, an address without TLS, or too much skew.
    pub fn new(settings: Settings) -> Result<Self, KeysError> {
        let Settings { issuer, audience, keys_file, keys_url, keys_ca, skew_seconds, claims: names } = settings;
        let issuer_name = issuer.clone();
        let settings = vigie_token::Settings { issuer, audience, keys_file, keys_url, keys_ca, skew_seconds };
        Ok(Self { issuer: issuer_name, names, verifier: vigie_token::Tokens::new(settings)? })
    }

    /// Verifies a token and returns whom it is about. May read or fetch keys, and waits for at most 5 s then.
    ///
    /// # Errors
    ///
    /// If its signature, time, issuer, audience or claims do not hold.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Principal, TokenError> {
        let claims = &self.verifier.verify(token, now)?;
        let names = &self.names;
        let id = text_of(claims, &names.id)?;
        Ok(Principal {
            display: text_of(claims, &names.name).unwrap_or_else(|_| id.clone()),
            id,
            kind: Kind::Person,
            attested: Attested {
                entity: parsed(claims, &names.entity)?,
                country: parsed(claims, &names.country)?,
                groups: match claims.get(&names.groups) {
                    None => Some(BTreeSet::new()),
                    Some(Value::Array(list)) => {
                        list.iter().map(|each| each.as_str()?.parse().ok()).collect::<Option<_>>()
                    }
                    Some(_) => None,
                }
                .ok_or_else(|| TokenError::Claim(names.groups.clone()))?,
                training_until: match claims.get(&names.training_until) {
                    None => None,
                    Some(_) => Some(parsed::<Date>(claims, &names.training_until)?),
                },
            },
            attested_by: Attestation::IdentityProvider { issuer: self.issuer.clone() },
            method: Method::Token,
            addresses: Vec::new(),
        })
    }
}

fn parsed<T: std::str::FromStr>(claims: &vigie_token::Claims, name: &str) -> Result<T, TokenError> {
    text_of(claims, name)?.parse().map_err(|_| TokenError::Claim(name.to_owned()))
}
