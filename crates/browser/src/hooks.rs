//! The script that watches from inside the page, and the messages it sends.

use serde::Deserialize;
use serde_json::json;

/// Returns the script with its settings filled in. `binding` is the name of the function through which it reports;
/// the script takes it away from the page before any of the page's own scripts run.
pub(crate) fn script(binding: &str, global_privacy_control: bool) -> String {
    let config = json!({"binding": binding, "gpc": global_privacy_control}).to_string();
    include_str!("hooks.js").replace("__VIGIE_CONFIG__", &config)
}

/// A message from the script. Anything that does not parse came from the page and is ignored.
#[derive(Debug, Deserialize)]
#[serde(tag = "k", rename_all = "lowercase")]
pub(crate) enum Report {
    /// The latest short timer is due in `due` milliseconds; 0 when none is.
    Timer { due: f64 },
    /// A script read cookies or storage.
    Read { api: String, script: Option<String> },
    /// A script wrote a cookie.
    Cookie { raw: String, stack: Vec<String> },
    /// A script used an interface that tells devices apart.
    Fp { api: String, script: Option<String>, calls: u32 },
    /// The page asked for its print dialog.
    Print,
}
