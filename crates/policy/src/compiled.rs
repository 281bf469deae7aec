//! Compiles map, zones and policies into contexts and roles, by asking every question there is.
//!
//! A context is a purpose, a zone and the conditions met; what it may do is decided here, once, and PostgreSQL's own
//! objects enforce it. Contexts of one purpose with equal rights share a role.
//!
//! A reader has the groups his zone asks for, and perhaps more. Every combination of further groups that policies name,
//! and of legal entity and country, must give the zone's readers the same answers; else the zone is refused.

use crate::{
    cedar::{Bits, Cell, Judge, Parsed, Universe, parse, refusal_of, schema_text, validate},
    document::listed,
    map::{Class, DataMap},
    names::{Group, PolicyName, PurposeName, Residency, RoleName, ZoneName, nearest},
    reads::Attribute,
    rights::{Action, Actions, Rights, Role, RoleKind},
    zone::{Facts, Zone, Zones},
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write as _},
    sync::Arc,
};

/// The most groups that policies may name besides those a zone asks for: their combinations are all tried.
pub const MAX_GROUPS: usize = 10;

/// What else is known of a request, besides who asks from where for what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Conditions {
    /// A valid ticket, approved by someone other than who asks, not expired.
    pub ticket: bool,
    /// An emergency, with a reason and two people.
    pub break_glass: bool,
    /// The reader's training is current.
    pub training: bool,
}

/// One of the [`Conditions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// [`Conditions::ticket`].
    Ticket,
    /// [`Conditions::break_glass`].
    BreakGlass,
    /// [`Conditions::training`].
    Training,
}

impl Condition {
    /// All conditions.
    pub const ALL: [Self; 3] = [Self::Ticket, Self::BreakGlass, Self::Training];

    const fn attribute(self) -> Attribute {
        match self {
            Self::Ticket => Attribute::Ticket,
            Self::BreakGlass => Attribute::BreakGlass,
            Self::Training => Attribute::Training,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ticket => "a ticket",
            Self::BreakGlass => "an emergency (break-glass)",
            Self::Training => "current training",
        })
    }
}

impl Conditions {
    /// Returns all combinations, those with fewer conditions met first.
    pub fn all() -> impl Iterator<Item = Self> {
        let mut all: Vec<Self> = (0..8_u8)
            .map(|bits| Self { ticket: bits & 1 != 0, break_glass: bits & 2 != 0, training: bits & 4 != 0 })
            .collect();
        all.sort_by_key(|conditions| conditions.met().count());
        all.into_iter()
    }

    /// Returns whether one is met.
    pub const fn has(self, condition: Condition) -> bool {
        match condition {
            Condition::Ticket => self.ticket,
            Condition::BreakGlass => self.break_glass,
            Condition::Training => self.training,
        }
    }

    /// Returns those that are met.
    pub fn met(self) -> impl Iterator<Item = Condition> {
        Condition::ALL.into_iter().filter(move |condition| self.has(*condition))
    }

    /// Returns them with only those of `relevant` left.
    fn only(self, relevant: Self) -> Self {
        Self {
            ticket: self.ticket && relevant.ticket,
            break_glass: self.break_glass && relevant.break_glass,
            training: self.training && relevant.training,
        }
    }
}

/// Who may do what, for one purpose, from one zone, under some conditions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Context {
    /// The purpose.
    pub purpose: PurposeName,
    /// The zone.
    pub zone: ZoneName,
    /// The conditions met.
    pub conditions: Conditions,
    /// The role its sessions log in as; for aggregates only, or [`RoleKind::Nobody`] when all it may do is to export.
    pub role: RoleName,
    /// For what that role is used.
    pub kind: RoleKind,
    /// A second role for figures over columns of which no single rows may be read, when `role` reads rows.
    pub aggregate_role: Option<RoleName>,
    /// All it may do, never nothing; more than one role's, if it has two, and with what may be exported.
    pub rights: Arc<Rights>,
}

/// A policy as it was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyText {
    /// The file's name.
    pub name: PolicyName,
    /// Its text.
    pub text: String,
}

/// What compiling does not refuse, but someone should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// The policy.
    pub policy: PolicyName,
    /// What is the matter.
    pub what: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "policy `{}` {}", self.policy, self.what)
    }
}

