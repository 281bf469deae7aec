//! Reading back what a person chose, and recording it under an event of the ledger.
//!
//! Out of scope: the ledger itself (`consent`), and who may read whose choices.

use crate::{Choices, ChoicesError, Evidence, State, Subject, error::Doing as _};
use tokio_postgres::{GenericClient, Row};

/// The moment of a column, in UTC, as RFC 3339 writes it.
macro_rules! moment {
    ($column:literal) => {
        concat!("to_char(", $column, " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
    };
}

/// What holds of a purpose and a recipient for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The purpose, by its name in the data map.
    pub purpose: String,
    /// Its term in a vocabulary, for instance `dpv:Marketing`.
    pub term: String,
    /// Its legal basis, in the word of the data map.
    pub basis: String,
    /// To whom data may go; empty for the operator itself.
    pub recipient: String,
    /// Whether it is permitted now: choices, orders and beginnings together.
    pub permitted: bool,
    /// What the person said last; nothing if never asked.
    pub said: Option<Recorded>,
}

/// What a person said once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its number in the history; 0 where it was read as what holds now.
    pub number: i64,
    /// The purpose, by its name in the data map.
    pub purpose: String,
    /// The purpose's term.
    pub term: String,
    /// The purpose's legal basis.
    pub basis: String,
    /// To whom data may go; empty for the operator itself.
    pub recipient: String,
    /// What was said.
    pub state: State,
    /// When, in UTC (RFC 3339).
    pub decided_at: String,
    /// By what means.
    pub method: String,
    /// Which notice was shown.
    pub notice: String,
    /// SHA-256 of the words shown.
    pub wording_hash: Option<Vec<u8>>,
    /// The language of the words.
    pub language: String,
    /// When it was recorded, in UTC (RFC 3339).
    pub recorded_at: String,
    /// The event under which the ledger has it.
    pub event: Option<[u8; 16]>,
    /// Whether it came into force; a decision older than the one in force does not.
    pub in_force: bool,
}

/// Reads a row whose columns from `first` on are purpose, term, basis, recipient, state, …, event.
fn recorded(row: &Row, first: usize, number: i64, in_force: bool) -> Option<Recorded> {
    let state: Option<&str> = row.get(first + 4);
    let event: Option<&[u8]> = row.get(first + 11);
    Some(Recorded {
        number,
        purpose: row.get(first),
        term: row.get(first + 1),
        basis: row.get(first + 2),
        recipient: row.get(first + 3),
        state: State::named(state?)?,
        decided_at: row.get(first + 5),
        method: row.get(first + 6),
        notice: row.get(first + 7),
        wording_hash: row.get(first + 8),
        language: row.get(first + 9),
        recorded_at: row.get(first + 10),
        event: event.and_then(|bytes| bytes.try_into().ok()),
        in_force,
    })
}

impl Choices {
    /// Records as [`Choices::record`], under the event by which the ledger has it, or will.
    ///
    /// # Errors
    ///
    /// As [`Choices::record`].
    pub async fn record_as(
        &self,
        client: &impl GenericClient,
        subject: &Subject,
        purpose: &str,
        state: State,
        evidence: &Evidence,
        event: Option<[u8; 16]>,
    ) -> Result<bool, ChoicesError> {
        let sql = format!("SELECT vigie.record_event({}, $2, $3, $4, $5, $6, $7, $8, $9, $10)", self.parameter(1));
        let wording = evidence.wording_hash.as_ref().map(<[u8; 32]>::as_slice);
        let event = event.as_ref().map(<[u8; 16]>::as_slice);
        let row = client
            .query_one(
                &sql,
                &[
                    &subject.as_str(),
                    &purpose,
                    &evidence.recipient,
                    &state.as_str(),
                    &evidence.decided_at,
                    &evidence.method,
                    &evidence.notice,
                    &wording,
                    &evidence.language,
                    &event,
                ],
            )
            .await
            .doing("recording a choice")?;
        Ok(row.get(0))
    }

