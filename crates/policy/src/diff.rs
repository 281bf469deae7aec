//! What a change of map, zones or policies alters: what it widens, and what it narrows.
//!
//! Compared is what each zone may do with each column, for each purpose under each combination of conditions, and what the
//! map itself says. A column moved to a weaker class is a widening even if nobody gains by it today.

use crate::{
    compiled::{Compiled, Condition, Conditions},
    map::{Basis, DataMap, Table},
    names::{ColumnName, PurposeName, TableName, ZoneName},
    rights::Action,
    zone::Zone,
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Which way a change goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// More is permitted than before.
    Widens,
    /// Less is permitted than before.
    Narrows,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change {
    /// Which way it goes.
    pub way: Way,
    /// What changes, as a sentence without a full stop.
    pub what: String,
}

/// All changes from one policy to another, those that widen first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// The hash of the old policy, as hex.
    pub old: String,
    /// The hash of the new one.
    pub new: String,
    /// The changes; none if both permit the same.
    pub changes: Vec<Change>,
}

impl Diff {
    /// Returns whether anything is widened.
    pub fn widens(&self) -> bool {
        self.changes.iter().any(|change| change.way == Way::Widens)
    }

    /// Returns what a program that shows the diff exits with: 1 if something is widened, else 0.
    pub fn exit_code(&self) -> u8 {
        u8::from(self.widens())
    }
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "policy {} -> {}", &self.old[..12], &self.new[..12])?;
        for (way, title) in [(Way::Widens, "widens"), (Way::Narrows, "narrows")] {
            let mut changes = self.changes.iter().filter(|change| change.way == way).peekable();
            if changes.peek().is_some() {
                writeln!(f, "{title}:")?;
            }
            for change in changes {
                writeln!(f, "  {} {}", if way == Way::Widens { '+' } else { '-' }, change.what)?;
            }
        }
        if self.changes.is_empty() {
            writeln!(f, "permits the same")?;
        }
        Ok(())
    }
}

/// Compares two compiled policies.
pub fn diff(old: &Compiled, new: &Compiled) -> Diff {
    let mut changes = Vec::new();
    purposes(&old.map, &new.map, &mut changes);
    tables(&old.map, &new.map, &mut changes);
    zones(old, new, &mut changes);
    contexts(old, new, &mut changes);
    changes.sort();
    Diff { old: old.hash_hex(), new: new.hash_hex(), changes }
}

fn widens(changes: &mut Vec<Change>, what: String) {
    changes.push(Change { way: Way::Widens, what });
}

fn narrows(changes: &mut Vec<Change>, what: String) {
    changes.push(Change { way: Way::Narrows, what });
}

/// How much of people's say a basis leaves, from most to least.
const fn say(basis: Basis) -> u8 {
    match basis {
        Basis::Consent => 0,
        Basis::LegitimateInterest | Basis::PublicTask => 1,
        Basis::Contract | Basis::LegalObligation | Basis::VitalInterest => 2,
    }
}

fn purposes(old: &DataMap, new: &DataMap, changes: &mut Vec<Change>) {
    for purpose in &new.purposes {
        let Some(before) = old.purpose(purpose.name.as_str()) else {
            widens(changes, format!("purpose `{}` is new, on the basis of {}", purpose.name, purpose.basis));
            continue;
        };
        if before.basis != purpose.basis {
            let what = format!("purpose `{}` rests on {} instead of {}", purpose.name, purpose.basis, before.basis);
            if say(purpose.basis) < say(before.basis) { narrows(changes, what) } else { widens(changes, what) }
        }
        // The rows that are shown change with the bit, until all masks are rebuilt.
        if before.bit != purpose.bit {
            let what = format!("purpose `{}` has bit {} instead of {}", purpose.name, purpose.bit, before.bit);
            widens(changes, what);
        }
        if before.term != purpose.term {
            let what = format!("purpose `{}` means `{}` instead of `{}`", purpose.name, purpose.term, before.term);
            widens(changes, what);
        }
    }
    for purpose in old.purposes.iter().filter(|purpose| new.purpose(purpose.name.as_str()).is_none()) {
        narrows(changes, format!("purpose `{}` is no more", purpose.name));
    }
}