/// One reason why nothing was compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// A file cannot be read, or does something that cannot be compiled.
    #[error("{0}")]
    Unreadable(String),
    /// Two policies have one name.
    #[error("two policies are called `{0}`, so reasons could not tell them apart")]
    Twice(PolicyName),
    /// Cedar's validator refuses it.
    #[error("policy `{policy}` does not fit the schema: {why}")]
    Invalid {
        /// The policy.
        policy: PolicyName,
        /// What the validator said.
        why: String,
    },
    /// A policy compares an attribute with a word that it never has.
    #[error("policy `{policy}` names {what} `{word}`, which neither map nor zones know{}", near.as_ref().map_or(String::new(), |near| format!("; did you mean `{near}`?")))]
    UnknownWord {
        /// The policy.
        policy: PolicyName,
        /// What kind of word.
        what: &'static str,
        /// The word.
        word: String,
        /// The nearest that exists.
        near: Option<String>,
    },
    /// Policies name more groups than can be tried.
    #[error("policies name {0} groups, all combinations of more than {MAX_GROUPS} are too many to try")]
    TooManyGroups(usize),
    /// A policy tells apart too many cells.
    #[error("policy `{0}` compares too many attributes other than with single words to be enumerated")]
    TooWide(PolicyName),
    /// Readers of one zone get different answers.
    #[error(
        "zone `{zone}` is not of one kind: for purpose `{purpose}`, {one} may {action} {class} data of {residency}, {other} may not; split the zone"
    )]
    Disagreement {
        /// The zone.
        zone: ZoneName,
        /// The purpose.
        purpose: PurposeName,
        /// Who may.
        one: String,
        /// Who may not.
        other: String,
        /// What.
        action: Action,
        /// On what class.
        class: Class,
        /// And residency.
        residency: Residency,
    },
    /// Two sets of rights have one role name.
    #[error("two sets of rights hash to the role `{0}`; change the purpose's name")]
    Collision(RoleName),
}

/// Every reason why nothing was compiled; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct CompileErrors {
    /// The reasons.
    pub errors: Vec<CompileError>,
}

impl fmt::Display for CompileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.errors.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// Compiled policy: everything that is decided before anyone asks.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// SHA-256 over map, zones and policies; entries of the ledger carry it.
    pub hash: [u8; 32],
    /// The data map.
    pub map: DataMap,
    /// The zones.
    pub zones: Zones,
    /// The policies, in order of their names.
    pub policies: Vec<PolicyText>,
    /// The contexts that may do something, by purpose and zone in the order of their files, then by conditions.
    pub contexts: Vec<Context>,
    /// The roles, in order of their names, with the one of nobody.
    pub roles: Vec<Role>,
    /// What someone should look at.
    pub warnings: Vec<Warning>,
    pub(crate) judge: Arc<Judge>,
    /// By zone, one cell that stands for its readers.
    pub(crate) readers: Vec<Cell>,
    /// Index of `contexts` by purpose, zone and conditions.
    pub(crate) index: BTreeMap<(PurposeName, ZoneName, Conditions), usize>,
}

