//! Who is asking: from what a client proved to a [`Principal`] with facts that someone answers for.
//!
//! Three ways to prove it: a password by SCRAM, a client certificate, or a token of the identity provider sent as the
//! password over TLS. Facts (legal entity, country, groups, training) come from the HR record ([`people`]), or from the
//! claims of a token ([`token`]); where both speak of one person and disagree on where he is, he is refused.
//!
//! Out of scope: the exchange itself (`startup`), what his address means (`place`), what he may read (`policy`).
//!
//! If tokens are accepted, a name without a password record is asked for a token: which names have a password then shows,
//! so give passwords to services, and tokens to people.

pub mod people;
#[cfg(test)]
mod tests;
pub mod token;

use crate::{scram::server::Credential, tls::certificate::Names};
use ipnet::IpNet;
use jiff::civil::Date;
use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError, RwLock},
};
use vigie_policy::{
    Facts,
    names::{Country, Entity, Group},
};

pub use people::{People, Record};

/// A person or service that has proved who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The id of the HR record, or the subject of the token.
    pub id: String,
    /// How people call it.
    pub display: String,
    /// Whether it is a person.
    pub kind: Kind,
    /// What is attested of it.
    pub attested: Attested,
    /// By whom.
    pub attested_by: Attestation,
    /// How it proved who it is.
    pub method: Method,
    /// From where it may come; empty for anywhere that its country allows.
    pub addresses: Vec<IpNet>,
}

/// What is attested of a principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attested {
    /// The legal entity.
    pub entity: Entity,
    /// The country.
    pub country: Country,
    /// The groups.
    pub groups: BTreeSet<Group>,
    /// The last day on which its training is current, included; nothing if it has none.
    pub training_until: Option<Date>,
}

/// Whether a principal is a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Of the staff.
    Person,
    /// A program.
    Service,
}

/// Who answers for the facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attestation {
    /// The HR record alone.
    HrRecord,
    /// The HR record of the person that a certificate names.
    Certificate {
        /// The certificate's serial number, in hexadecimal.
        serial: String,
        /// The name by which the record was found.
        name: String,
    },
    /// The claims of a token.
    IdentityProvider {
        /// Who issued it.
        issuer: String,
    },
}

/// How a principal proved who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// By password.
    Scram,
    /// By password, bound to the certificate of the gateway.
    ScramBound,
    /// By a certificate.
    Certificate,
    /// By a token.
    Token,
}

/// Why nobody is known by what was proved.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The certificate names nobody.
    #[error("the certificate with serial `{serial}` names nobody of the records")]
    CertificateOfNobody {
        /// Its serial number.
        serial: String,
    },
    /// It names more than one.
    #[error("the certificate with serial `{serial}` names several of the records")]
    CertificateOfSeveral {
        /// Its serial number.
        serial: String,
    },
    /// The client asked to be someone else.
    #[error("`{asked}` was asked for, `{proved}` was proved")]
    SomeoneElse {
        /// Who was asked for.
        asked: String,
        /// Who was proved.
        proved: String,
    },
    /// The token is refused.
    #[error("the token is refused")]
    Token(#[source] token::TokenError),
    /// Record and token disagree.
    #[error("the token of `{id}` says another {what} than the HR record")]
    Disagree {
        /// Whose.
        id: String,
        /// On what.
        what: &'static str,
    },
}

/// Everybody that may prove who he is.
#[derive(Debug)]
pub struct Identities {
    people: RwLock<Arc<People>>,
    tokens: Option<token::Tokens>,
    secret: [u8; 32],
}

/// How a client shall prove who it is.
#[derive(Debug)]
pub enum Ask {
    /// By SCRAM; whether the name is known does not show.
    Scram(Credential),
    /// By a token as the password; over TLS only.
    Token,
}

impl Attested {
    /// Returns the facts on which the policy decides, on a day.
    pub fn facts(&self, today: Date) -> Facts {
        Facts {
            entity: self.entity.clone(),
            country: self.country.clone(),
            groups: self.groups.clone(),
            training: self.training_until.is_some_and(|until| today <= until),
        }
    }
}

impl Identities {
    /// Knows people, and takes tokens if a provider is given. `secret` makes up salts for unknown names: constant, and
    /// shared by all gateways of a deployment.
    pub fn new(people: People, tokens: Option<token::Tokens>, secret: [u8; 32]) -> Self {
        Self { people: RwLock::new(Arc::new(people)), tokens, secret }
    }

