//! Cedar: the schema policies are written against, and their evaluation over the finite set of cells.
//!
//! Every policy is evaluated by Cedar on its own, and the answers are combined here, by a stricter rule than Cedar's: a
//! cell is permitted if at least one `permit` applies, no `forbid` applies, **and no policy fails**. Cedar skips a policy
//! that fails, so a `forbid` that overflows would forbid nothing.

use crate::{
    map::{Class, DataMap},
    names::{Group, PolicyName},
    reads::{Attribute, Read, Reads, refusal},
    rights::Action,
    zone::Zones,
};
use cedar_policy::{
    ActionConstraint, Authorizer, Context, Effect, Entities, Entity, EntityUid, Policy, PolicySet, Request,
    RestrictedExpression, Schema, ValidationMode, Validator,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fmt::Write as _,
    str::FromStr,
    sync::{LazyLock, OnceLock},
};

/// The schema, without its comments.
const SCHEMA: &str = r#"entity Reader = {
  "zone": String,
  "entity": String,
  "country": String,
  "groups": Set<String>,
  "training": Bool,
};

entity Data = {
  "class": String,
  "residency": String,
  "purpose": String,
};

action "read-record", "read-aggregate", "write", "export" appliesTo {
  principal: [Reader],
  resource: [Data],
  context: {
    "ticket": Bool,
    "break_glass": Bool,
    "purpose": String,
  },
};
"#;

/// Returns the schema with comments that say which words this map and these zones know.
pub(crate) fn schema_text(map: &DataMap, zones: &Zones) -> String {
    let mut text = String::from("// What policies are written against. Every attribute is always there.\n");
    let universe = Universe::of(map, zones, BTreeSet::new());
    let mut line = |attribute: &str, words: &[String]| {
        let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
        let _ = writeln!(text, "// {attribute}: {}", quoted.join(", "));
    };
    line("Reader.zone", &universe.zones);
    line("Reader.entity", &universe.entities);
    line("Reader.country", &universe.countries);
    line("Data.class", &universe.classes);
    line("Data.residency", &universe.residencies);
    line("Data.purpose, context.purpose (always the same: the purpose asked for)", &universe.purposes);
    text.push('\n');
    text.push_str(SCHEMA);
    text
}

/// The values that attributes take, each list without repetition.
#[derive(Debug, Clone)]
pub(crate) struct Universe {
    pub zones: Vec<String>,
    pub entities: Vec<String>,
    pub countries: Vec<String>,
    pub classes: Vec<String>,
    pub residencies: Vec<String>,
    pub purposes: Vec<String>,
    /// Sets of groups, of which a cell names one by its index.
    pub group_sets: Vec<BTreeSet<Group>>,
}

fn sorted<'a, T: Ord + ToString + 'a>(names: impl Iterator<Item = &'a T>) -> Vec<String> {
    names.collect::<BTreeSet<_>>().into_iter().map(ToString::to_string).collect()
}

impl Universe {
    pub fn of(map: &DataMap, zones: &Zones, group_sets: BTreeSet<BTreeSet<Group>>) -> Self {
        let zones = zones.as_slice();
        Self {
            zones: zones.iter().map(|zone| zone.name.to_string()).collect(),
            entities: sorted(zones.iter().flat_map(|zone| &zone.entities)),
            countries: sorted(zones.iter().flat_map(|zone| &zone.countries)),
            classes: Class::ALL.map(|class| class.to_string()).into(),
            residencies: sorted(map.tables.iter().map(|table| &table.residency)),
            purposes: map.purposes.iter().map(|purpose| purpose.name.to_string()).collect(),
            group_sets: group_sets.into_iter().collect(),
        }
    }

    /// Returns the words an attribute takes; none for those that are no word.
    pub fn words(&self, attribute: Attribute) -> Option<&[String]> {
        Some(match attribute {
            Attribute::Zone => &self.zones,
            Attribute::Entity => &self.entities,
            Attribute::Country => &self.countries,
            Attribute::Class => &self.classes,
            Attribute::Residency => &self.residencies,
            Attribute::DataPurpose | Attribute::AskedPurpose => &self.purposes,
            Attribute::Groups | Attribute::Training | Attribute::Ticket | Attribute::BreakGlass => return None,
        })
    }

