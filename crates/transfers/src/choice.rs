//! Whether a person's record may leave: what they chose for this purpose and this recipient, and orders in their name.
//!
//! Read from the operator's database batch by batch; nothing is kept. Only a choice that names the recipient counts: to
//! agree with the operator's own use is not to agree to the hand-over (SH-03).

use crate::flow::Flow;
use std::collections::{BTreeMap, HashMap};
use tokio_postgres::Client;
use vigie_choices::Subject;
use vigie_policy::map::Basis;

/// Why a record stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The person was not asked, or has not answered, and consent is needed.
    NotGiven,
    /// They said no, or objected.
    Refused,
    /// They took a yes back.
    Withdrawn,
    /// Their yes is too old.
    Lapsed,
    /// An order in the operator's database names them, or everybody.
    Stopped,
    /// An authority's signed order stops it.
    Ordered,
    /// The record names nobody.
    NoSubject,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 7] =
        [Self::NotGiven, Self::Refused, Self::Withdrawn, Self::Lapsed, Self::Stopped, Self::Ordered, Self::NoSubject];

    /// Returns the word of headers and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotGiven => "not-given",
            Self::Refused => "refused",
            Self::Withdrawn => "withdrawn",
            Self::Lapsed => "lapsed",
            Self::Stopped => "stopped",
            Self::Ordered => "ordered",
            Self::NoSubject => "no-subject",
        }
    }
}

/// How many records stayed, by reason.
pub type Withheld = BTreeMap<String, u64>;

/// Why nobody knows what people chose.
#[derive(Debug, thiserror::Error)]
pub enum ChoiceError {
    /// The database does not say.
    #[error("the choices of flow `{flow}` cannot be read")]
    Database {
        /// The flow.
        flow: String,
        /// Why.
        #[source]
        source: tokio_postgres::Error,
    },
    /// The database does not know the purpose.
    #[error("the database has no purpose `{0}`; `vigie choices install` takes it from the data map")]
    NoPurpose(String),
}

/// What people chose, for one flow.
#[derive(Debug)]
pub struct Choices<'db> {
    client: &'db Client,
    flow: &'db Flow,
    sql: String,
    purpose: i16,
}

impl<'db> Choices<'db> {
    /// Prepares to ask.
    ///
    /// # Errors
    ///
    /// [`ChoiceError`].
    pub async fn open(client: &'db Client, flow: &'db Flow) -> Result<Self, ChoiceError> {
        let failed = |source| ChoiceError::Database { flow: flow.name.clone(), source };
        let sql = "SELECT bit FROM vigie.purpose WHERE name = $1 AND NOT retired";
        let row = client.query_opt(sql, &[&flow.purpose]).await.map_err(failed)?;
        let purpose = row.ok_or_else(|| ChoiceError::NoPurpose(flow.purpose.clone()))?.get(0);
        let sql = format!(
            "SELECT c.subject::text, c.state FROM vigie.choice c
             WHERE c.subject = ANY($1::text[]::{id}[]) AND c.purpose = $2 AND c.recipient = $3
             UNION ALL
             SELECT o.subject::text, 'stopped' FROM vigie.stop_order o
             WHERE o.lifted_at IS NULL AND (o.purpose IS NULL OR o.purpose = $2)
               AND (o.subject IS NULL OR o.subject = ANY($1::text[]::{id}[]))",
            id = flow.subject_type.as_sql()
        );
        Ok(Self { client, flow, sql, purpose })
    }

    /// Says of each person whether their record stays, and why.
    ///
    /// # Errors
    ///
    /// [`ChoiceError`]; then nobody's record may leave.
    pub async fn of(&self, subjects: &[Option<&str>]) -> Result<Vec<Option<Reason>>, ChoiceError> {
        let failed = |source| ChoiceError::Database { flow: self.flow.name.clone(), source };
        // As the database spells ids: `007` is `7`, or a refusal could be missed. What is no id names nobody.
        let spelled = |subject: Option<&str>| Subject::parse(self.flow.subject_type, subject?).ok();
        let subjects: Vec<Option<Subject>> = subjects.iter().copied().map(spelled).collect();
        let mut asked: Vec<&str> = subjects.iter().flatten().map(Subject::as_str).collect();
        asked.sort_unstable();
        asked.dedup();
        let rows =
            self.client.query(&self.sql, &[&asked, &self.purpose, &self.flow.recipient]).await.map_err(failed)?;
        let mut said: HashMap<String, Reason> = HashMap::with_capacity(rows.len());
        let (mut given, mut everybody) = (std::collections::HashSet::new(), false);
        for row in rows {
            let (subject, state): (Option<String>, &str) = (row.get(0), row.get(1));
            let reason = match state {
                "given" => {
                    given.extend(subject);
                    continue;
                }
                "requested" => continue,
                "refused" => Reason::Refused,
                "withdrawn" => Reason::Withdrawn,
                "lapsed" => Reason::Lapsed,
                // An order, or a state that this version does not know: it stays.
                _ => Reason::Stopped,
            };
            match subject {
                None => everybody = true,
                // An order outweighs what a person said.
                Some(subject) if reason == Reason::Stopped => drop(said.insert(subject, reason)),
                Some(subject) => drop(said.entry(subject).or_insert(reason)),
            }
        }
        // Consent has to be there; to other bases one can only object.
        let needs_yes = self.flow.basis == Basis::Consent;
        let of = |subject: &Option<Subject>| match subject.as_ref().map(Subject::as_str) {
            None => Some(Reason::NoSubject),
            Some(_) if everybody => Some(Reason::Stopped),
            Some(subject) => match said.get(subject) {
                Some(reason) => Some(*reason),
                None if needs_yes && !given.contains(subject) => Some(Reason::NotGiven),
                None => None,
            },
        };
        Ok(subjects.iter().map(of).collect())
    }
}