    /// Knows these people from now on, instead of those before.
    pub fn take_over(&self, people: People) {
        *self.people.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(people);
    }

    /// Returns the records in force.
    pub fn people(&self) -> Arc<People> {
        self.people.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns somebody who proved who he is as the records have him now; nothing if they would no longer let him in.
    pub fn again(&self, principal: &Principal) -> Option<Principal> {
        let people = self.people();
        match &principal.attested_by {
            Attestation::HrRecord => self.by_password(&principal.id, principal.method),
            Attestation::Certificate { name, .. } => {
                let record = people.by_certificate(name).filter(|record| record.id == principal.id)?;
                Some(record.principal(principal.attested_by.clone(), principal.method))
            }
            Attestation::IdentityProvider { .. } => agreed(&people, principal.clone()).ok(),
        }
    }

    /// Returns how a client that asks for this name shall prove it.
    pub fn ask(&self, name: &str, channel: Channel) -> Ask {
        match self.people().record(name).and_then(|record| record.scram.clone()) {
            Some(verifier) => Ask::Scram(Credential::Known(verifier)),
            None if self.tokens.is_some() && channel == Channel::Encrypted => Ask::Token,
            None => Ask::Scram(Credential::Unknown { name: name.to_owned(), secret: self.secret }),
        }
    }

    /// Returns who proved the password of this name.
    pub fn by_password(&self, name: &str, method: Method) -> Option<Principal> {
        let people = self.people();
        let record = people.record(name).filter(|record| record.scram.is_some())?;
        Some(record.principal(Attestation::HrRecord, method))
    }

    /// Returns whom a certificate names.
    ///
    /// # Errors
    ///
    /// If it names nobody, more than one, or someone else than was asked for.
    pub fn by_certificate(&self, asked: &str, names: &Names) -> Result<Principal, IdentityError> {
        let serial = names.serial.clone();
        let people = self.people();
        let all = names.uris.iter().chain(&names.emails).chain(&names.hosts).chain(&names.common);
        let mut found: Option<(&Record, &String)> = None;
        for name in all {
            if let Some(record) = people.by_certificate(name) {
                if found.is_some_and(|(first, _)| first.id != record.id) {
                    return Err(IdentityError::CertificateOfSeveral { serial });
                }
                found = found.or(Some((record, name)));
            }
        }
        let (record, name) = found.ok_or_else(|| IdentityError::CertificateOfNobody { serial: serial.clone() })?;
        if record.id != asked {
            return Err(IdentityError::SomeoneElse { asked: asked.to_owned(), proved: record.id.clone() });
        }
        Ok(record.principal(Attestation::Certificate { serial, name: name.clone() }, Method::Certificate))
    }

    /// Returns whom a token is about. May fetch keys, so it waits: call it where that is allowed.
    ///
    /// # Errors
    ///
    /// If the token is refused, is about someone else than was asked for, or says another place than the HR record.
    pub fn by_token(&self, asked: &str, token: &str, now: jiff::Timestamp) -> Result<Principal, IdentityError> {
        let tokens = self.tokens.as_ref().ok_or(IdentityError::Token(token::TokenError::NotTaken))?;
        let principal = tokens.verify(token, now).map_err(IdentityError::Token)?;
        if principal.id != asked {
            return Err(IdentityError::SomeoneElse { asked: asked.to_owned(), proved: principal.id });
        }
        agreed(&self.people(), principal)
    }
}

/// Returns whom a token is about, with what only his record says; the two must agree on where he is.
fn agreed(people: &People, mut principal: Principal) -> Result<Principal, IdentityError> {
    if let Some(record) = people.record(&principal.id) {
        let disagree = |what| IdentityError::Disagree { id: principal.id.clone(), what };
        if record.attested.entity != principal.attested.entity {
            return Err(disagree("legal entity"));
        }
        if record.attested.country != principal.attested.country {
            return Err(disagree("country"));
        }
        principal.addresses.clone_from(&record.addresses);
        principal.display.clone_from(&record.name);
        principal.kind = record.kind;
    }
    Ok(principal)
}

/// Whether what is said can be overheard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// It can.
    Plain,
    /// It cannot.
    Encrypted,
}