/// Compiles policies, given as the name of their file and their text.
///
/// # Errors
///
/// Everything that is wrong, at once, except that policies are evaluated only when all of them can be.
pub fn compile(map: DataMap, zones: Zones, policies: &[(PolicyName, String)]) -> Result<Compiled, CompileErrors> {
    let mut policies: Vec<PolicyText> =
        policies.iter().map(|(name, text)| PolicyText { name: name.clone(), text: text.clone() }).collect();
    policies.sort_by(|a, b| a.name.cmp(&b.name));
    let parsed = checked(&map, &zones, &policies).map_err(|errors| CompileErrors { errors })?;
    let (parsed, mut warnings) = parsed;
    let groups: BTreeSet<Group> = parsed
        .iter()
        .flat_map(|policy| policy.reads.words(Attribute::Groups))
        .filter_map(|group| Group::new(group).ok())
        .collect();
    if groups.len() > MAX_GROUPS {
        return Err(CompileErrors { errors: vec![CompileError::TooManyGroups(groups.len())] });
    }
    let reads = |attribute: Attribute| parsed.iter().any(|policy| policy.reads.attributes.contains_key(&attribute));
    let told_apart = ToldApart { entity: reads(Attribute::Entity), country: reads(Attribute::Country) };
    let relevant = Conditions {
        ticket: reads(Attribute::Ticket),
        break_glass: reads(Attribute::BreakGlass),
        training: reads(Attribute::Training),
    };
    let readers: Vec<Vec<Facts>> =
        zones.as_slice().iter().map(|zone| kinds_of_readers(&zones, zone, &groups, told_apart)).collect();
    let group_sets = readers.iter().flatten().map(|facts| facts.groups.clone()).collect();
    let universe = Universe::of(&map, &zones, group_sets);
    let judge = Judge::new(universe, parsed)
        .map_err(|wide| CompileErrors { errors: wide.into_iter().map(CompileError::TooWide).collect() })?;

    let mut assembly = Assembly::new(&map, judge.universe());
    let (mut contexts, mut errors) = (Vec::new(), Vec::new());
    for (purpose_index, purpose) in map.purposes.iter().enumerate() {
        for (zone_index, zone) in zones.as_slice().iter().enumerate() {
            let mut grids = BTreeMap::new();
            for conditions in Conditions::all() {
                let grid = grids.entry(conditions.only(relevant)).or_insert_with(|| {
                    let cells = readers[zone_index]
                        .iter()
                        .map(|facts| question(judge.universe(), purpose_index, zone_index, facts, conditions));
                    agreed(&judge, cells)
                });
                match grid {
                    Ok(grid) => {
                        contexts.extend(assembly.context(&purpose.name, &zone.name, conditions, grid));
                    }
                    Err(disagreement) => {
                        let known = |error: &CompileError| matches!(error, CompileError::Disagreement { zone: known, .. } if *known == zone.name);
                        if !errors.iter().any(known) {
                            errors.push(disagreement.describe(&map, &judge, &readers[zone_index], purpose_index, zone));
                        }
                    }
                }
            }
        }
    }
    errors.extend(assembly.collisions.iter().cloned().map(CompileError::Collision));
    if !errors.is_empty() {
        return Err(CompileErrors { errors });
    }
    warnings.extend(
        judge
            .failures()
            .into_iter()
            .map(|(policy, why)| Warning { policy, what: format!("fails where it is asked, and denies there: {why}") }),
    );
    let cells = readers
        .iter()
        .enumerate()
        .map(|(zone, facts)| question(judge.universe(), 0, zone, &facts[0], Conditions::default()));
    let readers = cells.collect();
    let roles = assembly.finish();
    let hash = hash(&map, &zones, &policies);
    let index = contexts
        .iter()
        .enumerate()
        .map(|(index, context)| ((context.purpose.clone(), context.zone.clone(), context.conditions), index))
        .collect();
    let judge = Arc::new(judge);
    Ok(Compiled { hash, map, zones, policies, contexts, roles, warnings, judge, readers, index })
}

impl Compiled {
    /// Returns the Cedar schema that policies are validated against, with the words of this map and these zones.
    pub fn cedar_schema(&self) -> String {
        schema_text(&self.map, &self.zones)
    }

    /// Returns the hash as 64 hex digits.
    pub fn hash_hex(&self) -> String {
        hex(&self.hash)
    }

    /// Returns the context of a purpose, a zone and conditions; none if it may do nothing.
    pub fn context(&self, purpose: &PurposeName, zone: &ZoneName, conditions: Conditions) -> Option<&Context> {
        let index = self.index.get(&(purpose.clone(), zone.clone(), conditions))?;
        Some(&self.contexts[*index])
    }

    /// Returns a role.
    pub fn role(&self, name: &RoleName) -> Option<&Role> {
        self.roles.binary_search_by(|role| role.name.cmp(name)).ok().map(|index| &self.roles[index])
    }

    /// Returns the role of sessions without purpose.
    pub fn nobody(&self) -> RoleName {
        self.map.nobody()
    }

    /// Returns the names of all policies, one for each `permit` and `forbid`.
    pub fn policy_names(&self) -> impl Iterator<Item = &PolicyName> {
        self.judge.names()
    }