    /// Returns how many answers a line has.
    fn line_size(&self) -> usize {
        Action::ALL.len() * self.classes.len() * self.residencies.len()
    }

    /// Returns where in a line an answer stands.
    pub fn place(&self, action: Action, class: usize, residency: usize) -> usize {
        (action as usize * self.classes.len() + class) * self.residencies.len() + residency
    }

    fn size(&self, attribute: Attribute) -> usize {
        match attribute {
            Attribute::Groups => self.group_sets.len(),
            _ => self.words(attribute).map_or(2, <[String]>::len),
        }
    }
}

/// One question: an index into the universe for each attribute, in the order of [`Attribute::ALL`]; for yes and no, 1 and 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cell {
    pub values: [usize; Attribute::ALL.len()],
}

impl Cell {
    pub fn set(&mut self, attribute: Attribute, value: usize) {
        self.values[attribute as usize] = value;
    }

    fn value(&self, attribute: Attribute) -> usize {
        self.values[attribute as usize]
    }
}

/// What one policy says to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Applies,
    DoesNot,
    Fails(String),
}

/// What all policies say to one question, by their index.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Answer {
    pub permits: Vec<usize>,
    pub forbids: Vec<usize>,
    pub fails: Vec<usize>,
}

impl Answer {
    pub fn is_permit(&self) -> bool {
        !self.permits.is_empty() && self.forbids.is_empty() && self.fails.is_empty()
    }
}

/// A policy as it was read: parsed, and known what it looks at.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub name: PolicyName,
    pub policy: Policy,
    pub reads: Reads,
}

/// Reads the policies of a file; several are numbered unless `@id` names them.
pub(crate) fn parse(file: &PolicyName, text: &str) -> Result<Vec<Parsed>, String> {
    let set = PolicySet::from_str(text).map_err(|error| {
        let mut what = format!("policy file `{file}` cannot be read: {error}");
        for more in error.iter().skip(1) {
            let _ = write!(what, ", {more}");
        }
        what
    })?;
    if set.templates().next().is_some() {
        return Err(format!("policy file `{file}` contains a template, and nothing here links it"));
    }
    // Ids are `policy0`, `policy1`, … in the order of the text.
    let mut policies: Vec<&Policy> = set.policies().collect();
    policies.sort_by_key(|policy| {
        let id = policy.id().to_string();
        id.trim_start_matches("policy").parse::<usize>().unwrap_or(usize::MAX)
    });
    if policies.is_empty() {
        return Err(format!("policy file `{file}` contains no policy"));
    }
    let several = policies.len() > 1;
    policies
        .into_iter()
        .enumerate()
        .map(|(index, policy)| {
            let name = match policy.annotation("id") {
                Some(id) if !id.is_empty() => PolicyName::new(id).map_err(|error| error.to_string())?,
                _ if several => PolicyName::new(format!("{file}#{}", index + 1)).map_err(|error| error.to_string())?,
                _ => file.clone(),
            };
            let json = policy.to_json().map_err(|error| format!("policy `{name}` has no JSON form: {error}"))?;
            Ok(Parsed { name, policy: policy.clone(), reads: Reads::of(&json) })
        })
        .collect()
}

/// Returns why a policy may not be compiled, if so.
pub(crate) fn refusal_of(parsed: &Parsed) -> Option<String> {
    refusal(&parsed.name, &parsed.reads)
}

/// What Cedar's validator says of a policy, in strict mode.
#[derive(Debug)]
pub(crate) struct Validation {
    pub errors: Vec<String>,
    pub warnings: Vec<String>,
}

