//! The files of a policy: `map.toml`, `zones.toml` and `policies/*.cedar` in one folder.

use crate::{fault::Fault, keep::in_full};
use std::{
    fs,
    path::{Path, PathBuf},
};
use vigie_policy::{Compiled, DataMap, Zones, compile, names::PolicyName};

/// Reads a data map: a file, or `map.toml` in a folder.
pub fn map_of(path: &Path) -> Result<DataMap, Fault> {
    let path = if path.is_dir() { path.join("map.toml") } else { path.to_owned() };
    DataMap::parse(&text_of(&path)?).map_err(|errors| unusable(&path, errors.to_string()))
}

/// Compiles the policy of a folder; what is wrong with it, in sentences, if something is.
///
/// # Errors
///
/// If a file cannot be read at all.
pub fn compiled(folder: &Path) -> Result<Result<Compiled, Vec<String>>, Fault> {
    let named =
        |file: &str, errors: String| -> Vec<String> { errors.lines().map(|line| format!("{file}: {line}")).collect() };
    let map = DataMap::parse(&text_of(&folder.join("map.toml"))?);
    let zones = Zones::parse(&text_of(&folder.join("zones.toml"))?);
    let policies = policies(&folder.join("policies"))?;
    let (map, zones) = match (map, zones) {
        (Ok(map), Ok(zones)) => (map, zones),
        (map, zones) => {
            let mut errors = Vec::new();
            errors.extend(map.err().map(|it| named("map.toml", it.to_string())).unwrap_or_default());
            errors.extend(zones.err().map(|it| named("zones.toml", it.to_string())).unwrap_or_default());
            return Ok(Err(errors));
        }
    };
    let compiled = compile(map, zones, &policies);
    Ok(compiled.map_err(|errors| errors.errors.iter().map(ToString::to_string).collect()))
}

/// Compiles the policy of a folder.
///
/// # Errors
///
/// If it does not compile.
pub fn must_compile(folder: &Path) -> Result<Compiled, Fault> {
    compiled(folder)?.map_err(|errors| {
        let first = errors.first().cloned().unwrap_or_default();
        Fault::UnusablePolicy {
            path: folder.to_owned(),
            why: first,
            help: format!("see all {} with `vigie policy check`", errors.len()),
        }
    })
}

/// Reads the policies of a folder, in order of their names.
fn policies(folder: &Path) -> Result<Vec<(PolicyName, String)>, Fault> {
    let entries = fs::read_dir(folder).map_err(|error| unusable(folder, in_full(&error)))?;
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| unusable(folder, in_full(&error)))?.path();
        if path.extension().is_some_and(|extension| extension == "cedar") {
            paths.push(path);
        }
    }
    paths.sort();
    let mut policies = Vec::new();
    for path in paths {
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let name = PolicyName::new(name).map_err(|error| unusable(&path, error.to_string()))?;
        policies.push((name, text_of(&path)?));
    }
    Ok(policies)
}

fn text_of(path: &Path) -> Result<String, Fault> {
    fs::read_to_string(path).map_err(|error| unusable(path, in_full(&error)))
}

fn unusable(path: &Path, why: String) -> Fault {
    Fault::UnusablePolicy {
        path: path.to_owned(),
        why,
        help: "a policy is a folder with `map.toml`, `zones.toml` and `policies/*.cedar`".to_owned(),
    }
}
