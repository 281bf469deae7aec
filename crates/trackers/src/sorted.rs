//! Searching a sorted text of `key<TAB>rest` lines where it lies, without a copy or an index.

/// Returns what follows the tab on every line whose key is `key`, in order.
///
/// INVARIANT (sorted lines): `text` is sorted by bytes and ends with a line feed; `build.rs` writes it from ordered sets.
/// A tab sorts before every byte that a key may hold, so that sorting whole lines sorts by key.
pub fn lines_of<'t>(text: &'t str, key: &str) -> impl Iterator<Item = &'t str> {
    let start = first_not_below(text, key);
    let key = key.to_owned();
    text[start..].lines().map_while(move |line| line.strip_prefix(key.as_str())?.strip_prefix('\t'))
}

/// Returns the offset of the first line whose key is not below `key`.
fn first_not_below(text: &str, key: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut low, mut high) = (0, bytes.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let line_start = bytes[low..middle].iter().rposition(|&byte| byte == b'\n').map_or(low, |at| low + at + 1);
        let line_end = bytes[middle..].iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |at| middle + at);
        let line = &bytes[line_start..line_end];
        let line_key = line.split(|&byte| byte == b'\t').next().unwrap_or(line);
        if line_key < key.as_bytes() {
            low = (line_end + 1).min(bytes.len());
        } else {
            high = line_start;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::lines_of;

    const TEXT: &str = "a\t1\nab\t2\nab\t3\nabc\t4\nz\t5\n";

    #[track_caller]
    fn check(key: &str, expected: &[&str]) {
        assert_eq!(lines_of(TEXT, key).collect::<Vec<_>>(), expected, "{key}");
    }

    #[test]
    fn every_line_of_a_key_is_found_and_no_other() {
        check("a", &["1"]);
        check("ab", &["2", "3"]);
        check("abc", &["4"]);
        check("z", &["5"]);
        check("", &[]);
        check("aa", &[]);
        check("zz", &[]);
        assert_eq!(lines_of("", "a").count(), 0);
    }
}
