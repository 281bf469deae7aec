//! Zones: from where readers read, by what is attested of them. One TOML file, `zones/1`.
//!
//! A reader is in the first zone, in the order of the file, that names his legal entity and his country and whose groups
//! he all has. Who fits in no zone reads nothing.
//!
//! Where a reader is comes from a record that someone answers for (staff records by way of the identity provider, or a
//! certificate), never from an address: addresses may only tighten, and that is the gateway's.

use crate::{
    document::{Table as Reading, read},
    names::{Country, Entity, Group, ZoneName},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

pub use crate::document::Faults as ZoneErrors;

/// What the first line of the file says.
pub const SCHEMA: &str = "zones/1";

/// What is attested of a reader.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Facts {
    /// His legal entity.
    pub entity: Entity,
    /// His country.
    pub country: Country,
    /// His groups.
    pub groups: BTreeSet<Group>,
    /// Whether his training is current.
    pub training: bool,
}

/// A zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Zone {
    /// Its name.
    pub name: ZoneName,
    /// The legal entities; never empty.
    pub entities: BTreeSet<Entity>,
    /// The countries; never empty.
    pub countries: BTreeSet<Country>,
    /// The groups that a reader must all have.
    pub groups: BTreeSet<Group>,
}

impl Zone {
    /// Returns whether the zone takes a reader, were it the only one.
    pub fn takes(&self, facts: &Facts) -> bool {
        self.entities.contains(&facts.entity)
            && self.countries.contains(&facts.country)
            && self.groups.is_subset(&facts.groups)
    }
}

/// The zones, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Zones(Vec<Zone>);

impl Zones {
    /// Reads the zones.
    ///
    /// # Errors
    ///
    /// Everything wrong with them, in the order of the lines.
    pub fn parse(text: &str) -> Result<Self, ZoneErrors> {
        read(text, SCHEMA, |root| Some(Self(build(root))))
    }

    /// Returns the zone a reader is in.
    pub fn zone_of(&self, facts: &Facts) -> Option<&Zone> {
        self.0.iter().find(|zone| zone.takes(facts))
    }

    /// Returns a zone.
    pub fn zone(&self, name: &ZoneName) -> Option<&Zone> {
        self.0.iter().find(|zone| zone.name == *name)
    }

    /// Returns all zones, in the order of the file.
    pub fn as_slice(&self) -> &[Zone] {
        &self.0
    }
}

fn build(root: &Reading<'_>) -> Vec<Zone> {
    let (mut names, mut zones) = (BTreeMap::new(), Vec::<(usize, Zone)>::new());
    let readings = root.tables("zone");
    if readings.is_empty() {
        root.found.add(root.line, "there is no `[[zone]]`, so nobody could read anything");
    }
    for reading in readings {
        let found = &reading.found;
        let name = reading.name::<ZoneName>("name");
        let entities = reading.names::<Entity>("entities").unwrap_or_default();
        let countries = reading.names::<Country>("countries").unwrap_or_default();
        let groups = reading.names::<Group>("groups").unwrap_or_default();
        reading.finish();
        for (key, count) in [("entities", entities.len()), ("countries", countries.len())] {
            if count == 0 {
                found.add(reading.line, format!("`{key}` names none, so the zone would take nobody"));
            }
        }
        let Some(name) = name else { continue };
        if let Some(first) = names.insert(name.value.clone(), name.line) {
            found.add(name.line, format!("zone `{}` is already given in line {first}", name.value));
        }
        let zone = Zone {
            name: name.value,
            entities: entities.into_iter().map(|entity| entity.value).collect(),
            countries: countries.into_iter().map(|country| country.value).collect(),
            groups: groups.into_iter().map(|group| group.value).collect(),
        };
        let shadow = zones.iter().find(|(_, earlier)| {
            zone.entities.is_subset(&earlier.entities)
                && zone.countries.is_subset(&earlier.countries)
                && earlier.groups.is_subset(&zone.groups)
        });
        if let Some((line, earlier)) = shadow.filter(|(_, earlier)| earlier.name != zone.name) {
            let what = format!("zone `{}` takes nobody: `{}` in line {line} comes first", zone.name, earlier.name);
            found.add_with_help(reading.line, what, Some("put the narrower zone first".into()));
        }
        zones.push((reading.line, zone));
    }
    zones.into_iter().map(|(_, zone)| zone).collect()
}