    /// Returns the question that stands for the readers of a zone.
    pub(crate) fn question(&self, purpose: usize, zone: usize, conditions: Conditions) -> Cell {
        let mut cell = self.readers[zone];
        cell.set(Attribute::DataPurpose, purpose);
        cell.set(Attribute::AskedPurpose, purpose);
        for condition in Condition::ALL {
            cell.set(condition.attribute(), usize::from(conditions.has(condition)));
        }
        cell
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether some policy looks at these, so that readers of one zone might get different answers.
#[derive(Debug, Clone, Copy)]
struct ToldApart {
    entity: bool,
    country: bool,
}

/// Parses and validates all policies.
fn checked(
    map: &DataMap,
    zones: &Zones,
    texts: &[PolicyText],
) -> Result<(Vec<Parsed>, Vec<Warning>), Vec<CompileError>> {
    let (mut policies, mut errors, mut warnings) = (Vec::<Parsed>::new(), Vec::new(), Vec::new());
    for text in texts {
        match parse(&text.name, &text.text) {
            Ok(parsed) => policies.extend(parsed),
            Err(what) => errors.push(CompileError::Unreadable(what)),
        }
    }
    let mut names = BTreeSet::new();
    for policy in &policies {
        if !names.insert(&policy.name) {
            errors.push(CompileError::Twice(policy.name.clone()));
        }
        errors.extend(refusal_of(policy).map(CompileError::Unreadable));
        errors.extend(unknown_words(map, zones, policy));
    }
    for (policy, validation) in policies.iter().zip(validate(&policies)) {
        let invalid = |why| CompileError::Invalid { policy: policy.name.clone(), why };
        errors.extend(validation.errors.into_iter().map(invalid));
        let warning = |what| Warning { policy: policy.name.clone(), what: format!("is questionable: {what}") };
        warnings.extend(validation.warnings.into_iter().map(warning));
    }
    if errors.is_empty() { Ok((policies, warnings)) } else { Err(errors) }
}

/// Returns the words of a policy that its attributes never have: a `forbid` with a slip of the pen would forbid nothing.
fn unknown_words(map: &DataMap, zones: &Zones, policy: &Parsed) -> Vec<CompileError> {
    let universe = Universe::of(map, zones, BTreeSet::new());
    let mut errors = Vec::new();
    for attribute in Attribute::ALL {
        let Some(known) = universe.words(attribute) else { continue };
        let what = match attribute {
            Attribute::Zone => "zone",
            Attribute::Entity => "legal entity",
            Attribute::Country => "country",
            Attribute::Class => "class",
            Attribute::Residency => "residency",
            Attribute::DataPurpose | Attribute::AskedPurpose => "purpose",
            Attribute::Groups | Attribute::Training | Attribute::Ticket | Attribute::BreakGlass => continue,
        };
        for word in policy.reads.words(attribute).filter(|word| !known.iter().any(|known| known == word)) {
            let near = nearest(word, known.iter().map(String::as_str)).map(str::to_owned);
            errors.push(CompileError::UnknownWord { policy: policy.name.clone(), what, word: word.to_owned(), near });
        }
    }
    errors
}

/// Returns the kinds of readers of a zone that policies may tell apart; never none.
fn kinds_of_readers(zones: &Zones, zone: &Zone, named: &BTreeSet<Group>, told_apart: ToldApart) -> Vec<Facts> {
    let further: Vec<&Group> = named.difference(&zone.groups).collect();
    let mut seen = BTreeSet::new();
    let mut kinds = Vec::new();
    for entity in &zone.entities {
        for country in &zone.countries {
            for bits in 0..1_u32 << further.len() {
                let more = further.iter().enumerate().filter(|(index, _)| bits >> index & 1 == 1);
                let groups = zone.groups.iter().cloned().chain(more.map(|(_, group)| (*group).clone())).collect();
                let facts = Facts { entity: entity.clone(), country: country.clone(), groups, training: false };
                // Readers with these groups may be in an earlier zone.
                if zones.zone_of(&facts).is_none_or(|first| first.name != zone.name) {
                    continue;
                }
                let looks = (
                    told_apart.entity.then(|| entity.clone()),
                    told_apart.country.then(|| country.clone()),
                    facts.groups.clone(),
                );
                if seen.insert(looks) {
                    kinds.push(facts);
                }
            }
        }
    }
    if kinds.is_empty() {
        // Earlier zones take all its readers together, which no single one does: nobody is ever asked about it.
        let first = |names: &BTreeSet<_>| names.first().cloned();
        if let (Some(entity), Some(country)) = (zone.entities.first().cloned(), first(&zone.countries)) {
            kinds.push(Facts { entity, country, groups: zone.groups.clone(), training: false });
        }
    }
    kinds
}

fn question(universe: &Universe, purpose: usize, zone: usize, facts: &Facts, conditions: Conditions) -> Cell {
    let mut cell = Cell { values: [0; Attribute::ALL.len()] };
    let place = |words: &[String], word: &str| {
        words.iter().position(|known| known == word).expect("the universe was made of these zones")
    };
    cell.set(Attribute::Zone, zone);
    cell.set(Attribute::Entity, place(&universe.entities, facts.entity.as_str()));
    cell.set(Attribute::Country, place(&universe.countries, facts.country.as_str()));
    let groups = universe.group_sets.iter().position(|groups| *groups == facts.groups);
    cell.set(Attribute::Groups, groups.expect("the universe was made of these readers"));
    cell.set(Attribute::DataPurpose, purpose);
    cell.set(Attribute::AskedPurpose, purpose);
    for condition in Condition::ALL {
        cell.set(condition.attribute(), usize::from(conditions.has(condition)));
    }
    cell
}

/// Two kinds of readers of a zone, and the first answer in which they differ.
struct Disagreement {
    readers: (usize, usize),
    answer: usize,
    first_may: bool,
}

fn agreed(judge: &Judge, cells: impl Iterator<Item = Cell>) -> Result<Bits, Disagreement> {
    let mut grids = cells.map(|cell| judge.line(&cell)).enumerate();
    let (_, first) = grids.next().expect("a zone has readers");
    for (reader, grid) in grids {
        if let Some(answer) = first.first_difference(&grid) {
            return Err(Disagreement { readers: (0, reader), answer, first_may: first.get(answer) });
        }
    }
    Ok(first)
}

impl Disagreement {
    fn describe(&self, map: &DataMap, judge: &Judge, readers: &[Facts], purpose: usize, zone: &Zone) -> CompileError {
        let residencies = &judge.universe().residencies;
        let (rest, residency) = (self.answer / residencies.len(), self.answer % residencies.len());
        let reader = |index: usize| {
            let facts = &readers[index];
            let groups: Vec<&Group> = facts.groups.iter().collect();
            format!("a reader of `{}` in `{}` with groups {}", facts.entity, facts.country, listed(&groups))
        };
        let (mut one, mut other) = (reader(self.readers.0), reader(self.readers.1));
        if !self.first_may {
            std::mem::swap(&mut one, &mut other);
        }
        CompileError::Disagreement {
            zone: zone.name.clone(),
            purpose: map.purposes[purpose].name.clone(),
            one,
            other,
            action: Action::ALL[rest / Class::ALL.len()],
            class: Class::ALL[rest % Class::ALL.len()],
            residency: Residency::new(residencies[residency].clone()).expect("it was one"),
        }
    }
}

/// The roles of a purpose and a grid.
#[derive(Debug, Clone)]
struct Assigned {
    role: RoleName,
    kind: RoleKind,
    aggregate_role: Option<RoleName>,
    rights: Arc<Rights>,
}

/// Collects roles while contexts are made.
struct Assembly<'m> {
    map: &'m DataMap,
    universe: &'m Universe,
    assigned: BTreeMap<(PurposeName, Bits), Option<Assigned>>,
    roles: BTreeMap<RoleName, Role>,
    collisions: BTreeSet<RoleName>,
}

impl<'m> Assembly<'m> {
    fn new(map: &'m DataMap, universe: &'m Universe) -> Self {
        let nobody = Role { name: map.nobody(), purpose: None, kind: RoleKind::Nobody, rights: Rights::default() };
        let roles = BTreeMap::from([(nobody.name.clone(), nobody)]);
        Self { map, universe, assigned: BTreeMap::new(), roles, collisions: BTreeSet::new() }
    }

