//! Findings as JUnit XML, as continuous integration shows it: a suite a site, a case a rule.
//!
//! A breach is a failure; a known one, and what could not be told, is skipped, so that it is seen and does not fail.

use super::Baseline;
use crate::wire::Inspection;
use std::fmt::Write as _;
use vigie_domain::{RuleId, Verdict};

/// Returns the findings of inspections as one JUnit document.
pub fn document(documents: &[Inspection], rules: &[RuleId], baseline: &Baseline) -> String {
    let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"vigie\">\n".to_owned();
    for inspection in documents {
        suite(&mut text, inspection, rules, baseline);
    }
    text.push_str("</testsuites>\n");
    text
}

fn suite(text: &mut String, inspection: &Inspection, rules: &[RuleId], baseline: &Baseline) {
    let host = escaped(&inspection.site.host);
    let failing = super::failing(inspection, rules, baseline);
    let is_failing = |rule: RuleId| failing.iter().any(|finding| finding.rule == rule);
    let skipped =
        inspection.findings.iter().filter(|finding| !is_failing(finding.rule) && finding.verdict != Verdict::Conform);
    let _ = writeln!(
        text,
        "  <testsuite name=\"{host}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\" time=\"{:.3}\">",
        inspection.findings.len(),
        failing.len(),
        skipped.count(),
        inspection.elapsed_s
    );
    for finding in &inspection.findings {
        let name = escaped(&format!("{} {}", finding.rule, finding.title));
        let _ = write!(text, "    <testcase classname=\"{host}\" name=\"{name}\" time=\"0\"");
        let summary = escaped(&finding.summary);
        let _ = match finding.verdict {
            Verdict::Conform => writeln!(text, "/>"),
            Verdict::Breach if is_failing(finding.rule) => {
                let sources = escaped(&finding.sources.join("\n"));
                let severity = super::csv::word(&finding.severity);
                writeln!(
                    text,
                    ">\n      <failure type=\"{severity}\" message=\"{summary}\">{sources}</failure>\n    </testcase>"
                )
            }
            Verdict::Breach => skip(text, &format!("a breach that is known or not asked for: {summary}")),
            Verdict::NotApplicable => skip(text, &format!("not applicable: {summary}")),
            Verdict::Inconclusive => skip(text, &format!("inconclusive: {summary}")),
        };
    }
    text.push_str("  </testsuite>\n");
}

fn skip(text: &mut String, message: &str) -> std::fmt::Result {
    writeln!(text, ">\n      <skipped message=\"{message}\"/>\n    </testcase>")
}

/// Returns text as XML takes it, in attributes too. Characters that XML 1.0 has no way to write are replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push(' '),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_site_says_cannot_break_out() {
        assert_eq!(escaped("\"><x>&\u{1}"), "&quot;&gt;&lt;x&gt;&amp;\u{fffd}");
    }
}