/// Validates policies against the schema.
pub(crate) fn validate(policies: &[Parsed]) -> Vec<Validation> {
    let (schema, _) = Schema::from_cedarschema_str(SCHEMA).expect("the schema is written here");
    let validator = Validator::new(schema);
    policies
        .iter()
        .map(|parsed| {
            let set = PolicySet::from_policies([parsed.policy.clone()]).expect("one policy is a set");
            let result = validator.validate(&set, ValidationMode::Strict);
            let own = |text: String| text.replace(&format!("`{}`", parsed.policy.id()), &format!("`{}`", parsed.name));
            Validation {
                errors: result.validation_errors().map(|error| own(error.to_string())).collect(),
                warnings: result.validation_warnings().map(|warning| own(warning.to_string())).collect(),
            }
        })
        .collect()
}

/// The most cells that one policy is evaluated over.
const MAX_CELLS: usize = 1 << 21;

/// One policy over all cells, evaluated when first asked.
#[derive(Debug, Clone)]
struct Judged {
    name: PolicyName,
    effect: Effect,
    set: PolicySet,
    /// Whether its scope takes an action; beyond its scope a policy neither applies nor fails.
    actions: [bool; 4],
    /// For each attribute and value, what it adds to the index of the outcome.
    steps: Vec<Vec<usize>>,
    /// For each attribute, the value that stands for those that share a step.
    samples: Vec<Vec<usize>>,
    /// By action, then by the sum of steps.
    outcomes: Vec<OnceLock<Outcome>>,
    /// What it says to all actions, classes and residencies at once, by the other attributes.
    lines: Vec<OnceLock<Line>>,
    /// How many outcomes an action has.
    per_action: usize,
    /// How many of these are in one line.
    per_line: usize,
}

/// Answers to all actions, classes and residencies, one bit each, in the order of [`Universe::place`].
#[derive(Debug, Clone)]
struct Line {
    applies: Bits,
    fails: Bits,
}

/// A list of yes and no.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    fn none(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)])
    }

    fn set(&mut self, index: usize) {
        self.0[index / 64] |= 1 << (index % 64);
    }

    pub fn get(&self, index: usize) -> bool {
        self.0[index / 64] >> (index % 64) & 1 == 1
    }

    fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(mine, other)| *mine |= other);
    }

    fn remove(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(mine, other)| *mine &= !other);
    }

    /// Returns the first index at which two lists differ.
    pub fn first_difference(&self, other: &Self) -> Option<usize> {
        let words = self.0.iter().zip(&other.0).map(|(a, b)| a ^ b).enumerate();
        words.filter(|(_, word)| *word != 0).map(|(index, word)| index * 64 + word.trailing_zeros() as usize).next()
    }
}

/// All policies over a universe.
#[derive(Debug, Clone)]
pub(crate) struct Judge {
    universe: Universe,
    policies: Vec<Judged>,
}

impl Judge {
    /// Prepares policies; none is evaluated yet.
    ///
    /// # Errors
    ///
    /// The policies that tell apart more than [`MAX_CELLS`] cells.
    pub fn new(universe: Universe, parsed: Vec<Parsed>) -> Result<Self, Vec<PolicyName>> {
        let mut too_wide = Vec::new();
        let policies = parsed.into_iter().filter_map(|policy| {
            let name = policy.name.clone();
            let judged = Judged::new(&universe, policy);
            if judged.is_none() {
                too_wide.push(name);
            }
            judged
        });
        let policies: Vec<Judged> = policies.collect();
        if too_wide.is_empty() { Ok(Self { universe, policies }) } else { Err(too_wide) }
    }

    pub fn universe(&self) -> &Universe {
        &self.universe
    }

    pub fn names(&self) -> impl Iterator<Item = &PolicyName> {
        self.policies.iter().map(|policy| &policy.name)
    }

    pub fn name(&self, index: usize) -> &PolicyName {
        &self.policies[index].name
    }

    /// Answers one question.
    pub fn answer(&self, cell: &Cell, action: Action) -> Answer {
        let mut answer = Answer::default();
        for (index, policy) in self.policies.iter().enumerate() {
            match (policy.outcome(&self.universe, cell, action), policy.effect) {
                (Outcome::Applies, Effect::Permit) => answer.permits.push(index),
                (Outcome::Applies, Effect::Forbid) => answer.forbids.push(index),
                (Outcome::DoesNot, _) => {}
                (Outcome::Fails(_), _) => answer.fails.push(index),
            }
        }
        answer
    }