    fn context(
        &mut self,
        purpose: &PurposeName,
        zone: &ZoneName,
        conditions: Conditions,
        grid: &Bits,
    ) -> Option<Context> {
        let key = (purpose.clone(), grid.clone());
        if !self.assigned.contains_key(&key) {
            let assigned = self.assign(purpose, grid);
            self.assigned.insert(key.clone(), assigned);
        }
        let assigned = self.assigned[&key].clone()?;
        Some(Context {
            purpose: purpose.clone(),
            zone: zone.clone(),
            conditions,
            role: assigned.role,
            kind: assigned.kind,
            aggregate_role: assigned.aggregate_role,
            rights: assigned.rights,
        })
    }

    fn assign(&mut self, purpose: &PurposeName, grid: &Bits) -> Option<Assigned> {
        let rights = Rights::of_map(self.map, purpose, |action, class, residency| {
            let place = self.universe.residencies.iter().position(|known| known == residency.as_str());
            place.is_some_and(|place| grid.get(self.universe.place(action, class as usize, place)))
        });
        if rights.is_empty() {
            return None;
        }
        // A role that may read rows is never granted a column of which only figures may be made: PostgreSQL could not
        // tell the two apart. Exports are granted to no role.
        let record = rights.narrowed(|actions| Actions {
            aggregate: actions.aggregate && actions.record,
            export: false,
            ..actions
        });
        let aggregate = rights.narrowed(|actions| Actions { aggregate: actions.aggregate, ..Actions::default() });
        let reads_rows = record.any(Action::ReadRecord) || record.any(Action::Write);
        let has_more = aggregate.iter().any(|(table, column, _)| !record.may_read(table, column));
        let (role, kind, aggregate_role) = if reads_rows {
            let second = has_more.then(|| self.role(purpose, RoleKind::Aggregate, aggregate));
            (self.role(purpose, RoleKind::Record, record), RoleKind::Record, second)
        } else if aggregate.is_empty() {
            (self.map.nobody(), RoleKind::Nobody, None)
        } else {
            (self.role(purpose, RoleKind::Aggregate, aggregate), RoleKind::Aggregate, None)
        };
        Some(Assigned { role, kind, aggregate_role, rights: Arc::new(rights) })
    }

