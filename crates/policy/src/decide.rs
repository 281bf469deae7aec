//! Decides about one who asks, and says why.
//!
//! Reasons are for the DETAIL and HINT of SQLSTATE 42501 and for `vigie gateway explain`: they name policies, purposes and
//! zones, never data.

use crate::{
    compiled::{Compiled, Condition, Conditions, Context},
    document::listed,
    map::Class,
    names::{Country, Entity, PolicyName, PurposeName, ZoneName},
    reads::Attribute,
    rights::Action,
    zone::Facts,
};
use serde::Serialize;
use std::{collections::BTreeSet, fmt};

/// One who asks, by what is attested of him and what the gateway has checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    /// What is attested.
    pub facts: Facts,
    /// What he said he needs it for.
    pub purpose: Option<String>,
    /// A valid ticket: approved by someone else, not expired.
    pub ticket: bool,
    /// An emergency, with a reason and two people.
    pub break_glass: bool,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Decision {
    /// He may do what the context may.
    Permit {
        /// The context.
        context: Context,
        /// The policies that permit.
        reasons: Vec<Reason>,
    },
    /// He may do nothing.
    Deny {
        /// Why; never empty.
        reasons: Vec<Reason>,
        /// The way out.
        help: String,
    },
}

/// A reason of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// These policies permit it.
    PermittedBy(Vec<PolicyName>),
    /// No purpose was said.
    NoPurpose,
    /// The purpose is not in the map.
    UnknownPurpose(String),
    /// No zone takes him.
    NoZone {
        /// His legal entity.
        entity: Entity,
        /// His country.
        country: Country,
    },
    /// No policy permits it from his zone.
    NotPermitted {
        /// The purpose.
        purpose: PurposeName,
        /// His zone.
        zone: ZoneName,
    },
    /// These policies forbid all that others would permit.
    ForbiddenBy(Vec<PolicyName>),
    /// These policies failed, and what they might have said is not known.
    FailedIn(Vec<PolicyName>),
    /// It would be permitted if this were there.
    Needs(Condition),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PermittedBy(policies) => write!(f, "permitted by {}", policies_named(policies)),
            Self::NoPurpose => f.write_str("no purpose"),
            Self::UnknownPurpose(given) => write!(f, "purpose `{given}` is not in the data map"),
            Self::NoZone { entity, country } => {
                write!(f, "no zone covers legal entity `{entity}` in country `{country}` with the reader's groups")
            }
            Self::NotPermitted { purpose, zone } => {
                write!(f, "no policy permits anything for purpose `{purpose}` from zone `{zone}`")
            }
            Self::ForbiddenBy(policies) => write!(f, "forbidden by {}", policies_named(policies)),
            Self::FailedIn(policies) => write!(f, "denied because of a failure in {}", policies_named(policies)),
            Self::Needs(condition) => write!(f, "needs {condition}"),
        }
    }
}

fn policies_named(policies: &[PolicyName]) -> String {
    format!("{} {}", if policies.len() == 1 { "policy" } else { "policies" }, listed(policies))
}

impl Decision {
    /// Returns whether it is a permit.
    pub const fn is_permit(&self) -> bool {
        matches!(self, Self::Permit { .. })
    }

    /// Returns the reasons.
    pub fn reasons(&self) -> &[Reason] {
        match self {
            Self::Permit { reasons, .. } | Self::Deny { reasons, .. } => reasons,
        }
    }

    /// Returns the reasons in one line, for DETAIL.
    pub fn detail(&self) -> String {
        self.reasons().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    /// Returns the way out, for HINT; none for a permit.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Permit { .. } => None,
            Self::Deny { help, .. } => Some(help),
        }
    }
}

