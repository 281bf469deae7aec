//! Writes rows as `COPY … TO STDOUT` would: the gateway runs the query itself, because what COPY sends has no origins.
//!
//! # Source
//!
//! PostgreSQL 15 documentation, COPY, "File Formats"; `CopyAttributeOutText` and `CopyAttributeOutCSV` for the corners.

/// How rows are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyFormat {
    /// COPY's text format.
    Text {
        /// Between columns.
        delimiter: u8,
        /// For NULL.
        null: Vec<u8>,
    },
    /// Comma-separated values.
    Csv {
        /// Between columns.
        delimiter: u8,
        /// For NULL.
        null: Vec<u8>,
        /// Around values that need it.
        quote: u8,
        /// Before a quote within a value.
        escape: u8,
    },
}

impl CopyFormat {
    /// Returns the text format with its defaults.
    pub fn text() -> Self {
        Self::Text { delimiter: b'\t', null: b"\\N".to_vec() }
    }

    /// Returns CSV with its defaults.
    pub fn csv() -> Self {
        Self::Csv { delimiter: b',', null: Vec::new(), quote: b'"', escape: b'"' }
    }

    /// Writes a row with its line end. The values are in text format, in UTF-8.
    pub fn push_row<'value>(&self, columns: impl ExactSizeIterator<Item = Option<&'value [u8]>>, out: &mut Vec<u8>) {
        let single = columns.len() == 1;
        for (at, value) in columns.enumerate() {
            match self {
                Self::Text { delimiter, null } => {
                    if at > 0 {
                        out.push(*delimiter);
                    }
                    match value {
                        None => out.extend_from_slice(null),
                        Some(value) => push_text(value, *delimiter, out),
                    }
                }
                Self::Csv { delimiter, null, quote, escape } => {
                    if at > 0 {
                        out.push(*delimiter);
                    }
                    match value {
                        None => out.extend_from_slice(null),
                        Some(value) => {
                            let special = |byte: &u8| [*delimiter, *quote, b'\n', b'\r'].contains(byte);
                            let quoted =
                                value == null.as_slice() || value.iter().any(special) || (single && value == b"\\.");
                            push_csv(value, quoted, *quote, *escape, out);
                        }
                    }
                }
            }
        }
        out.push(b'\n');
    }
}

fn push_text(value: &[u8], delimiter: u8, out: &mut Vec<u8>) {
    for byte in value {
        let escaped = match byte {
            b'\\' => b'\\',
            8 => b'b',
            12 => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            11 => b'v',
            byte if *byte == delimiter => *byte,
            byte => {
                out.push(*byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', escaped]);
    }
}

fn push_csv(value: &[u8], quoted: bool, quote: u8, escape: u8, out: &mut Vec<u8>) {
    if !quoted {
        out.extend_from_slice(value);
        return;
    }
    out.push(quote);
    for byte in value {
        if *byte == quote || *byte == escape {
            out.push(escape);
        }
        out.push(*byte);
    }
    out.push(quote);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(format: &CopyFormat, columns: &[Option<&str>]) -> String {
        let mut out = Vec::new();
        format.push_row(columns.iter().map(|column| column.map(str::as_bytes)), &mut out);
        String::from_utf8(out).expect("what went in was text")
    }

    #[test]
    fn text_is_escaped_as_copy_does() {
        let text = CopyFormat::text();
        assert_eq!(row(&text, &[Some("a\tb"), None, Some("c\\d\n"), Some("")]), "a\\tb\t\\N\tc\\\\d\\n\t\n");
        let piped = CopyFormat::Text { delimiter: b'|', null: Vec::new() };
        assert_eq!(row(&piped, &[Some("a|b"), None]), "a\\|b|\n");
    }

    #[test]
    fn csv_quotes_what_would_be_misread() {
        let csv = CopyFormat::csv();
        assert_eq!(row(&csv, &[Some("plain"), None, Some(""), Some("a,\"b\"\n")]), "plain,,\"\",\"a,\"\"b\"\"\n\"\n");
        assert_eq!(row(&csv, &[Some("\\.")]), "\"\\.\"\n");
    }
}
