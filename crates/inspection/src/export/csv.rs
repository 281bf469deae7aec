//! Findings as CSV (RFC 4180), one a line.

use crate::wire::Inspection;

/// Returns the findings of inspections as CSV, with a head.
pub fn findings<'a>(documents: impl IntoIterator<Item = &'a Inspection>) -> String {
    let mut text = "host,requested_url,outcome,rule,title,verdict,severity,certainty,summary,bundle\r\n".to_owned();
    for document in documents {
        let bundle = document.evidence.as_ref().map_or("", |kept| kept.bundle.as_str());
        let outcome = word(&document.outcome);
        for finding in &document.findings {
            let fields = [
                document.site.host.as_str(),
                document.site.requested_url.as_str(),
                outcome.as_str(),
                &finding.rule.to_string(),
                &finding.title,
                &word(&finding.verdict),
                &word(&finding.severity),
                &word(&finding.certainty),
                &finding.summary,
                bundle,
            ];
            text.push_str(&fields.map(field).join(","));
            text.push_str("\r\n");
        }
    }
    text
}

/// Returns the word of a closed set as our JSON has it.
pub(super) fn word(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

/// Returns a field, quoted where it must be. What spreadsheets would take for a formula is kept from being one: labels
/// come from the inspected site.
fn field(value: &str) -> String {
    let value =
        if value.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{value}") } else { value.to_owned() };
    if value.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", value.replace('"', "\"\"")) } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_and_are_no_formulas() {
        let check = |value: &str, expected: &str| assert_eq!(field(value), expected);
        check("plain", "plain");
        check("a, b", "\"a, b\"");
        check("say \"no\"", "\"say \"\"no\"\"\"");
        check("=1+1", "'=1+1");
    }
}
