//! Which catalogue of rules was in force on a day: this program's, or one that a bundle carries.
//!
//! Known are the edition that is part of the program, that of the bundle which is judged, and those of all bundles below
//! the home folder. Of those that were in force by that day the latest counts; of several from the same day, the first in
//! this order. A bundle's catalogue counts only if the bundle is what was signed, and if its rules are those that its
//! edition names.

use crate::{fault::Fault, keep::in_full};
use jiff::civil::Date;
use std::{
    borrow::Cow,
    path::{Path, PathBuf},
};
use vigie_evidence::{Bundle, Roots};
use vigie_inspection::{
    bundle::{self, RULES},
    catalogue::{Catalogue, EDITION, Edition, fingerprint},
};

/// How deep below the home folder bundles are looked for: campaigns have folders of their own.
const MAX_DEPTH: u32 = 6;

/// The most that an edition's file may hold, in bytes.
const MAX_EDITION_BYTES: u64 = 1 << 16;

/// A catalogue that was in force.
pub struct InForce {
    /// The catalogue.
    pub catalogue: Cow<'static, Catalogue>,
    /// Since when.
    pub since: Date,
    /// Where it is from, in words.
    pub from: String,
}

/// An edition, and the bundle that carries it; without one it is the program's.
struct Known {
    edition: Edition,
    carrier: Option<PathBuf>,
}

/// Returns the catalogue that was in force on a day.
///
/// # Errors
///
/// [`Fault::NoEdition`] if none is known.
pub fn in_force(on: Date, judged: &Path, home: Option<&Path>) -> Result<InForce, Fault> {
    let mut known: Vec<Known> = Vec::new();
    known.extend(Catalogue::bundled().edition().map(|edition| Known { edition: edition.clone(), carrier: None }));
    let mut carriers = vec![judged.to_owned()];
    if let Some(home) = home {
        bundles_below(home, MAX_DEPTH, &mut carriers);
    }
    for path in carriers {
        if let Some(edition) = edition_of(&path) {
            known.push(Known { edition, carrier: Some(path) });
        }
    }
    let earliest = known.iter().map(|known| known.edition.in_force_from).min();
    known.retain(|known| known.edition.in_force_from <= on);
    // Stable: of one day, the first that was found stays first.
    known.sort_by_key(|known| std::cmp::Reverse(known.edition.in_force_from));
    for Known { edition, carrier } in known {
        let since = edition.in_force_from;
        let Some(path) = carrier else {
            return Ok(InForce {
                catalogue: Cow::Borrowed(Catalogue::bundled()),
                since,
                from: "part of this program".to_owned(),
            });
        };
        match carried(&path, &edition) {
            Ok(catalogue) => {
                return Ok(InForce {
                    catalogue: Cow::Owned(catalogue),
                    since,
                    from: format!("kept in `{}`", path.display()),
                });
            }
            // One that was damaged must neither speak nor silence the others.
            Err(why) => eprintln!("vigie: the catalogue in `{}` is left out: {why}", path.display()),
        }
    }
    Err(Fault::NoEdition { on, earliest })
}

/// Returns the edition that a bundle names, unless there is none. That it is what was signed is not checked yet: it is
/// for the one bundle that is used.
fn edition_of(path: &Path) -> Option<Edition> {
    let bytes = Bundle::open(path).ok()?.read(&format!("{RULES}{EDITION}"), MAX_EDITION_BYTES).ok()?;
    Edition::parse(std::str::from_utf8(&bytes).ok()?).ok()
}

/// Reads the catalogue that a bundle carries.
fn carried(path: &Path, edition: &Edition) -> Result<Catalogue, String> {
    let opened = Bundle::open(path).map_err(|error| in_full(&error))?;
    let report = opened.verify(&Roots::default()).map_err(|error| in_full(&error))?;
    if let Some(problem) = report.problems.first() {
        return Err(format!("the bundle was changed since it was signed, {problem}"));
    }
    let files = bundle::rules(&opened).map_err(|error| in_full(&error))?;
    let files = || files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    if fingerprint(files()) != edition.sha256 {
        return Err("its rules are not those of the edition that it names".to_owned());
    }
    Catalogue::read(files()).map_err(|error| error.to_string())
}

/// Finds bundles below a folder, in the order of their paths; a folder that cannot be read holds none.
fn bundles_below(folder: &Path, depth: u32, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 0 => bundles_below(&path, depth - 1, found),
            Ok(kind) if kind.is_file() && path.extension().is_some_and(|ending| ending == "wacz") => found.push(path),
            _ => {}
        }
    }
}
