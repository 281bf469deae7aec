//! Progress on standard error, for a person at a terminal.

use indicatif::{ProgressBar, ProgressStyle};
use std::{io::IsTerminal, sync::Arc, time::Duration};
use vigie_inspection::inspect::{Progress, plan::Silent};

struct Spinner {
    bar: ProgressBar,
    host: String,
}

impl Progress for Spinner {
    fn doing(&self, what: &str) {
        self.bar.set_message(format!("{}: {}", self.host, in_words(what)));
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Returns whoever tells a person what is going on; nobody where no person watches.
pub fn watcher(host: &str, wanted: bool) -> Arc<dyn Progress> {
    if !wanted || !std::io::stderr().is_terminal() {
        return Arc::new(Silent);
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    Arc::new(Spinner { bar, host: host.to_owned() })
}

fn in_words(visit: &str) -> &str {
    match visit {
        "S0" => "opening the page and touching nothing",
        "S1" => "looking for the shortest way to refuse",
        "S2" => "looking for the shortest way to accept",
        "S3" => "accepting, then looking for the way to withdraw",
        "S4" => "opening the settings and saving them untouched",
        "S8" => "opening the page with the Global Privacy Control signal",
        other if other.starts_with("S5") => "leaving the banner without choosing",
        other if other.starts_with("S0") => "opening the page on another screen",
        _ => "trying the controls of the first layer",
    }
}
