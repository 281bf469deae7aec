//! Where a session stands: who asks, for what, by which ticket, and what the policy says to that.
//!
//! Decided when a session begins, when it asks for another purpose, when its ticket ends, and when the policy changes.

use crate::{
    accounting::{Action, Columns, Outcome, StatementFacts},
    gateway::Epoch,
    identity::Principal,
    session::engine::{Said, SaidKind},
    shape::Shape,
    view::View,
};
use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};
use vigie_choices::Ticket;
use vigie_ledger::Hash;
use vigie_policy::{Asker, Decision, Zones, names::RoleName};

/// What a session asks for, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wish {
    /// `vigie.purpose`.
    pub purpose: Option<String>,
    /// `vigie.ticket`.
    pub ticket: Option<String>,
    /// `vigie.reason`.
    pub reason: Option<String>,
    /// `vigie.figures`: whether figures are wanted where both records and figures may be read.
    pub figures: bool,
}

/// What was decided for a session.
#[derive(Debug, Clone)]
pub struct Standing {
    /// By which policy.
    pub epoch: Arc<Epoch>,
    /// What the session may see.
    pub view: Arc<View>,
    /// Why it may see nothing, and the way out; `None` if it may see something.
    pub denied: Option<(Vec<String>, String)>,
    /// The ticket that its rights rest on.
    pub ticket: Option<Ticket>,
    /// Until when this holds.
    pub until: Option<SystemTime>,
    facts: StatementFacts,
    asked_for: String,
}

/// Decides.
///
/// `tickets` are those that are valid now for the person and the purpose.
pub fn decide(
    epoch: &Arc<Epoch>,
    principal: &Principal,
    wish: &Wish,
    tickets: &[Ticket],
    client: Option<IpAddr>,
    database: &str,
    today: jiff::civil::Date,
) -> Standing {
    let facts = principal.attested.facts(today);
    let wanted = wish.ticket.as_deref().and_then(|id| id.parse::<i64>().ok());
    // Glass is broken only by name: a ticket of emergency is not used because it happens to be there.
    let ticket = match &wish.ticket {
        Some(_) => tickets.iter().find(|ticket| Some(ticket.id) == wanted),
        None => tickets.iter().find(|ticket| !ticket.break_glass),
    };
    let asker = |ticket: Option<&Ticket>| Asker {
        facts: facts.clone(),
        purpose: wish.purpose.clone(),
        ticket: ticket.is_some(),
        break_glass: ticket.is_some_and(|ticket| ticket.break_glass),
    };
    let zone = zone_of(&epoch.compiled.zones, &facts);
    let compiled = &epoch.compiled;
    // Who needs no ticket uses none, unless one is named.
    let without = compiled.decide(&asker(None));
    let (decision, used) = match (without, ticket) {
        (permit @ Decision::Permit { .. }, _) if wish.ticket.is_none() => (permit, None),
        (_, Some(ticket)) => (compiled.decide(&asker(Some(ticket))), Some(ticket.clone())),
        (decision, None) => (decision, None),
    };
    let nobody = compiled.nobody();
    let (role, denied) = match &decision {
        Decision::Permit { context, .. } => {
            let role: RoleName = match &context.aggregate_role {
                Some(role) if wish.figures => role.clone(),
                _ => context.role.clone(),
            };
            (role, None)
        }
        Decision::Deny { reasons, help } => {
            let reasons = reasons.iter().map(ToString::to_string).collect();
            (nobody.clone(), Some((reasons, help.clone())))
        }
    };
    let named_in_vain = wish.ticket.is_some() && ticket.is_none();
    let denied = match denied {
        None if named_in_vain => Some((
            vec!["the ticket named is not valid for this reader and purpose".to_owned()],
            "ask for a ticket and have it approved by someone else, or RESET vigie.ticket".to_owned(),
        )),
        denied => denied,
    };
    let role = if denied.is_some() { nobody } else { role };
    let view =
        epoch.views.get(&role).or_else(|| epoch.views.get(&compiled.nobody())).expect("nobody has a view").clone();
    let broken = used.as_ref().is_some_and(|ticket| ticket.break_glass);
    let midnight = Some(SystemTime::now() + Duration::from_secs(3600));
    let until = used.as_ref().map(|ticket| ticket.expires_at).into_iter().chain(midnight).min();
    let facts = StatementFacts {
        who: principal.id.clone(),
        entity: facts.entity.as_str().to_owned(),
        country: facts.country.as_str().to_owned(),
        zone,
        purpose: wish.purpose.clone(),
        action: Action::ReadRecord,
        outcome: if broken { Outcome::BreakGlass } else { Outcome::Permitted },
        decision: decision.detail(),
        ticket: used.as_ref().map(|ticket| ticket.id.to_string()),
        statement: Hash([0; 32]),
        policy: Hash(epoch.compiled.hash),
        database: database.to_owned(),
        client,
        columns: Vec::new(),
    };
    let asked_for = wish.reason.clone().unwrap_or_default();
    Standing { epoch: epoch.clone(), view, denied, ticket: used, until, facts, asked_for }
}

fn zone_of(zones: &Zones, facts: &vigie_policy::Facts) -> String {
    zones.zone_of(facts).map_or_else(|| "none".to_owned(), |zone| zone.name.as_str().to_owned())
}

impl Standing {
    /// Returns what is logged of a statement that is answered.
    pub fn answered(&self, said: &Said, shape: Option<&Shape>) -> StatementFacts {
        let disclosed = shape.map(|shape| shape.disclosed.as_slice()).unwrap_or_default();
        let columns = if disclosed.is_empty() {
            let bare = |relation: &String| Columns { relation: relation.clone(), names: Vec::new() };
            said.relations.iter().map(bare).collect()
        } else {
            disclosed.iter().map(|it| Columns { relation: it.table.clone(), names: it.columns.clone() }).collect()
        };
        let action = match said.kind {
            SaidKind::Record => Action::ReadRecord,
            SaidKind::Aggregate => Action::ReadAggregate,
            SaidKind::Write => Action::Write,
        };
        StatementFacts { action, statement: Hash(said.fingerprint), columns, ..self.facts.clone() }
    }

    /// Returns what is logged of a statement that is refused.
    pub fn refused(&self, said: &Said, reasons: &[String]) -> StatementFacts {
        StatementFacts { decision: reasons.join("; "), outcome: Outcome::Denied, ..self.answered(said, None) }
    }

    /// Returns the words in which the session said why it asks.
    pub fn reason(&self) -> &str {
        &self.asked_for
    }

    /// Tells whether glass was broken for it.
    pub fn is_break_glass(&self) -> bool {
        self.facts.outcome == Outcome::BreakGlass
    }
}