    /// Returns which actions, classes and residencies are permitted, in the order of [`Universe::place`].
    pub fn line(&self, cell: &Cell) -> Bits {
        let size = self.universe.line_size();
        let (mut permitted, mut denied) = (Bits::none(size), Bits::none(size));
        for policy in &self.policies {
            let line = policy.line(&self.universe, cell);
            denied.add(&line.fails);
            match policy.effect {
                Effect::Permit => permitted.add(&line.applies),
                Effect::Forbid => denied.add(&line.applies),
            }
        }
        permitted.remove(&denied);
        permitted
    }

    /// Returns the policies that failed somewhere, with what Cedar said first.
    pub fn failures(&self) -> Vec<(PolicyName, String)> {
        let failed = self.policies.iter().filter_map(|policy| {
            policy.outcomes.iter().find_map(|outcome| match outcome.get() {
                Some(Outcome::Fails(why)) => Some((policy.name.clone(), why.clone())),
                _ => None,
            })
        });
        failed.collect()
    }
}

impl Judged {
    fn new(universe: &Universe, parsed: Parsed) -> Option<Self> {
        let (mut steps, mut samples, mut stride) = (Vec::new(), Vec::new(), 1_usize);
        // Class and residency come first, so that all their answers under one reader and purpose lie side by side.
        for attribute in Attribute::ALL {
            let (classes, sample) = equivalence(universe, attribute, parsed.reads.attributes.get(&attribute));
            steps.push(classes.into_iter().map(|class| class * stride).collect());
            stride = stride.checked_mul(sample.len().max(1))?;
            samples.push(sample);
        }
        let cells = stride.checked_mul(Action::ALL.len()).filter(|cells| *cells <= MAX_CELLS)?;
        let per_line = samples.iter().take(2).map(|sample| sample.len().max(1)).product::<usize>();
        Some(Self {
            name: parsed.name,
            effect: parsed.policy.effect(),
            actions: Action::ALL.map(|action| {
                let verb = &VOCABULARY.verbs[action as usize];
                match parsed.policy.action_constraint() {
                    ActionConstraint::Any => true,
                    ActionConstraint::Eq(one) => one == *verb,
                    ActionConstraint::In(several) => several.contains(verb),
                }
            }),
            set: PolicySet::from_policies([parsed.policy]).expect("one policy is a set"),
            steps,
            samples,
            outcomes: vec![OnceLock::new(); cells],
            lines: vec![OnceLock::new(); stride / per_line],
            per_action: stride,
            per_line,
        })
    }

    fn line(&self, universe: &Universe, cell: &Cell) -> &Line {
        let mut cell = *cell;
        cell.set(Attribute::Class, 0);
        cell.set(Attribute::Residency, 0);
        let index: usize = self.steps.iter().zip(cell.values).map(|(steps, value)| steps[value]).sum();
        self.lines[index / self.per_line].get_or_init(|| {
            let size = universe.line_size();
            let mut line = Line { applies: Bits::none(size), fails: Bits::none(size) };
            for action in Action::ALL {
                for class in 0..universe.classes.len() {
                    for residency in 0..universe.residencies.len() {
                        cell.set(Attribute::Class, class);
                        cell.set(Attribute::Residency, residency);
                        let place = universe.place(action, class, residency);
                        match self.outcome(universe, &cell, action) {
                            Outcome::Applies => line.applies.set(place),
                            Outcome::DoesNot => {}
                            Outcome::Fails(_) => line.fails.set(place),
                        }
                    }
                }
            }
            line
        })
    }

    fn outcome(&self, universe: &Universe, cell: &Cell, action: Action) -> &Outcome {
        let index: usize = self.steps.iter().zip(cell.values).map(|(steps, value)| steps[value]).sum();
        if !self.actions[action as usize] {
            return &Outcome::DoesNot;
        }
        self.outcomes[action as usize * self.per_action + index].get_or_init(|| self.evaluate(universe, index, action))
    }