    fn role(&mut self, purpose: &PurposeName, kind: RoleKind, rights: Rights) -> RoleName {
        let name = role_name(self.map, purpose, kind, &rights);
        let role = Role { name: name.clone(), purpose: Some(purpose.clone()), kind, rights };
        match self.roles.get(&name) {
            Some(known) if *known != role => {
                self.collisions.insert(name.clone());
            }
            Some(_) => {}
            None => {
                self.roles.insert(name.clone(), role);
            }
        }
        name
    }

    fn finish(self) -> Vec<Role> {
        self.roles.into_values().collect()
    }
}

/// Returns the name of a role: it changes with everything its views and grants are made of.
fn role_name(map: &DataMap, purpose: &PurposeName, kind: RoleKind, rights: &Rights) -> RoleName {
    let bit = map.purpose(purpose.as_str()).map(|purpose| purpose.bit);
    let tables: Vec<_> = map
        .tables
        .iter()
        .map(|table| {
            let columns: Vec<_> =
                table.columns.iter().map(|column| (&column.name, rights.on(&table.name, &column.name))).collect();
            (&table.name, &table.governed, columns)
        })
        .filter(|(_, _, columns)| columns.iter().any(|(_, actions)| !actions.is_empty()))
        .collect();
    let form = serde_json::to_vec(&("vigie-role/1", purpose, kind, bit, tables)).expect("names and flags have a form");
    let hash = Sha256::digest(form);
    RoleName::new(format!("{}{purpose}_{}", map.role_prefix(), hex(&hash[..4]))).expect("the map checked the lengths")
}

fn hash(map: &DataMap, zones: &Zones, policies: &[PolicyText]) -> [u8; 32] {
    let form = serde_json::to_vec(&("vigie-policy/1", map, zones, policies)).expect("names and texts have a form");
    Sha256::digest(form).into()
}
