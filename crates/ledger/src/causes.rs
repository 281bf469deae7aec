//! How an error is told to a person: with its causes, in one sentence.

/// Returns an error with its causes, each after a colon; what was said already is not said again, and the number that Rust
/// adds to the system's words is left out.
pub fn in_full(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| {
        let said = cause.to_string();
        if text.contains(&said) {
            text
        } else {
            format!("{text}: {}", said.split(" (os error").next().unwrap_or(&said))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Said(&'static str, #[source] Option<Box<dyn std::error::Error>>);

    #[test]
    fn causes_follow_one_another_without_repetition() {
        let system = std::io::Error::from_raw_os_error(2);
        let middle = Said("the map cannot be read", Some(Box::new(system)));
        let again = Said("the map cannot be read", Some(Box::new(middle)));
        let outer = Said("the policy is missing", Some(Box::new(again)));
        assert_eq!(in_full(&outer), "the policy is missing: the map cannot be read: No such file or directory");
    }
}