    /// Evaluates the policy on the sample of an index.
    fn evaluate(&self, universe: &Universe, mut index: usize, action: Action) -> Outcome {
        let mut cell = Cell { values: [0; Attribute::ALL.len()] };
        for (attribute, samples) in Attribute::ALL.into_iter().zip(&self.samples) {
            let count = samples.len().max(1);
            cell.set(attribute, samples.get(index % count).copied().unwrap_or(0));
            index /= count;
        }
        match ask(universe, &cell, action, &self.set) {
            Ok(outcome) => outcome,
            Err(why) => Outcome::Fails(why),
        }
    }
}

/// Sorts the values of an attribute into classes that a policy cannot tell apart; gives each class a sample.
fn equivalence(universe: &Universe, attribute: Attribute, read: Option<&Read>) -> (Vec<usize>, Vec<usize>) {
    let size = universe.size(attribute);
    let words = match read {
        None => return (vec![0; size], vec![0]),
        Some(Read::Whole) => return ((0..size).collect(), (0..size).collect()),
        Some(Read::Words(words)) => words,
    };
    let looks = |value: usize| -> BTreeSet<&str> {
        if let Some(known) = universe.words(attribute) {
            words.get(&known[value]).map(String::as_str).into_iter().collect()
        } else {
            let groups = universe.group_sets.get(value).into_iter().flatten();
            groups.filter_map(|group| words.get(group.as_str()).map(String::as_str)).collect()
        }
    };
    let (mut seen, mut classes, mut samples) = (BTreeMap::new(), Vec::new(), Vec::new());
    for value in 0..size {
        let class = *seen.entry(looks(value)).or_insert_with(|| {
            samples.push(value);
            samples.len() - 1
        });
        classes.push(class);
    }
    (classes, samples)
}

/// What every question has, made once: reading a name costs Cedar more than answering.
struct Vocabulary {
    authorizer: Authorizer,
    reader: EntityUid,
    data: EntityUid,
    /// In the order of [`Action::ALL`].
    verbs: [EntityUid; 4],
}

static VOCABULARY: LazyLock<Vocabulary> = LazyLock::new(|| {
    let name = |text: &str| EntityUid::from_str(text).expect("the names are written here");
    Vocabulary {
        authorizer: Authorizer::new(),
        reader: name("Reader::\"asking\""),
        data: name("Data::\"asked\""),
        verbs: Action::ALL.map(|action| name(&format!("Action::\"{action}\""))),
    }
});

