//! Which tables are exported, with which columns.
//!
//! Other people's scripts read these: a column is added freely, and renamed or removed only with a word in the
//! changelog. Every table names the site by its address and the repeat by its number, so that they join on both.

/// What a column holds. Every value may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text in UTF-8.
    Text,
    /// A whole number of 64 bits.
    Integer,
    /// A number of 64 bits.
    Real,
    /// Yes or no.
    Boolean,
    /// Milliseconds since 1970 began, in UTC.
    Moment,
}

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Where it comes from.
    sql: &'static str,
}

/// A table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// Its name, and that of its file.
    pub name: &'static str,
    /// Its columns, in order.
    pub columns: &'static [Column],
    from: &'static str,
}

impl Table {
    pub(super) fn statement(&self) -> String {
        let columns: Vec<&str> = self.columns.iter().map(|column| column.sql).collect();
        format!("SELECT {} FROM {}", columns.join(", "), self.from)
    }
}

const fn column(name: &'static str, kind: Kind, sql: &'static str) -> Column {
    Column { name, kind, sql }
}

const URL: Column = column("url", Kind::Text, "url");
const REPEAT: Column = column("repeat", Kind::Integer, "repeat");

/// The tables.
pub const TABLES: &[Table] = &[
    Table {
        name: "sites",
        columns: &[
            URL,
            REPEAT,
            column("domain", Kind::Text, "domain"),
            column("country", Kind::Text, "country"),
            column("tags", Kind::Text, "(SELECT group_concat(tag, ';') FROM tags WHERE tags.site = sites.site)"),
            column("state", Kind::Text, "state"),
            column("outcome", Kind::Text, "outcome"),
            column("why", Kind::Text, "why"),
            column("attempts", Kind::Integer, "jobs.attempts"),
            column("finished_at", Kind::Moment, "finished_ms"),
            column("elapsed_s", Kind::Real, "elapsed_s"),
            column("final_url", Kind::Text, "final_url"),
            column("banner_seen", Kind::Boolean, "banner_seen"),
            column("cmp", Kind::Text, "cmp"),
            column("language", Kind::Text, "language"),
            column("accept_first_layer", Kind::Boolean, "accept_first_layer"),
            column("refuse_first_layer", Kind::Boolean, "refuse_first_layer"),
            column("settings_first_layer", Kind::Boolean, "settings_first_layer"),
            column("close_first_layer", Kind::Boolean, "close_first_layer"),
            column("preticked", Kind::Integer, "preticked"),
            column("asked_before_choice", Kind::Boolean, "asked_before_choice"),
            column("stored_before_choice", Kind::Boolean, "stored_before_choice"),
            column("bundle", Kind::Text, "bundle"),
            column("bundle_sha256", Kind::Text, "bundle_sha256"),
        ],
        from: "jobs JOIN sites USING (site) LEFT JOIN (SELECT job, outcome, why, finished_ms, elapsed_s, final_url,
               banner_seen, cmp, language, accept_first_layer, refuse_first_layer, settings_first_layer,
               close_first_layer, preticked, asked_before_choice, stored_before_choice, bundle, bundle_sha256
               FROM results) USING (job) ORDER BY site, repeat",
    },
    Table {
        name: "clicks",
        columns: &[
            URL,
            REPEAT,
            column("accept", Kind::Integer, "clicks_accept"),
            column("refuse", Kind::Integer, "clicks_refuse"),
            column("withdraw", Kind::Integer, "clicks_withdraw"),
        ],
        from: "results JOIN sites USING (site) WHERE outcome = 'inspected' ORDER BY site, repeat",
    },
    Table {
        name: "findings",
        columns: &[
            URL,
            REPEAT,
            column("rule", Kind::Text, "rule"),
            column("title", Kind::Text, "title"),
            column("verdict", Kind::Text, "verdict"),
            column("severity", Kind::Text, "severity"),
            column("certainty", Kind::Text, "certainty"),
            column("summary", Kind::Text, "summary"),
        ],
        from: "findings JOIN results USING (job) JOIN sites USING (site) ORDER BY job, rule",
    },
    Table {
        name: "trackers",
        columns: &[
            URL,
            REPEAT,
            column("visit", Kind::Text, "visit"),
            column("host", Kind::Text, "trackers.host"),
            column("requests", Kind::Integer, "requests"),
            column("class", Kind::Text, "class"),
            column("why", Kind::Text, "trackers.why"),
        ],
        from: "trackers JOIN results USING (job) JOIN sites USING (site) ORDER BY job, visit, trackers.host",
    },
    Table {
        name: "cookies",
        columns: &[
            URL,
            REPEAT,
            column("visit", Kind::Text, "visit"),
            column("name", Kind::Text, "name"),
            column("domain", Kind::Text, "cookies.domain"),
            column("path", Kind::Text, "path"),
            column("party", Kind::Text, "party"),
            column("http_only", Kind::Boolean, "http_only"),
            column("lifetime_s", Kind::Real, "lifetime_s"),
            column("set_by", Kind::Text, "set_by"),
            column("blocked", Kind::Text, "blocked"),
            column("class", Kind::Text, "class"),
            column("exempt", Kind::Boolean, "exempt"),
            column("why", Kind::Text, "cookies.why"),
        ],
        from: "cookies JOIN results USING (job) JOIN sites USING (site) ORDER BY job, visit, name, cookies.domain, path",
    },
];
