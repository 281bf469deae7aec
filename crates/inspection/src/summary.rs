//! An inspection in a few lines for a terminal: what was found, on what it rests, which text it engages.
//!
//! Only breaches are listed; the last line counts the rest. Colours help and never carry meaning alone. Words that come
//! from a page are printed without control characters, so that a label cannot move the cursor or turn the line around.

use crate::{evidence::Outcome, report::is_judged, wire::Inspection};
use std::fmt::Write;
use vigie_domain::{Finding, Severity, Verdict, finding::EvidenceRef};

/// References and sources that are listed under a finding; more are counted. The report has them all.
const MAX_LINES: usize = 2;

/// Whether lines are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Paint {
    /// Plain text.
    #[default]
    Plain,
    /// With ANSI colours.
    Color,
}

impl Paint {
    fn over(self, style: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Color => format!("\x1b[{style}m{text}\x1b[0m"),
        }
    }
}

/// Returns the summary: breaches, gravest first, then one line on the whole. The last line has no line feed.
pub fn render(document: &Inspection, paint: Paint) -> String {
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
    write_lines(text, "evidence", finding.evidence.iter().map(reference_line));
    write_lines(text, "source", finding.sources.iter().map(|source| printable(source)));
}

fn write_lines(text: &mut String, title: &str, lines: impl ExactSizeIterator<Item = String>) {
    let n_more = lines.len().saturating_sub(MAX_LINES);
    for (index, line) in lines.take(MAX_LINES).enumerate() {
        let more = if n_more > 0 && index + 1 == MAX_LINES { format!(" (and {n_more} more)") } else { String::new() };
        let _ = writeln!(text, "  {:<9} {line}{more}", format!("{title}:"));
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
    let why =
        document.why.as_deref().map_or(String::new(), |why| format!(": {}", printable(why.trim_end_matches('.'))));
    let seconds = document.elapsed_s.max(0.0).round() as u64;
    match document.outcome {
        Outcome::Inspected => format!("Visited {site} in {seconds} s: {}", counts(document)),
        Outcome::Blocked => format!("Did not get into {site}{why}; nothing is said about its banner"),
        Outcome::Unreachable => format!("Could not reach {site}{why}"),
        Outcome::Failed => format!("Broke off while inspecting {site}{why}; nothing is said about its banner"),
    }
}

fn counts(document: &Inspection) -> String {
    let n = |wanted: &dyn Fn(&Finding) -> bool| document.findings.iter().filter(|finding| wanted(finding)).count();
    let n_of = |verdict| n(&|finding| is_judged(finding) && finding.verdict == verdict);
    let say = |counts: Vec<(usize, &str)>| {
        let said = counts.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}"));
        said.collect::<Vec<_>>().join(", ")
    };
    let n_breaches = n_of(Verdict::Breach);
    let of = |severity| n(&|finding| finding.verdict == Verdict::Breach && finding.severity == severity);
    let severities = say(vec![
        (of(Severity::Blocking), "blocking"),
        (of(Severity::Major), "major"),
        (of(Severity::Minor), "minor"),
        (of(Severity::Information), "information"),
    ]);
    let findings = match n_breaches {
        0 => "no findings".to_owned(),
        1 => format!("1 finding ({severities})"),
        n => format!("{n} findings ({severities})"),
    };
    let others = say(vec![
        (n_of(Verdict::Conform), "conform"),
        (n_of(Verdict::Inconclusive), "inconclusive"),
        (n_of(Verdict::NotApplicable), "not applicable"),
        (n(&|finding| !is_judged(finding)), "not judged"),
    ]);
    if others.is_empty() { findings } else { format!("{findings}; {others}") }
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
        insta::assert_snapshot!(render(&sample::document(), Paint::Plain));
    }

    #[test]
    fn colours_carry_no_meaning_of_their_own() {
        let document = sample::document();
        let mut coloured = render(&document, Paint::Color);
        assert!(coloured.contains("\x1b[1;31mfinding[CK-01]\x1b[0m"));
        for style in ["0", "1", "1;31", "1;33", "33", "36"] {
            coloured = coloured.replace(&format!("\x1b[{style}m"), "");
        }
        assert_eq!(coloured, render(&document, Paint::Plain));
    }

    #[test]
    fn a_site_that_was_not_inspected_has_no_findings() {
        let mut document = sample::document();
        document.outcome = Outcome::Unreachable;
        document.why = Some("net::ERR_NAME_NOT_RESOLVED".into());
        assert_eq!(render(&document, Paint::Plain), "Could not reach clips.example: net::ERR_NAME_NOT_RESOLVED");
    }

    #[test]
    fn a_label_cannot_command_the_terminal() {
        let mut document = sample::document();
        document.findings[1].summary = "the control “\x1b[2J\u{202e}yes\nno”".into();
        let text = render(&document, Paint::Plain);
        assert!(text.contains("the control “<U+001B>[2J<U+202E>yes no”"), "{text}");
        assert!(!text.contains('\x1b'));
    }
}