/// Asks Cedar about one policy; an `Err` is a question that could not be put.
fn ask(universe: &Universe, cell: &Cell, action: Action, policy: &PolicySet) -> Result<Outcome, String> {
    let Vocabulary { authorizer, reader, data, verbs } = &*VOCABULARY;
    let (reader, data, verb) = (reader.clone(), data.clone(), verbs[action as usize].clone());
    let word = |attribute: Attribute| {
        let words = universe.words(attribute).and_then(|words| words.get(cell.value(attribute)));
        words.map(|word| RestrictedExpression::new_string(word.clone())).ok_or("a cell outside the universe")
    };
    let flag = |attribute: Attribute| RestrictedExpression::new_bool(cell.value(attribute) == 1);
    let groups = universe.group_sets.get(cell.value(Attribute::Groups)).into_iter().flatten();
    let groups = groups.map(|group| RestrictedExpression::new_string(group.to_string()));
    let reader_attributes = HashMap::from([
        ("zone".to_owned(), word(Attribute::Zone)?),
        ("entity".to_owned(), word(Attribute::Entity)?),
        ("country".to_owned(), word(Attribute::Country)?),
        ("groups".to_owned(), RestrictedExpression::new_set(groups)),
        ("training".to_owned(), flag(Attribute::Training)),
    ]);
    let data_attributes = HashMap::from([
        ("class".to_owned(), word(Attribute::Class)?),
        ("residency".to_owned(), word(Attribute::Residency)?),
        ("purpose".to_owned(), word(Attribute::DataPurpose)?),
    ]);
    let context = Context::from_pairs([
        ("ticket".to_owned(), flag(Attribute::Ticket)),
        ("break_glass".to_owned(), flag(Attribute::BreakGlass)),
        ("purpose".to_owned(), word(Attribute::AskedPurpose)?),
    ]);
    let entities = [(reader.clone(), reader_attributes), (data.clone(), data_attributes)]
        .into_iter()
        .map(|(uid, attributes)| Entity::new(uid, attributes, HashSet::new()).map_err(|error| error.to_string()))
        .collect::<Result<Vec<_>, _>>()?;
    let entities = Entities::from_entities(entities, None).map_err(|error| error.to_string())?;
    let context = context.map_err(|error| error.to_string())?;
    let request = Request::new(reader, verb, data, context, None).map_err(|error| error.to_string())?;
    let response = authorizer.is_authorized(&request, policy, &entities);
    if let Some(error) = response.diagnostics().errors().next() {
        return Ok(Outcome::Fails(error.to_string()));
    }
    let applies = response.diagnostics().reason().next().is_some();
    Ok(if applies { Outcome::Applies } else { Outcome::DoesNot })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn universe() -> Universe {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        Universe {
            zones: words(&["here", "there", "elsewhere"]),
            entities: words(&["E"]),
            countries: words(&["IE"]),
            classes: Class::ALL.map(|class| class.to_string()).into(),
            residencies: words(&["EU"]),
            purposes: words(&["p", "q", "r"]),
            group_sets: vec![BTreeSet::new(), [Group::new("g").unwrap()].into()],
        }
    }

    fn judge(texts: &[&str]) -> Judge {
        let parsed = texts
            .iter()
            .enumerate()
            .flat_map(|(index, text)| parse(&PolicyName::new(format!("p{index}")).unwrap(), text).unwrap());
        Judge::new(universe(), parsed.collect()).unwrap()
    }

    fn first_cell() -> Cell {
        Cell { values: [0; Attribute::ALL.len()] }
    }

    #[test]
    fn a_policy_that_reads_a_missing_attribute_fails_and_denies() {
        // The validator would refuse it; this is what happens should it ever let one through.
        let judge = judge(&[
            "permit (principal, action, resource);",
            "forbid (principal, action, resource) when { principal.nationality == \"IE\" };",
        ]);
        let answer = judge.answer(&first_cell(), Action::ReadRecord);
        assert_eq!((answer.permits.as_slice(), answer.fails.as_slice()), ([0].as_slice(), [1].as_slice()));
        assert!(!answer.is_permit() && !judge.line(&first_cell()).get(0));
        assert!(judge.failures()[0].1.contains("nationality"), "{:?}", judge.failures());
    }

    #[test]
    fn values_that_a_policy_cannot_tell_apart_are_evaluated_once() {
        let judge =
            judge(&["permit (principal, action == Action::\"write\", resource) when { principal.zone == \"here\" };"]);
        for zone in 0..3 {
            for purpose in 0..3 {
                let mut cell = first_cell();
                cell.set(Attribute::Zone, zone);
                cell.set(Attribute::DataPurpose, purpose);
                cell.set(Attribute::AskedPurpose, purpose);
                for action in Action::ALL {
                    let permitted = judge.answer(&cell, action).is_permit();
                    assert_eq!(permitted, zone == 0 && action == Action::Write);
                }
            }
        }
        let asked = judge.policies[0].outcomes.iter().filter(|outcome| outcome.get().is_some()).count();
        assert_eq!(asked, 2, "here, and not here");
    }

    #[test]
    fn groups_are_told_apart_only_by_the_words_a_policy_names() {
        let judge = judge(&[
            "permit (principal, action, resource) when { principal.groups.containsAny([\"g\", \"h\"]) };",
            "forbid (principal, action, resource) when { principal.groups.containsAll([\"g\", \"h\"]) };",
        ]);
        let mut cell = first_cell();
        assert!(!judge.answer(&cell, Action::Export).is_permit());
        cell.set(Attribute::Groups, 1);
        assert!(judge.answer(&cell, Action::Export).is_permit());
    }
}
