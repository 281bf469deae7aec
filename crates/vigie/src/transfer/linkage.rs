//! `vigie transfer linkage`: three steps that two sides take, each with files that the other may see.

use super::arguments::{LinkageCommand, LinkageOptions};
use super::{failed, fault, secret_of};
use crate::{
    arguments::Common,
    fault::Fault,
    gateway::private,
    inspect::{json_of, print_line},
    sample::{file_of, must_be_new},
};
use serde_json::json;
use std::path::Path;
use vigie_transfers::linkage::{Points, Secret};

/// From how small a probability on chance is no explanation. Ours.
const NOT_CHANCE: f64 = 0.001;

pub fn run(options: &LinkageOptions, common: &Common) -> Result<u8, Fault> {
    match &options.command {
        LinkageCommand::Blind { values, secret, out } => {
            let text = String::from_utf8(file_of(values)?);
            let text = text.map_err(|_| failed(format!("`{}` is no text in UTF-8", values.display())))?;
            let points = Secret::new(&secret_of(secret)?).blind(text.lines());
            write(out, &points)
        }
        LinkageCommand::Again { points, secret, out } => {
            let again = Secret::new(&secret_of(secret)?).again(&points_of(points)?);
            write(out, &again.map_err(|error| fault(&error))?)
        }
        LinkageCommand::Compare { first, second, population } => {
            let linkage = points_of(first)?.compare(&points_of(second)?, *population).map_err(|error| fault(&error))?;
            let linked = linkage.shared > 0 && linkage.probability < NOT_CHANCE;
            if common.json {
                let document = json!({ "schema": "transfer-linkage/1", "first": linkage.first, "second": linkage.second,
                    "shared": linkage.shared, "by_chance": linkage.by_chance, "probability": linkage.probability, "linked": linked });
                print_line(&json_of(&document)?);
            } else {
                print_line(&format!(
                    "{} of {} and {} values are shared; chance among {population} gives {:.1}, and as many or more with probability below {:.1e}",
                    linkage.shared, linkage.first, linkage.second, linkage.by_chance, linkage.probability
                ));
                print_line(if linked {
                    "finding[SH-11]: the two can be joined by these values"
                } else {
                    "no more than chance explains"
                });
            }
            Ok(u8::from(linked))
        }
    }
}

fn points_of(path: &Path) -> Result<Points, Fault> {
    let text = String::from_utf8_lossy(&file_of(path)?).into_owned();
    Points::parse(&text).map_err(|error| failed(format!("`{}` is no list of points: {error}", path.display())))
}

fn write(out: &Path, points: &Points) -> Result<u8, Fault> {
    must_be_new(out)?;
    private::file(out, points.to_string().as_bytes())?;
    print_line(&format!("{} points in {}", points.points.len(), out.display()));
    Ok(0)
}
