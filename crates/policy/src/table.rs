//! The table a lawyer reads: which zone may do what, for which purpose, under which conditions, by which policy.
//!
//! It is made of the compiled answers, not of the policies' text, so it shows what holds, whatever was meant.

use crate::{
    compiled::{Compiled, Conditions},
    map::Class,
    names::{PolicyName, Residency},
    reads::Attribute,
    rights::Action,
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

/// One row: what a zone may do for a purpose under the least conditions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The purpose, with its basis.
    pub purpose: String,
    /// The zone.
    pub zone: String,
    /// What may be done.
    pub action: Action,
    /// The classes it may be done with; with their residency where the map has several.
    pub classes: Vec<String>,
    /// The conditions that must be met; empty for none.
    pub conditions: String,
    /// The policies that permit it.
    pub policies: Vec<PolicyName>,
}

/// Returns the rows, by purpose and zone in the order of their files. Purposes for which a zone may do nothing are left out.
pub fn rows(compiled: &Compiled) -> Vec<Row> {
    let mut rows = Vec::new();
    for (purpose_index, purpose) in compiled.map.purposes.iter().enumerate() {
        let held = held(compiled, purpose_index);
        for (zone_index, zone) in compiled.zones.as_slice().iter().enumerate() {
            for action in Action::ALL {
                // Under which fewest conditions each class may be used, and by which policies.
                let mut grouped = BTreeMap::<(String, Vec<PolicyName>), Vec<String>>::new();
                for (class, residency, place) in &held {
                    if let Some((conditions, policies)) =
                        least(compiled, purpose_index, zone_index, action, *class, *place)
                    {
                        let residencies = compiled.judge.universe().residencies.len();
                        let label = if residencies > 1 { format!("{class} ({residency})") } else { class.to_string() };
                        grouped.entry((conditions, policies)).or_default().push(label);
                    }
                }
                for ((conditions, policies), classes) in grouped {
                    rows.push(Row {
                        purpose: format!("{} ({})", purpose.name, purpose.basis),
                        zone: zone.name.to_string(),
                        action,
                        classes,
                        conditions,
                        policies,
                    });
                }
            }
        }
    }
    rows
}

/// Returns the classes and residencies of which the map has columns for a purpose.
fn held(compiled: &Compiled, purpose: usize) -> BTreeSet<(Class, Residency, usize)> {
    let name = &compiled.map.purposes[purpose].name;
    let residencies = &compiled.judge.universe().residencies;
    let columns = compiled.map.tables.iter().flat_map(|table| {
        let place = residencies.iter().position(|known| known == table.residency.as_str());
        let columns = table.columns.iter().filter(|column| column.serves(name));
        columns.filter_map(move |column| Some((column.class, table.residency.clone(), place?)))
    });
    columns.collect()
}

/// Returns the fewest conditions under which a cell is permitted, all alternatives of that number, and who permits it.
fn least(
    compiled: &Compiled,
    purpose: usize,
    zone: usize,
    action: Action,
    class: Class,
    residency: usize,
) -> Option<(String, Vec<PolicyName>)> {
    let mut minimal = Vec::<Conditions>::new();
    let mut policies = BTreeSet::new();
    let mut denied_with_more = BTreeSet::new();
    for conditions in Conditions::all() {
        let mut cell = compiled.question(purpose, zone, conditions);
        cell.set(Attribute::Class, class as usize);
        cell.set(Attribute::Residency, residency);
        let answer = compiled.judge.answer(&cell, action);
        let covered = minimal.iter().any(|less| less.met().all(|condition| conditions.has(condition)));
        if answer.is_permit() {
            if !covered {
                policies.extend(answer.permits.iter().map(|index| compiled.judge.name(*index).clone()));
                minimal.push(conditions);
            }
        } else if covered {
            denied_with_more.insert(words(conditions));
        }
    }
    if minimal.is_empty() {
        return None;
    }
    let alternatives: Vec<String> = minimal.into_iter().map(words).filter(|words| !words.is_empty()).collect();
    let mut text = alternatives.join("; or ");
    if !denied_with_more.is_empty() {
        let but = denied_with_more.into_iter().collect::<Vec<_>>().join("; or ");
        let _ = write!(text, "{}not with {but}", if text.is_empty() { "" } else { ", but " });
    }
    Some((text, policies.into_iter().collect()))
}

fn words(conditions: Conditions) -> String {
    conditions.met().map(|condition| condition.to_string()).collect::<Vec<_>>().join(" and ")
}

const HEADINGS: [&str; 6] = ["Purpose", "Zone", "May", "With data that is", "Needs", "By policy"];

fn fields(row: &Row) -> [String; 6] {
    let policies: Vec<&str> = row.policies.iter().map(PolicyName::as_str).collect();
    let needs = if row.conditions.is_empty() { "–".to_owned() } else { row.conditions.clone() };
    let may = match row.action {
        Action::ReadRecord => "read single rows",
        Action::ReadAggregate => "read figures",
        Action::Write => "write",
        Action::Export => "hand over",
    };
    [row.purpose.clone(), row.zone.clone(), may.to_owned(), row.classes.join(", "), needs, policies.join(", ")]
}

/// Returns what stands under the table: what it does not say in rows.
fn notes(compiled: &Compiled) -> Vec<String> {
    let mut notes = vec!["What is not listed is denied.".to_owned()];
    let used: BTreeSet<String> = rows(compiled).into_iter().map(|row| row.zone).collect();
    for zone in compiled.zones.as_slice() {
        if !used.contains(zone.name.as_str()) {
            notes.push(format!("Zone {} may do nothing.", zone.name));
        }
    }
    for purpose in &compiled.map.purposes {
        let default = if purpose.basis.permits_without_choice() {
            if purpose.basis.may_be_refused() { "everyone but those who objected" } else { "everyone" }
        } else {
            "only those who consented"
        };
        notes.push(format!("Purpose {} concerns rows about {default}.", purpose.name));
    }
    notes.extend(compiled.warnings.iter().map(|warning| format!("Warning: {warning}.")));
    notes
}

/// Returns the table as aligned text.
pub fn to_text(compiled: &Compiled) -> String {
    let mut lines: Vec<[String; 6]> = vec![HEADINGS.map(str::to_owned)];
    lines.extend(rows(compiled).iter().map(fields));
    let widths: Vec<usize> = (0..HEADINGS.len())
        .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        let padded: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(field, width)| format!("{field}{}", " ".repeat(width - field.chars().count())))
            .collect();
        let _ = writeln!(text, "{}", padded.join("  ").trim_end());
        if index == 0 {
            let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            let _ = writeln!(text, "{}", rules.join("  "));
        }
    }
    text.push('\n');
    for note in notes(compiled) {
        let _ = writeln!(text, "{note}");
    }
    text
}

/// Returns the table as Markdown.
pub fn to_markdown(compiled: &Compiled) -> String {
    let cell = |text: &String| text.replace('\\', "\\\\").replace('|', "\\|");
    let mut text = format!("| {} |\n|{}\n", HEADINGS.join(" | "), "---|".repeat(HEADINGS.len()));
    for row in rows(compiled) {
        let _ = writeln!(text, "| {} |", fields(&row).iter().map(cell).collect::<Vec<_>>().join(" | "));
    }
    text.push('\n');
    for note in notes(compiled) {
        let _ = writeln!(text, "- {note}");
    }
    text
}