    /// Returns what holds for a person, for every purpose in the order of the data map.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub async fn choices_of(
        &self,
        client: &impl GenericClient,
        subject: &Subject,
    ) -> Result<Vec<Choice>, ChoicesError> {
        let sql = format!(
            concat!(
                "SELECT purpose, term, basis, recipient, state, ",
                moment!("decided_at"),
                ", method, notice, wording, language, ",
                moment!("recorded_at"),
                ", event, permitted FROM vigie.choices_of({})"
            ),
            self.parameter(1)
        );
        let rows = client.query(&sql, &[&subject.as_str()]).await.doing("reading a person's choices")?;
        let choice = |row: &Row| Choice {
            purpose: row.get(0),
            term: row.get(1),
            basis: row.get(2),
            recipient: row.get(3),
            permitted: row.get::<_, Option<bool>>(12).unwrap_or(false),
            said: recorded(row, 0, 0, true),
        };
        Ok(rows.iter().map(choice).collect())
    }

    /// Returns at most `limit` entries of a person's history after number `after`, oldest first.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub async fn history_of(
        &self,
        client: &impl GenericClient,
        subject: &Subject,
        after: i64,
        limit: i32,
    ) -> Result<Vec<Recorded>, ChoicesError> {
        let sql = format!(
            concat!(
                "SELECT id, purpose, term, basis, recipient, state, ",
                moment!("decided_at"),
                ", method, notice, wording, language, ",
                moment!("recorded_at"),
                ", event, in_force FROM vigie.history_of({}, $2, $3)"
            ),
            self.parameter(1)
        );
        let rows =
            client.query(&sql, &[&subject.as_str(), &after, &limit]).await.doing("reading a person's history")?;
        Ok(rows.iter().filter_map(|row| recorded(row, 1, row.get(0), row.get(13))).collect())
    }

    /// Returns the whole history of a person, oldest first.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub async fn whole_history_of(
        &self,
        client: &impl GenericClient,
        subject: &Subject,
    ) -> Result<Vec<Recorded>, ChoicesError> {
        let mut history: Vec<Recorded> = Vec::new();
        loop {
            let after = history.last().map_or(0, |last| last.number);
            let more = self.history_of(client, subject, after, 1000).await?;
            if more.is_empty() {
                return Ok(history);
            }
            history.extend(more);
        }
    }

    /// Keeps words that were shown to people, and returns their hash. Words of more than 20,000 characters are refused.
    ///
    /// # Errors
    ///
    /// [`ChoicesError::Refused`] for words that are empty or too long; what the server says.
    pub async fn keep_wording(&self, client: &impl GenericClient, words: &str) -> Result<[u8; 32], ChoicesError> {
        let row = client.query_one("SELECT vigie.keep_wording($1)", &[&words]).await.doing("keeping a wording")?;
        Ok(row.get::<_, &[u8]>(0).try_into().expect("SHA-256 has 32 bytes"))
    }

    /// Returns words that were kept.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub async fn wording_of(&self, client: &impl GenericClient, hash: &[u8]) -> Result<Option<String>, ChoicesError> {
        let row = client.query_one("SELECT vigie.wording_of($1)", &[&hash]).await.doing("reading a wording")?;
        Ok(row.get(0))
    }

    /// Notes that an event is in force, or about to be, and not in the ledger yet.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub async fn note_unlogged(&self, client: &impl GenericClient, event: &[u8; 16]) -> Result<(), ChoicesError> {
        let sql = "SELECT vigie.note_unlogged($1)";
        client.execute(sql, &[&event.as_slice()]).await.doing("noting an event that is not logged")?;
        Ok(())
    }

    /// Notes that an event is in the ledger.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub async fn note_logged(&self, client: &impl GenericClient, event: &[u8; 16]) -> Result<(), ChoicesError> {
        let sql = "SELECT vigie.note_logged($1)";
        client.execute(sql, &[&event.as_slice()]).await.doing("noting an event that is logged")?;
        Ok(())
    }

    /// Returns events that are not in the ledger, the oldest first, at most `limit`.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub async fn unlogged(&self, client: &impl GenericClient, limit: i32) -> Result<Vec<[u8; 16]>, ChoicesError> {
        let rows =
            client.query("SELECT vigie.unlogged_events($1)", &[&limit]).await.doing("reading what is not logged")?;
        Ok(rows.iter().filter_map(|row| row.get::<_, &[u8]>(0).try_into().ok()).collect())
    }

    /// Returns the answer that a request got before, by the hash of caller and key, and whether it was this request.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub async fn answer_before(
        &self,
        client: &impl GenericClient,
        key: &[u8; 32],
        request: &[u8; 32],
    ) -> Result<Option<(bool, String)>, ChoicesError> {
        let sql = "SELECT same, answer FROM vigie.answer_before($1, $2)";
        let parameters: &[&(dyn tokio_postgres::types::ToSql + Sync)] = &[&key.as_slice(), &request.as_slice()];
        let row = client.query_opt(sql, parameters).await.doing("looking for an earlier answer")?;
        Ok(row.map(|row| (row.get(0), row.get(1))))
    }

    /// Keeps an answer for a day.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub async fn keep_answer(
        &self,
        client: &impl GenericClient,
        key: &[u8; 32],
        request: &[u8; 32],
        answer: &str,
    ) -> Result<(), ChoicesError> {
        let sql = "SELECT vigie.keep_answer($1, $2, $3)";
        let parameters: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
            &[&key.as_slice(), &request.as_slice(), &answer];
        client.execute(sql, parameters).await.doing("keeping an answer")?;
        Ok(())
    }
}
