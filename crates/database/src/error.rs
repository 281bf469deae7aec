//! Why there is no answer.

use vigie_policy::{lint::Lint, names::NameError};

/// Why an operation on the live database has no answer. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The address cannot be read. It is not repeated, since it may hold a password.
    #[error("the address of the database cannot be read: {0}")]
    Address(String),
    /// No connection.
    #[error("no connection to the database at {host}")]
    Connect {
        /// Host and port.
        host: String,
        /// Why.
        #[source]
        source: tokio_postgres::Error,
    },
    /// The certificates that are trusted cannot be read.
    #[error("the certificates in `{path}` cannot be read: {why}")]
    Roots {
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
    /// A database elsewhere, and nothing to know it by.
    #[error(
        "the database at {0} is not on this machine, and no certificate authority is named that would vouch for it"
    )]
    Untrusted(String),
    /// The server did not do it.
    #[error("{doing} failed")]
    Server {
        /// What was being done.
        doing: &'static str,
        /// What the server, or the connection, says.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A name in the catalog that no map could hold.
    #[error("the catalog holds a name that cannot be written down")]
    Name(#[from] NameError),
    /// A word in the catalog that this program does not know.
    #[error("the catalog says `{0}`, which this program does not know")]
    Word(String),
    /// Something in the database would let readers walk around the policy.
    #[error("the database undermines the data map: {}", .0.first().map_or(String::new(), ToString::to_string))]
    Breaches(Vec<Lint>),
    /// The schema of choices is missing.
    #[error("no choices are installed in this database, so no mask would follow what people say")]
    NoChoices,
    /// Masks that were not written yet.
    #[error("masks of {} were not all written yet, so they may show what nobody permitted", .0.join(", "))]
    Unready(Vec<String>),
    /// The SQL of the policy is not of the form that is run in a transaction.
    #[error("the SQL of the policy does not begin and end its transaction where expected")]
    NotOneTransaction,
}

impl DatabaseError {
    /// Returns the way out, where there is one to tell.
    pub fn help(&self) -> Option<String> {
        let fixed = match self {
            Self::Server { source, .. } => {
                return source.as_db_error().and_then(|error| error.hint().map(str::to_owned));
            }
            Self::Address(_) => "write it as `host=… port=… user=… dbname=…`; a password is read from PGPASSWORD",
            Self::Connect { .. } => "check that the server runs, and that `pg_hba.conf` lets this role in",
            Self::Roots { .. } => "name a file of certificates in PEM",
            Self::Untrusted(_) => "name the authority with --database-ca FILE or VIGIE_DATABASE_CA",
            Self::Breaches(_) => "see `vigie policy lint` for all of them",
            Self::NoChoices => "run `vigie choices install` first",
            Self::Unready(_) => "run `vigie choices work-off`",
            Self::Name(_) | Self::Word(_) | Self::NotOneTransaction => return None,
        };
        Some(fixed.to_owned())
    }
}

/// Says what was being done when the server did not do it.
pub(crate) trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, DatabaseError>;
}

impl<T> Doing<T> for Result<T, tokio_postgres::Error> {
    fn doing(self, doing: &'static str) -> Result<T, DatabaseError> {
        self.map_err(|source| DatabaseError::Server { doing, source })
    }
}