impl Compiled {
    /// Decides about one who asks.
    pub fn decide(&self, asker: &Asker) -> Decision {
        let deny = |reasons: Vec<Reason>, help: String| Decision::Deny { reasons, help };
        let Some(given) = &asker.purpose else {
            return deny(vec![Reason::NoPurpose], format!("SET vigie.purpose = '…'; {}", self.purposes_listed()));
        };
        let Some(purpose) = self.map.purposes.iter().position(|purpose| purpose.name.as_str() == given) else {
            let near = self.map.nearest_purpose(given);
            let help = near.map_or_else(|| self.purposes_listed(), |near| format!("did you mean `{near}`?"));
            return deny(vec![Reason::UnknownPurpose(given.clone())], help);
        };
        let zones = self.zones.as_slice();
        let Some(zone) = zones.iter().position(|zone| zone.takes(&asker.facts)) else {
            let Facts { entity, country, .. } = asker.facts.clone();
            let help = "ask whoever keeps the zones to add one, or whoever attests your country to correct it".into();
            return deny(vec![Reason::NoZone { entity, country }], help);
        };
        let conditions =
            Conditions { ticket: asker.ticket, break_glass: asker.break_glass, training: asker.facts.training };
        let (purpose_name, zone_name) = (&self.map.purposes[purpose].name, &zones[zone].name);
        let voices = self.voices(purpose, zone, conditions);
        if let Some(context) = self.context(purpose_name, zone_name, conditions) {
            return Decision::Permit { context: context.clone(), reasons: vec![Reason::PermittedBy(voices.permits)] };
        }
        let mut reasons = Vec::new();
        let needed = self.needed(purpose_name, zone_name, conditions);
        let help = match needed.as_slice() {
            [] => format!("see `{zone_name}` in the table of `vigie policy table` for what it may do"),
            needed => {
                let words: Vec<String> = needed.iter().map(|condition| way_to(*condition).to_owned()).collect();
                words.join(", and ")
            }
        };
        reasons.extend(needed.into_iter().map(Reason::Needs));
        if !voices.fails.is_empty() {
            reasons.push(Reason::FailedIn(voices.fails));
        }
        if !voices.forbids.is_empty() {
            reasons.push(Reason::ForbiddenBy(voices.forbids));
        }
        if reasons.is_empty() {
            reasons.push(Reason::NotPermitted { purpose: purpose_name.clone(), zone: zone_name.clone() });
        }
        deny(reasons, help)
    }

    fn purposes_listed(&self) -> String {
        let names: Vec<&PurposeName> = self.map.purposes.iter().map(|purpose| &purpose.name).collect();
        format!("purposes are {}", listed(&names))
    }

    /// Returns the fewest conditions that are missing; none if no further condition would help.
    fn needed(&self, purpose: &PurposeName, zone: &ZoneName, met: Conditions) -> Vec<Condition> {
        Conditions::all()
            .filter(|more| met.met().all(|condition| more.has(condition)))
            .find(|more| self.context(purpose, zone, *more).is_some())
            .map(|more| more.met().filter(|condition| !met.has(*condition)).collect())
            .unwrap_or_default()
    }

    /// Returns which policies speak about the data of the map: those that permit what is permitted, those that forbid what
    /// another would permit, and those that fail.
    pub(crate) fn voices(&self, purpose: usize, zone: usize, conditions: Conditions) -> Voices {
        let mut cell = self.question(purpose, zone, conditions);
        let residencies = &self.judge.universe().residencies;
        let name = &self.map.purposes[purpose].name;
        let held: BTreeSet<(Class, usize)> = self
            .map
            .tables
            .iter()
            .flat_map(|table| {
                let place = residencies.iter().position(|known| known == table.residency.as_str());
                let columns = table.columns.iter().filter(|column| column.serves(name));
                columns.filter_map(move |column| Some((column.class, place?)))
            })
            .collect();
        let (mut permits, mut forbids, mut fails) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for action in Action::ALL {
            for (class, residency) in &held {
                cell.set(Attribute::Class, *class as usize);
                cell.set(Attribute::Residency, *residency);
                let answer = self.judge.answer(&cell, action);
                if answer.is_permit() {
                    permits.extend(answer.permits);
                } else if !answer.permits.is_empty() {
                    forbids.extend(answer.forbids);
                    fails.extend(answer.fails);
                }
            }
        }
        let named =
            |indexes: BTreeSet<usize>| indexes.into_iter().map(|index| self.judge.name(index).clone()).collect();
        Voices { permits: named(permits), forbids: named(forbids), fails: named(fails) }
    }
}

/// Which policies speak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Voices {
    pub permits: Vec<PolicyName>,
    pub forbids: Vec<PolicyName>,
    pub fails: Vec<PolicyName>,
}

const fn way_to(condition: Condition) -> &'static str {
    match condition {
        Condition::Ticket => "open a ticket and have it approved by someone else, then `SET vigie.ticket = '…'`",
        Condition::BreakGlass => "in an emergency, two people may break the glass; it is reviewed within 24 h",
        Condition::Training => "complete the training for readers of personal data",
    }
}
