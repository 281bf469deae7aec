//! Why there is no answer.

use tokio_postgres::error::SqlState;

/// Why an operation on choices has no answer. Unless it says otherwise, nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ChoicesError {
    /// The server did not do it.
    #[error("{doing} failed")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// What the server, or the connection, says.
        #[source]
        source: tokio_postgres::Error,
    },
    /// The schema refuses it, in its own words.
    #[error("{message}")]
    Refused {
        /// Why.
        message: String,
        /// The way out.
        hint: Option<String>,
    },
    /// There is no schema `vigie`.
    #[error("the database has no schema `vigie` with choices")]
    NotInstalled,
    /// The installed schema is newer.
    #[error("the schema `vigie` has version {found}; this program knows up to {known}")]
    Newer {
        /// The version found.
        found: i32,
        /// The newest that this program knows.
        known: i32,
    },
    /// Somebody else owns the schema.
    #[error("the schema `vigie` belongs to role `{owner}`, not to `{current}`")]
    Owner {
        /// To whom it belongs.
        owner: String,
        /// Who asks.
        current: String,
    },
    /// Row-level security would hide rows from the owner.
    #[error("role `{0}` is bound by row-level security, so it could not reach every row whose mask must change")]
    BoundByRowSecurity(String),
    /// The owner could not see when old readers are gone.
    #[error("role `{0}` may not see the snapshots of other sessions, so nothing could ever leave the stop set")]
    BlindToSnapshots(String),
    /// The map is of another deployment.
    #[error("the schema `vigie` was installed for the data map `{installed}`, not for `{wanted}`")]
    OtherMap {
        /// That of the database.
        installed: String,
        /// That of the file.
        wanted: String,
    },
    /// The type of a person's id changed.
    #[error("people have ids of type `{installed}` in schema `vigie`, and of {wanted} type in the data map")]
    OtherSubjectType {
        /// That of the database.
        installed: String,
        /// That of the map.
        wanted: String,
    },
    /// A bit changed its meaning.
    #[error("bit {bit} stands for purpose `{installed}`, the data map gives it to `{wanted}`")]
    BitTaken {
        /// The bit.
        bit: i16,
        /// Its purpose.
        installed: String,
        /// The purpose of the map.
        wanted: String,
    },
    /// A purpose changed its bit.
    #[error("purpose `{purpose}` has bit {installed}, the data map gives it bit {wanted}")]
    PurposeMoved {
        /// The purpose.
        purpose: String,
        /// Its bit.
        installed: i16,
        /// That of the map.
        wanted: i16,
    },
    /// A governed table is not as the map says.
    #[error("table `{table}` {what}")]
    Table {
        /// Which.
        table: String,
        /// What is wrong.
        what: String,
        /// The way out.
        help: String,
    },
    /// A person's id of the wrong type.
    #[error("the id given for a person is not of type `{expected}`")]
    NotASubject {
        /// The type.
        expected: &'static str,
    },
}

impl ChoicesError {
    /// Returns the way out, where there is one to tell.
    pub fn help(&self) -> Option<String> {
        let fixed = match self {
            Self::Refused { hint, .. } => return hint.clone(),
            Self::Table { help, .. } => return Some(help.clone()),
            Self::BlindToSnapshots(role) => return Some(format!("GRANT pg_read_all_stats TO \"{role}\"")),
            Self::BoundByRowSecurity(role) => {
                return Some(format!("ALTER ROLE \"{role}\" BYPASSRLS, or install as another role"));
            }
            Self::Owner { owner, .. } => return Some(format!("connect as `{owner}`")),
            Self::Database { source, .. } => {
                return source.as_db_error().and_then(|error| error.hint().map(str::to_owned));
            }
            Self::NotInstalled => "run `vigie choices install` first",
            Self::Newer { .. } => "upgrade this program",
            Self::OtherMap { .. } => "one database serves one data map; name another database, or correct `name`",
            Self::OtherSubjectType { .. } => "the type of ids cannot change; correct `subject_type`",
            Self::BitTaken { .. } | Self::PurposeMoved { .. } => {
                "a bit is never used again, because old choices would be read as new ones; take a bit that is free"
            }
            Self::NotASubject { .. } => "see `subject_type` in the data map",
        };
        Some(fixed.to_owned())
    }
}

/// Says what was being done when the server did not do it.
pub(crate) trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, ChoicesError>;
}

impl<T> Doing<T> for Result<T, tokio_postgres::Error> {
    fn doing(self, doing: &'static str) -> Result<T, ChoicesError> {
        self.map_err(|source| {
            // What our own functions raise reads as a sentence of its own, and so does what a CHECK of a ticket refuses.
            let ours = source.as_db_error().filter(|error| {
                let raised = error.routine() == Some("exec_stmt_raise");
                raised || (*error.code() == SqlState::CHECK_VIOLATION && error.schema() == Some("vigie"))
            });
            match ours {
                Some(error) => ChoicesError::Refused {
                    message: error.constraint().map_or_else(|| error.message().to_owned(), in_words),
                    hint: error.hint().map(str::to_owned),
                },
                None => ChoicesError::Database { doing, source },
            }
        })
    }
}

/// Says which rule a CHECK keeps.
fn in_words(constraint: &str) -> String {
    let rule = match constraint {
        "approver_is_another" => "a ticket is approved by somebody other than its requester",
        "second_approver_is_a_third" => "the second approver is neither the requester nor the first approver",
        "reviewer_is_another" => "a use of break-glass is reviewed by somebody other than its requester",
        "expiry_is_ahead" => "a ticket ends in the future",
        "expiry_is_near" => "a ticket lasts at most 30 days, and one of break-glass at most 24 hours",
        "wording_words_check" => "the words shown have 1 to 20,000 characters",
        other => return format!("what was given breaks the rule `{other}`"),
    };
    rule.to_owned()
}
