//! Heads of HTTP messages, made from what a browser reports and safe whatever a page put into them.
//!
//! The browser hands over decoded bodies and, for HTTP/2 and 3, heads that never had a textual form. The heads made here
//! are HTTP/1.1 and fit the body that follows: what the server said of encoding and length is kept under another name
//! (`x-orig-content-encoding`), as browser-based crawlers do. The browser's own account of the headers belongs in a
//! record of the caller's; this is the form that players replay.

/// Headers that describe how the body travelled, which is not how it is stored.
const OF_TRANSPORT: [&str; 2] = ["content-encoding", "transfer-encoding"];

/// Returns the head of a request, with the empty line.
///
/// `target` is the path and query as `url::Url` writes them, which has no spaces or controls.
pub(crate) fn request_head(
    method: &str,
    target: &str,
    host: &str,
    headers: &[(String, String)],
    body: Option<u64>,
) -> Vec<u8> {
    let mut head = format!("{} {target} HTTP/1.1\r\n", token(method)).into_bytes();
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        push(&mut head, "Host", host);
    }
    push_headers(&mut head, headers, body);
    head
}

/// Returns the head of a response, with the empty line. `body` is the length of what follows, if that is known.
pub(crate) fn response_head(status: u16, text: &str, headers: &[(String, String)], body: Option<u64>) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {:03} {}", status.min(999), value(text)).trim_end().as_bytes().to_vec();
    head.extend(b"\r\n");
    push_headers(&mut head, headers, body);
    head
}

/// Appends headers and the empty line. With a known body, its length replaces what the server said.
fn push_headers(head: &mut Vec<u8>, headers: &[(String, String)], body: Option<u64>) {
    let length = body.map(|bytes| bytes.to_string());
    let mut says_length = false;
    for (name, values) in headers {
        // `:status`, `:path` and the like are the first line of an HTTP/1.1 head.
        if name.starts_with(':') {
            continue;
        }
        let lower = name.to_ascii_lowercase();
        for one in values.split(['\n', '\r']).filter(|line| !line.is_empty() || values.is_empty()) {
            if OF_TRANSPORT.contains(&lower.as_str()) {
                push(head, &format!("x-orig-{lower}"), one);
            } else if lower == "content-length" && length.as_deref().is_some_and(|length| length != one.trim()) {
                push(head, "x-orig-content-length", one);
            } else if lower == "content-length" && says_length {
                // Said twice, and the same: once is enough.
            } else {
                says_length |= lower == "content-length";
                push(head, &token(name), one);
            }
        }
    }
    if let Some(length) = length.filter(|_| !says_length) {
        push(head, "content-length", &length);
    }
    head.extend(b"\r\n");
}

fn push(head: &mut Vec<u8>, name: &str, text: &str) {
    head.extend(name.as_bytes());
    head.extend(b": ");
    head.extend(value(text).as_bytes());
    head.extend(b"\r\n");
}

/// Returns the text as a token (RFC 9110 §5.6.2): any other character becomes `_`, and nothing becomes `_`.
pub(crate) fn token(text: &str) -> String {
    let kept = |c: char| if c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c) { c } else { '_' };
    if text.is_empty() { "_".to_owned() } else { text.chars().map(kept).collect() }
}

/// Returns the text on one line, without controls: each becomes a space.
///
/// Line breaks of Unicode go too, for readers that split decoded text.
pub(crate) fn value(text: &str) -> String {
    let kept = |c: char| if c.is_control() || ['\u{2028}', '\u{2029}'].contains(&c) { ' ' } else { c };
    text.chars().map(kept).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn check(list: &[(&str, &str)], body: Option<u64>, expected: &str) {
        let head = response_head(200, "OK", &headers(list), body);
        assert_eq!(String::from_utf8(head).unwrap(), format!("HTTP/1.1 200 OK\r\n{expected}\r\n"));
    }

    #[test]
    fn encodings_are_kept_under_another_name_and_the_length_is_right() {
        check(
            &[("Content-Encoding", "br"), ("content-length", "10"), ("Transfer-Encoding", "chunked"), ("Vary", "x")],
            Some(25),
            "x-orig-content-encoding: br\r\nx-orig-content-length: 10\r\nx-orig-transfer-encoding: chunked\r\nVary: x\r\n\
             content-length: 25\r\n",
        );
        check(&[("content-length", "25"), ("content-length", "25")], Some(25), "content-length: 25\r\n");
        check(&[("content-length", "7")], None, "content-length: 7\r\n");
    }

    #[test]
    fn several_headers_in_one_value_are_written_apart() {
        check(&[("set-cookie", "a=1\nb=2")], None, "set-cookie: a=1\r\nset-cookie: b=2\r\n");
    }

    #[test]
    fn a_value_cannot_end_its_line_or_the_head() {
        check(&[("a", "x\r\n\r\n<script>\0\u{85}y")], None, "a: x\r\na: <script>  y\r\n");
        check(&[("a: b\r\nc", "d")], None, "a__b__c: d\r\n");
        check(&[("", ""), (":status", "200")], None, "_: \r\n");
        let head = response_head(200, "OK\r\nx: y", &[], None);
        assert_eq!(head, b"HTTP/1.1 200 OK  x: y\r\n\r\n");
    }
}