fn tables(old: &DataMap, new: &DataMap, changes: &mut Vec<Change>) {
    for table in &new.tables {
        let Some(before) = old.table(&table.name) else {
            widens(changes, format!("table `{}` is new", table.name));
            continue;
        };
        let name = &table.name;
        match (&before.governed, &table.governed) {
            (Some(_), None) => widens(changes, format!("table `{name}` is no longer governed by people's choices")),
            (None, Some(_)) => narrows(changes, format!("table `{name}` is now governed by people's choices")),
            (Some(before), Some(after)) if before != after => {
                if before.subject != after.subject {
                    let what = format!("table `{name}` is about `{}` instead of `{}`", after.subject, before.subject);
                    widens(changes, what);
                }
                if before.mask != after.mask {
                    let what = format!("table `{name}` has its mask in `{}` instead of `{}`", after.mask, before.mask);
                    widens(changes, what);
                }
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        if before.residency != table.residency {
            let what = format!("table `{name}` resides in {} instead of {}", table.residency, before.residency);
            widens(changes, what);
        }
        if before.retention != table.retention {
            // Which of two durations is longer depends on the calendar; both ways are worth a look.
            widens(changes, format!("table `{name}` keeps data {} instead of {}", table.retention, before.retention));
        }
        columns(before, table, changes);
    }
    for table in old.tables.iter().filter(|table| new.table(&table.name).is_none()) {
        narrows(changes, format!("table `{}` is no more", table.name));
    }
}

fn columns(old: &Table, new: &Table, changes: &mut Vec<Change>) {
    for column in &new.columns {
        let name = format!("column `{}.{}`", new.name, column.name);
        let Some(before) = old.column(&column.name) else {
            widens(changes, format!("{name} is new, as {}", column.class));
            continue;
        };
        if before.class != column.class {
            let what = format!("{name} is {} instead of {}", column.class, before.class);
            // Classes are ordered from most to least guarded.
            if column.class > before.class { widens(changes, what) } else { narrows(changes, what) }
        }
        match (before.sealed, column.sealed) {
            (true, false) => widens(changes, format!("{name} is no longer sealed")),
            (false, true) => narrows(changes, format!("{name} is now sealed")),
            (true, true) | (false, false) => {}
        }
        let all = |purposes: &Option<Vec<PurposeName>>| {
            purposes.as_ref().map(|it| it.iter().cloned().collect::<BTreeSet<_>>())
        };
        match (all(&before.purposes), all(&column.purposes)) {
            (Some(_), None) => widens(changes, format!("{name} may be used for every purpose")),
            (None, Some(_)) => narrows(changes, format!("{name} may be used for some purposes only")),
            (Some(before), Some(after)) => {
                for purpose in after.difference(&before) {
                    widens(changes, format!("{name} may be used for `{purpose}`"));
                }
                for purpose in before.difference(&after) {
                    narrows(changes, format!("{name} may no longer be used for `{purpose}`"));
                }
            }
            (None, None) => {}
        }
    }
    for column in old.columns.iter().filter(|column| new.column(&column.name).is_none()) {
        narrows(changes, format!("column `{}.{}` is no more", new.name, column.name));
    }
}

fn zones(old: &Compiled, new: &Compiled, changes: &mut Vec<Change>) {
    for zone in new.zones.as_slice() {
        let Some(before) = old.zones.zone(&zone.name) else {
            widens(changes, format!("zone `{}` is new", zone.name));
            continue;
        };
        lists(changes, zone, "legal entity", &before.entities, &zone.entities);
        lists(changes, zone, "country", &before.countries, &zone.countries);
        // A group is a demand: one fewer takes more readers.
        for group in before.groups.difference(&zone.groups) {
            widens(changes, format!("zone `{}` no longer asks for group `{group}`", zone.name));
        }
        for group in zone.groups.difference(&before.groups) {
            narrows(changes, format!("zone `{}` asks for group `{group}`", zone.name));
        }
    }
    for zone in old.zones.as_slice().iter().filter(|zone| new.zones.zone(&zone.name).is_none()) {
        // Its readers may now be in a later zone.
        narrows(changes, format!("zone `{}` is no more", zone.name));
    }
    let order = |compiled: &Compiled, other: &Compiled| -> Vec<ZoneName> {
        let both = compiled.zones.as_slice().iter().filter(|zone| other.zones.zone(&zone.name).is_some());
        both.map(|zone| zone.name.clone()).collect()
    };
    if order(old, new) != order(new, old) {
        widens(changes, "zones stand in another order, so readers may be in another one".to_owned());
    }
}

fn lists<T: Ord + fmt::Display>(
    changes: &mut Vec<Change>,
    zone: &Zone,
    what: &str,
    old: &BTreeSet<T>,
    new: &BTreeSet<T>,
) {
    for one in new.difference(old) {
        widens(changes, format!("zone `{}` takes {what} `{one}`", zone.name));
    }
    for one in old.difference(new) {
        narrows(changes, format!("zone `{}` no longer takes {what} `{one}`", zone.name));
    }
}

/// A right before it is grouped: purpose, zone, action, table and column, and the conditions under which it holds.
type Held<'a> = BTreeMap<(&'a PurposeName, &'a ZoneName, Action, &'a TableName, &'a ColumnName), BTreeSet<Conditions>>;

fn held(compiled: &Compiled) -> Held<'_> {
    let mut held = Held::new();
    for context in &compiled.contexts {
        for (table, column, actions) in context.rights.iter() {
            for action in Action::ALL.into_iter().filter(|action| actions.has(*action)) {
                let key = (&context.purpose, &context.zone, action, table, column);
                held.entry(key).or_default().insert(context.conditions);
            }
        }
    }
    held
}

/// Adds what zones gain and lose, one line for all columns of a table that change alike.
fn contexts(old: &Compiled, new: &Compiled, changes: &mut Vec<Change>) {
    type Line<'a> = (&'a PurposeName, &'a ZoneName, Action, &'a TableName, BTreeSet<Conditions>, BTreeSet<Conditions>);
    let (before, after) = (held(old), held(new));
    let mut lines = BTreeMap::<Line<'_>, Vec<&ColumnName>>::new();
    for key in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
        let (was, is) = (before.get(key).cloned().unwrap_or_default(), after.get(key).cloned().unwrap_or_default());
        if was != is {
            let (purpose, zone, action, table, column) = *key;
            lines.entry((purpose, zone, action, table, was, is)).or_default().push(column);
        }
    }
    for ((purpose, zone, action, table, was, is), columns) in lines {
        let columns: Vec<&str> = columns.into_iter().map(ColumnName::as_str).collect();
        let subject = format!("`{zone}`: {action} of {table} ({}) for `{purpose}`", columns.join(", "));
        let what = format!("{subject}: {} instead of {}", when(&is), when(&was));
        // Where some conditions gain and others lose, both lists say so.
        if !is.is_subset(&was) {
            widens(changes, what.clone());
        }
        if !was.is_subset(&is) {
            narrows(changes, what);
        }
    }
}

