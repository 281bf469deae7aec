//! An inspection in a few lines for a terminal: what was found, on what it rests, which text it engages.
//!
//! Only breaches are listed; the last line counts the rest. Colours help and never carry meaning alone. Words that come
//! from a page are printed without control characters, so that a label cannot move the cursor or turn the line around.

use crate::{evidence::Outcome, wire::Inspection};
use std::fmt::Write;
use vigie_domain::{Finding, Severity, Verdict, finding::EvidenceRef};

/// References that are listed under a finding; more are counted.
const MAX_REFERENCES: usize = 3;

/// Whether lines are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Paint {
    /// Plain text.
    #[default]
    Plain,
    /// With ANSI colours.
    Colour,
}

impl Paint {
    fn over(self, style: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Colour => format!("\x1b[{style}m{text}\x1b[0m"),
        }
    }
}

/// Returns the summary: breaches, gravest first, then one line on the whole. Every line ends with a line feed.
pub fn summary(document: &Inspection, paint: Paint) -> String {
    let mut text = String::new();
    if document.outcome == Outcome::Inspected {
        let mut breaches: Vec<&Finding> =
            document.findings.iter().filter(|finding| finding.verdict == Verdict::Breach).collect();
        breaches.sort_by_key(|finding| (finding.severity, finding.rule));
        for finding in breaches {
            write_finding(&mut text, finding, paint);
        }
    }
    text.push_str(&paint.over("1", &last_line(document)));
    text.push('\n');
    text
}

fn write_finding(text: &mut String, finding: &Finding, paint: Paint) {
    let style = match finding.severity {
        Severity::Blocking => "1;31",
        Severity::Major => "1;33",
        Severity::Minor => "33",
        Severity::Information => "36",
    };
    let head = paint.over(style, &format!("finding[{}]", finding.rule));
    let _ = writeln!(text, "{head}: {}", printable(&finding.summary));
    for reference in finding.evidence.iter().take(MAX_REFERENCES) {
        let _ = writeln!(text, "  evidence: {}", reference_line(reference));
    }
    let n_more = finding.evidence.len().saturating_sub(MAX_REFERENCES);
    if n_more > 0 {
        let _ = writeln!(text, "            and {n_more} more");
    }
    for source in &finding.sources {
        let _ = writeln!(text, "  source:   {}", printable(source));
    }
}

fn reference_line(reference: &EvidenceRef) -> String {
    let mut parts = vec![reference.visit.clone()];
    parts.extend(reference.event.map(|n| format!("event {n}")));
    parts.extend(reference.picture.clone());
    let place = parts.join(", ");
    let line = match &reference.what {
        Some(what) => format!("{what} ({place})"),
        None => place,
    };
    printable(&line)
}

fn last_line(document: &Inspection) -> String {
    let site = if document.site.host.is_empty() { &document.site.requested_url } else { &document.site.host };
    let site = printable(site);
    let why = document.why.as_deref().map_or(String::new(), |why| format!(": {}", printable(why.trim_end_matches('.'))));
    let seconds = document.elapsed_s.max(0.0).round() as u64;
    match document.outcome {
        Outcome::Inspected => format!("Visited {site} in {seconds} s: {}", counts(document)),
        Outcome::Blocked => format!("Did not get into {site}{why}; nothing is said about its banner"),
        Outcome::Unreachable => format!("Could not reach {site}{why}"),
        Outcome::Failed => format!("Broke off while inspecting {site}{why}; nothing is said about its banner"),
    }
}

fn counts(document: &Inspection) -> String {
    let n = |verdict| document.findings.iter().filter(|finding| finding.verdict == verdict).count();
    let findings = match n(Verdict::Breach) {
        1 => "1 finding".to_owned(),
        n => format!("{n} findings"),
    };
    let others = [
        (n(Verdict::Conform), "conform"),
        (n(Verdict::Inconclusive), "inconclusive"),
        (n(Verdict::NotApplicable), "not applicable"),
    ];
    let others = others.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}"));
    std::iter::once(findings).chain(others).collect::<Vec<_>>().join(", ")
}

/// Returns a text on one line, control characters and marks of reading direction shown by their number.
fn printable(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' | '\r' | '\t' => line.push(' '),
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                let _ = write!(line, "<U+{:04X}>", u32::from(letter));
            }
            control if control.is_control() => {
                let _ = write!(line, "<U+{:04X}>", u32::from(control));
            }
            other => line.push(other),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_summary_names_findings_gravest_first() {
        insta::assert_snapshot!(summary(&sample::document(), Paint::Plain));
    }

    #[test]
    fn colours_carry_no_meaning_of_their_own() {
        let document = sample::document();
        let mut coloured = summary(&document, Paint::Colour);
        assert!(coloured.contains("\x1b[1;31mfinding[CK-01]\x1b[0m"));
        for style in ["0", "1", "1;31", "1;33", "33", "36"] {
            coloured = coloured.replace(&format!("\x1b[{style}m"), "");
        }
        assert_eq!(coloured, summary(&document, Paint::Plain));
    }

    #[test]
    fn a_site_that_was_not_inspected_has_no_findings() {
        let mut document = sample::document();
        document.outcome = Outcome::Unreachable;
        document.why = Some("net::ERR_NAME_NOT_RESOLVED".into());
        assert_eq!(summary(&document, Paint::Plain), "Could not reach clips.example: net::ERR_NAME_NOT_RESOLVED\n");
    }

    #[test]
    fn a_label_cannot_command_the_terminal() {
        let mut document = sample::document();
        document.findings[1].summary = "the control “\x1b[2J\u{202e}yes\nno”".into();
        let text = summary(&document, Paint::Plain);
        assert!(text.contains("the control “<U+001B>[2J<U+202E>yes no”"), "{text}");
        assert!(!text.contains('\x1b'));
    }
}
