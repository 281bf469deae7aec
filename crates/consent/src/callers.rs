//! Who asks: a person with a token of the operator's, or a program of the operator's with a token or a certificate.

use crate::{
    config::{self, Certificate},
    wire::Problem,
};
use axum::http::{HeaderMap, header};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use std::{collections::BTreeSet, sync::Arc};
use vigie_choices::Subject;
use vigie_policy::map::SubjectType;
use vigie_token::{Settings, TokenError, Tokens, text_of};

/// What a program of the operator's may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Read anybody's choices.
    Read,
    /// Record and withdraw for anybody.
    Write,
}

impl Scope {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "choices:read",
            Self::Write => "choices:write",
        }
    }
}

/// Who may call.
#[derive(Debug)]
pub(crate) struct Callers {
    subject_type: SubjectType,
    subjects: Option<Arc<Verifier>>,
    operators: Option<Arc<Verifier>>,
    certificates: Vec<([u8; 32], Certificate)>,
}

#[derive(Debug)]
struct Verifier {
    tokens: Tokens,
    claim: String,
}

/// A program of the operator's.
#[derive(Debug, Clone)]
pub(crate) struct Operator {
    /// How it is called.
    pub name: String,
    scopes: BTreeSet<String>,
}

fn verifier(given: &config::Tokens) -> Result<Arc<Verifier>, vigie_token::KeysError> {
    let config::Tokens { issuer, audience, keys_file, keys_url, keys_ca, skew_seconds, claim } = given.clone();
    let settings = Settings { issuer, audience, keys_file, keys_url, keys_ca, skew_seconds };
    Ok(Arc::new(Verifier { tokens: Tokens::new(settings)?, claim }))
}

impl Callers {
    pub(crate) fn new(config: &config::Config, subject_type: SubjectType) -> Result<Self, vigie_token::KeysError> {
        let certificates = config
            .certificate
            .iter()
            .filter_map(|certificate| Some((config::fingerprint(&certificate.sha256)?, certificate.clone())))
            .collect();
        Ok(Self {
            subject_type,
            subjects: config.subjects.as_ref().map(verifier).transpose()?,
            operators: config.operators.as_ref().map(verifier).transpose()?,
            certificates,
        })
    }

    /// Reads the id of a person.
    pub(crate) fn subject(&self, text: &str) -> Result<Subject, Problem> {
        Subject::parse(self.subject_type, text)
            .ok()
            .filter(|subject| subject.as_str().len() <= 255 && !subject.as_str().chars().any(char::is_control))
            .ok_or_else(|| Problem::not_found("there is nobody of this id"))
    }

    /// Returns the person whose token it is.
    pub(crate) async fn person(&self, headers: &HeaderMap) -> Result<Subject, Problem> {
        let claims = verified(self.subjects.as_ref(), headers).await?;
        let (claims, claim) = claims.ok_or_else(|| Problem::unauthorized("a token of the person is needed"))?;
        let text = match claims.get(&claim) {
            Some(serde_json::Value::Number(number)) => number.to_string(),
            _ => text_of(&claims, &claim).map_err(refused)?,
        };
        let wrong = |_| Problem::unauthorized(&format!("claim `{claim}` of the token is no id of a person here"));
        self.subject(&text).map_err(wrong)
    }

    /// Returns the program that asks, if it may do so.
    pub(crate) async fn operator(
        &self,
        headers: &HeaderMap,
        certificate: Option<[u8; 32]>,
        scope: Scope,
    ) -> Result<Operator, Problem> {
        let shown = certificate.and_then(|shown| self.certificates.iter().find(|(known, _)| *known == shown));
        let operator = if let Some((_, known)) = shown {
            Operator { name: known.name.clone(), scopes: known.scopes.clone() }
        } else {
            let claims = verified(self.operators.as_ref(), headers).await?;
            let needed = "a token of the operator, or a certificate that is known, is needed";
            let (claims, claim) = claims.ok_or_else(|| Problem::unauthorized(needed))?;
            let scopes = match claims.get("scope") {
                Some(serde_json::Value::String(words)) => words.split(' ').map(str::to_owned).collect(),
                Some(serde_json::Value::Array(words)) => {
                    words.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect()
                }
                _ => BTreeSet::new(),
            };
            Operator { name: text_of(&claims, &claim).map_err(refused)?, scopes }
        };
        if operator.scopes.contains(scope.as_str()) {
            Ok(operator)
        } else {
            Err(Problem::forbidden(&format!("the scope `{}` is needed", scope.as_str())))
        }
    }
}

fn refused(error: TokenError) -> Problem {
    let error: &dyn std::error::Error = &error;
    Problem::unauthorized(&error.to_string())
}

/// Verifies the bearer token of a request, if it has one and an issuer is configured.
async fn verified(
    verifier: Option<&Arc<Verifier>>,
    headers: &HeaderMap,
) -> Result<Option<(vigie_token::Claims, String)>, Problem> {
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = token.and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned);
    let (Some(verifier), Some(token)) = (verifier.cloned(), token) else { return Ok(None) };
    // Keys may have to be fetched.
    let verified = tokio::task::spawn_blocking(move || {
        let claims = verifier.tokens.verify(&token, Timestamp::now())?;
        Ok::<_, TokenError>((claims, verifier.claim.clone()))
    });
    match verified.await {
        Ok(Ok(claims)) => Ok(Some(claims)),
        Ok(Err(TokenError::Keys(_))) => Err(Problem::unavailable("the keys of the issuer of tokens cannot be had")),
        Ok(Err(error)) => Err(refused(error)),
        Err(_) => Err(Problem::unavailable("the program is ending")),
    }
}

/// Returns what stands for a caller in the buckets of rates, and before keys of requests.
pub(crate) fn digest(kind: &str, name: &str) -> [u8; 32] {
    Sha256::new().chain_update(kind).chain_update([0]).chain_update(name).finalize().into()
}