/// Returns under which conditions something holds.
fn when(conditions: &BTreeSet<Conditions>) -> String {
    if conditions.is_empty() {
        return "never".to_owned();
    }
    if conditions.len() == Conditions::all().count() {
        return "always".to_owned();
    }
    let least = |one: &&Conditions| {
        !conditions.iter().any(|less| less != *one && less.met().all(|condition| one.has(condition)))
    };
    let minimal: Vec<&Conditions> = conditions.iter().filter(least).collect();
    // The least conditions say it all only if meeting more never takes it away again.
    let upward = Conditions::all().all(|one| {
        let covered = minimal.iter().any(|less| less.met().all(|condition| one.has(condition)));
        covered == conditions.contains(&one)
    });
    let words = |one: &Conditions, exact: bool| {
        let mut met: Vec<String> = one.met().map(|condition| format!("with {condition}")).collect();
        if exact {
            let missing = Condition::ALL.into_iter().filter(|condition| !one.has(*condition));
            met.extend(missing.map(|condition| format!("without {condition}")));
        }
        met.join(" and ")
    };
    let alternatives: Vec<String> = if upward {
        minimal.into_iter().map(|one| words(one, false)).collect()
    } else {
        conditions.iter().map(|one| words(one, true)).collect()
    };
    alternatives.join(", or ")
}
