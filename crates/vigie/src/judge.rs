//! `vigie judge`: the same findings, from the evidence alone.

use crate::{
    arguments::{Common, JudgeOptions},
    fault::Fault,
    inspect,
};
use vigie_inspection::evidence::Evidence;

/// Judges kept evidence again and prints the findings.
pub fn run(options: &JudgeOptions, common: &Common) -> Result<u8, Fault> {
    let path = options.folder.join("evidence.json");
    let unusable = |why: String| Fault::Evidence { path: path.clone(), why };
    let bytes = std::fs::read(&path).map_err(|error| unusable(error.to_string()))?;
    let evidence: Evidence = serde_json::from_slice(&bytes).map_err(|error| unusable(error.to_string()))?;
    let name = options.folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    inspect::print_judgement(&evidence, &bytes, &name, common)
}
