//! Prints what is detected in page snapshots: `cargo run -p vigie-banner --example detect -- [--full] FILE.json…`
//!
//! One line of JSON a file, for comparing with what is known of a site; `--full` prints the whole detection.

use serde_json::json;
use std::{env, fs, time::Instant};
use vigie_banner::{Lexicon, detect, preference_page, reopeners};
use vigie_domain::PageSnapshot;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (options, files): (Vec<_>, Vec<_>) = env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let lexicon = Lexicon::bundled();
    for file in files {
        let page: PageSnapshot = serde_json::from_str(&fs::read_to_string(&file)?)?;
        let start = Instant::now();
        let detection = detect(&page, lexicon);
        let took = start.elapsed();
        let reopen = reopeners(&page, lexicon, &detection.surfaces);
        let form = preference_page(&page, lexicon);
        let name = file.rsplit('/').next().unwrap_or(&file);
        let line = if options.is_empty() {
            let surface = |surface: &vigie_banner::Surface| {
                json!({
                    "place": surface.place, "language": surface.language, "cmp": surface.cmp, "text": surface.text,
                    "blocks": surface.blocks_page, "confidence": surface.confidence, "root": surface.root,
                    "rect": [surface.rect.x, surface.rect.y, surface.rect.w, surface.rect.h],
                    "purposes": surface.purposes.iter().map(|one| json!([one.purpose, one.words])).collect::<Vec<_>>(),
                    "controls": surface.controls.iter().map(|one| json!({
                        "label": one.label, "role": one.role, "sure": one.confidence, "vague": one.vague,
                        "reach": one.in_reach, "icon": one.icon_only, "in_text": one.in_text, "href": one.href,
                        "shape": one.look.shape, "contrast": one.look.text_contrast,
                    })).collect::<Vec<_>>(),
                    "switches": surface.switches.iter().map(|one| json!({
                        "label": one.label, "on": one.on, "exempt": one.exempt, "purpose": one.purpose,
                        "group": one.choice_of, "allows": one.allows, "disabled": one.disabled,
                        "li": one.legitimate_interest, "elsewhere": one.click != one.node,
                    })).collect::<Vec<_>>(),
                })
            };
            json!({
                "file": name, "nodes": page.nodes.len(), "took_us": took.as_micros(),
                "surfaces": detection.surfaces.iter().map(surface).collect::<Vec<_>>(),
                "rejected": detection.rejected, "form": form.as_ref().map(surface),
                "reopeners": reopen.iter().map(|one| json!([one.label, one.confidence, one.href])).collect::<Vec<_>>(),
            })
        } else {
            json!({ "file": name, "detection": detection, "reopeners": reopen, "form": form })
        };
        println!("{line}");
    }
    Ok(())
}
