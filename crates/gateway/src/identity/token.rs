//! Tokens of an identity provider (OpenID Connect).

use super::Principal;

/// Why a token is refused.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// No provider is configured.
    #[error("tokens are not taken here")]
    NotTaken,
}

/// Verifies tokens.
#[derive(Debug)]
pub struct Tokens {}

impl Tokens {
    /// Verifies.
    pub fn verify(&self, _token: &str, _now: jiff::Timestamp) -> Result<Principal, TokenError> {
        Err(TokenError::NotTaken)
    }
}
