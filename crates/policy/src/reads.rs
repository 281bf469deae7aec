//! What a Cedar policy looks at: which attributes, and with which words it compares them.
//!
//! Compiling evaluates every policy over every cell. A policy that compares the purpose only with two words cannot tell
//! the other purposes apart, so one of them stands for all: that is what makes the enumeration small. Whatever this module
//! does not recognize counts as a read of every value, never as no read.

use crate::names::PolicyName;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// An attribute that a policy may read. `Action` is not among them: it is always told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Attribute {
    Class,
    Residency,
    Zone,
    Entity,
    Country,
    Groups,
    Training,
    DataPurpose,
    AskedPurpose,
    Ticket,
    BreakGlass,
}

impl Attribute {
    pub const ALL: [Self; 11] = [
        Self::Class,
        Self::Residency,
        Self::Zone,
        Self::Entity,
        Self::Country,
        Self::Groups,
        Self::Training,
        Self::DataPurpose,
        Self::AskedPurpose,
        Self::Ticket,
        Self::BreakGlass,
    ];

    fn of(variable: &str, attribute: &str) -> Option<Self> {
        Some(match (variable, attribute) {
            ("principal", "zone") => Self::Zone,
            ("principal", "entity") => Self::Entity,
            ("principal", "country") => Self::Country,
            ("principal", "groups") => Self::Groups,
            ("principal", "training") => Self::Training,
            ("resource", "class") => Self::Class,
            ("resource", "residency") => Self::Residency,
            ("resource", "purpose") => Self::DataPurpose,
            ("context", "purpose") => Self::AskedPurpose,
            ("context", "ticket") => Self::Ticket,
            ("context", "break_glass") => Self::BreakGlass,
            _ => return None,
        })
    }
}

/// How an attribute is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Read {
    /// Only compared with these words.
    Words(BTreeSet<String>),
    /// In a way that may tell any two values apart.
    Whole,
}

/// What a policy reads, or why it may not be compiled.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    pub attributes: BTreeMap<Attribute, Read>,
    pub refused: BTreeSet<&'static str>,
}

/// Why a policy whose scope or condition names one entity cannot be compiled.
const NAMES_ONE: &str = "uses `principal`, `resource` or `context` as a whole, or names one reader or one piece of data; \
                         only their attributes have a meaning here";
const GROUPS_WHOLE: &str = "uses `principal.groups` otherwise than by `contains`, `containsAny` or `containsAll` with \
                            words, so the groups that matter cannot be listed";

impl Reads {
    /// Finds what a policy reads, from its JSON form.
    pub fn of(policy: &Value) -> Self {
        let mut reads = Self::default();
        for variable in ["principal", "resource"] {
            let scope = &policy[variable];
            let open = scope["op"] == "All" || (scope["op"] == "is" && scope.get("in").is_none());
            if !open {
                reads.refused.insert(NAMES_ONE);
            }
        }
        for condition in policy["conditions"].as_array().into_iter().flatten() {
            reads.walk(&condition["body"]);
        }
        if reads.attributes.get(&Attribute::Groups) == Some(&Read::Whole) {
            reads.refused.insert(GROUPS_WHOLE);
        }
        reads
    }

    /// Returns the words with which an attribute is compared.
    pub fn words(&self, attribute: Attribute) -> impl Iterator<Item = &str> {
        let read = self.attributes.get(&attribute);
        read.into_iter()
            .filter_map(|read| match read {
                Read::Words(words) => Some(words),
                Read::Whole => None,
            })
            .flatten()
            .map(String::as_str)
    }

    fn mention(&mut self, attribute: Attribute, words: Vec<&str>) {
        match self.attributes.entry(attribute).or_insert_with(|| Read::Words(BTreeSet::new())) {
            Read::Words(known) => known.extend(words.into_iter().map(str::to_owned)),
            Read::Whole => {}
        }
    }

    fn walk(&mut self, expression: &Value) {
        match expression {
            Value::Array(items) => items.iter().for_each(|item| self.walk(item)),
            Value::Object(fields) => fields.iter().for_each(|(operator, operands)| self.step(operator, operands)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn step(&mut self, operator: &str, operands: &Value) {
        let (left, right) = (&operands["left"], &operands["right"]);
        match operator {
            "Value" => {}
            "Var" if operands == "action" => {}
            "Var" => {
                self.refused.insert(NAMES_ONE);
            }
            "==" | "!=" => match (attribute(left), words(right), attribute(right), words(left)) {
                (Some(read), Some(words), _, _) | (_, _, Some(read), Some(words)) if read != Attribute::Groups => {
                    self.mention(read, words);
                }
                _ => [left, right].into_iter().for_each(|side| self.walk(side)),
            },
            "contains" => match (attribute(left), words(right), attribute(right), set(left)) {
                (Some(Attribute::Groups), Some(words), _, _) => self.mention(Attribute::Groups, words),
                (_, _, Some(read), Some(words)) if read != Attribute::Groups => self.mention(read, words),
                _ => [left, right].into_iter().for_each(|side| self.walk(side)),
            },
            // The other way round, `["a"].containsAll(principal.groups)` would depend on groups that nobody names.
            "containsAll" => match (attribute(left), set(right)) {
                (Some(Attribute::Groups), Some(words)) => self.mention(Attribute::Groups, words),
                _ => [left, right].into_iter().for_each(|side| self.walk(side)),
            },
            "containsAny" => match (attribute(left), set(right), attribute(right), set(left)) {
                (Some(Attribute::Groups), Some(words), _, _) | (_, _, Some(Attribute::Groups), Some(words)) => {
                    self.mention(Attribute::Groups, words);
                }
                _ => [left, right].into_iter().for_each(|side| self.walk(side)),
            },
            // Every attribute of the schema is always there, so whether it is there tells nothing apart.
            "has" if variable(left).is_some() => {}
            "is" if operands.get("in").is_none() && variable(left).is_some() => {}
            "." => match (attribute(&serde_json::json!({ ".": operands })), variable(left)) {
                (Some(read), _) => {
                    self.attributes.insert(read, Read::Whole);
                }
                // The validator refuses it.
                (None, Some(_)) => {}
                (None, None) => self.walk(left),
            },
            _ => self.walk(operands),
        }
    }
}

fn variable(expression: &Value) -> Option<&str> {
    expression.get("Var")?.as_str().filter(|name| *name != "action")
}

fn attribute(expression: &Value) -> Option<Attribute> {
    let access = expression.get(".")?;
    Attribute::of(variable(access.get("left")?)?, access.get("attr")?.as_str()?)
}

fn words(expression: &Value) -> Option<Vec<&str>> {
    Some(vec![expression.get("Value")?.as_str()?])
}

fn set(expression: &Value) -> Option<Vec<&str>> {
    let items = match expression.get("Set") {
        Some(items) => items.as_array()?,
        None => return None,
    };
    items.iter().map(|item| item.get("Value").and_then(Value::as_str)).collect()
}

/// Returns the fault of a policy in words.
pub(crate) fn refusal(policy: &PolicyName, reads: &Reads) -> Option<String> {
    reads.refused.first().map(|why| format!("policy `{policy}` {why}"))
}
