//! The answer to a demand: one item an index, each either a receipt that shows it or nothing; and what it is worth.
//!
//! An answer is checked as a whole against the demand: the indexes are drawn again, every receipt must lead to the very
//! head that the demand names, and what is missing counts as what it is, a failure. Its SHA-256 is logged (kind 7).

use crate::checkpoint::decimal;
use crate::hash::Hash;
use crate::opening::{NotAnOpening, NotShown, Seen, Shown};
use crate::policy::TrustPolicy;
use crate::receipt::{Receipt, ReceiptError, Unproven};
use crate::sampling::{Demand, Seed, Unit, upper_bound};
use std::collections::BTreeMap;

const HEADER: &str = "vigie/answer/v1";

/// An answer to a demand, not checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// SHA-256 of the demand's text.
    pub demand: Hash,
    /// Receipts by the index demanded.
    pub items: BTreeMap<u64, Vec<u8>>,
}

/// Why bytes are no answer.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AnswerError {
    /// It does not begin as answers do.
    #[error("file does not begin with `{HEADER}` and the demand it answers: it is no answer")]
    Header,
    /// An item does not begin as items do.
    #[error("after {0} items, the answer has no line `item INDEX BYTES`")]
    Item(usize),
    /// An item is cut.
    #[error("the answer ends within the item of index {0}")]
    Cut(u64),
    /// An index is answered twice.
    #[error("the answer has two items for index {0}")]
    Twice(u64),
}

/// Why an item is no answer to its index.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Failure {
    /// There is none.
    #[error("nothing is shown")]
    Missing,
    /// It is no receipt.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// The receipt proves nothing.
    #[error(transparent)]
    Unproven(#[from] Unproven),
    /// The receipt leads to another head than the demand's.
    #[error("the receipt leads to a head of {found} entries, the sample is drawn from the head of {expected}")]
    AnotherHead {
        /// Entries of the receipt's head.
        found: u64,
        /// Entries of the demand's head.
        expected: u64,
    },
    /// The receipt is for another entry.
    #[error("entry {0} is shown, another was demanded")]
    AnotherEntry(u64),
    /// It has no opening.
    #[error("the receipt carries no opening")]
    NoOpening,
    /// The opening cannot be read.
    #[error(transparent)]
    NotAnOpening(#[from] NotAnOpening),
    /// The opening shows nothing.
    #[error(transparent)]
    NotShown(#[from] NotShown),
}

/// What an answer is worth.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was shown, by index, in the order drawn.
    pub shown: Vec<(u64, Result<Seen, Failure>)>,
    /// Items for indexes that were not drawn. They count for nothing.
    pub unasked: Vec<u64>,
}

/// How a sample came out, in numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tally {
    /// Indexes drawn.
    pub drawn: u64,
    /// Opened as committed.
    pub opened: u64,
    /// Erased before the demand: lawful, but unknown.
    pub erased: u64,
    /// Not shown, or shown wrongly.
    pub failed: u64,
    /// At 95 %, at most this share of the population fails, if those erased would all have opened.
    pub bound_erased_good: f64,
    /// The same, if those erased would all have failed.
    pub bound_erased_bad: f64,
}

impl Answer {
    /// Begins an answer to a demand.
    pub fn to(demand: &Demand) -> Self {
        Self { demand: Hash::of(demand.to_string().as_bytes()), items: BTreeMap::new() }
    }

    /// Writes the answer.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{HEADER}\ndemand {}\n", self.demand).into_bytes();
        for (index, receipt) in &self.items {
            bytes.extend(format!("item {index} {}\n", receipt.len()).into_bytes());
            bytes.extend(receipt);
        }
        bytes
    }

    /// Reads what [`Answer::to_bytes`] writes. Receipts are not looked at.
    ///
    /// # Errors
    ///
    /// [`AnswerError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, AnswerError> {
        let mut rest = bytes;
        let line = |rest: &mut &[u8]| -> Option<String> {
            let end = rest.iter().take(200).position(|byte| *byte == b'\n')?;
            let (line, after) = rest.split_at(end);
            *rest = &after[1..];
            String::from_utf8(line.to_vec()).ok()
        };
        if line(&mut rest).as_deref() != Some(HEADER) {
            return Err(AnswerError::Header);
        }
        let demand = line(&mut rest).and_then(|line| Hash::from_base64(line.strip_prefix("demand ")?));
        let mut answer = Self { demand: demand.ok_or(AnswerError::Header)?, items: BTreeMap::new() };
        while !rest.is_empty() {
            let item = line(&mut rest).and_then(|line| {
                let (index, length) = line.strip_prefix("item ")?.split_once(' ')?;
                Some((decimal(index)?, usize::try_from(decimal(length)?).ok()?))
            });
            let (index, length) = item.ok_or(AnswerError::Item(answer.items.len()))?;
            let (receipt, after) = rest.split_at_checked(length).ok_or(AnswerError::Cut(index))?;
            rest = after;
            if answer.items.insert(index, receipt.to_vec()).is_some() {
                return Err(AnswerError::Twice(index));
            }
        }
        Ok(answer)
    }

    /// Checks the answer: draws the sample again and looks at every item.
    ///
    /// The caller has made sure that the answer is to this demand ([`Answer::demand`]), and the seed that of its
    /// authority and beacon.
    pub fn check(&self, demand: &Demand, seed: &Seed, policy: &TrustPolicy) -> Outcome {
        let drawn = demand.indexes(seed);
        let unasked = self.items.keys().filter(|index| !drawn.contains(index)).copied().collect();
        let shown = drawn.into_iter().map(|index| (index, self.check_item(index, demand, policy))).collect();
        Outcome { shown, unasked }
    }

    fn check_item(&self, index: u64, demand: &Demand, policy: &TrustPolicy) -> Result<Seen, Failure> {
        let receipt = Receipt::parse(self.items.get(&index).ok_or(Failure::Missing)?)?;
        let shown = Shown::parse(receipt.extra.as_deref().ok_or(Failure::NoOpening)?)?;
        let attested = receipt.verify(&shown.entry, policy)?;
        let (head, expected) = (attested.checkpoint.checkpoint(), &demand.head);
        if head != expected {
            return Err(Failure::AnotherHead { found: head.size(), expected: expected.size() });
        }
        match demand.unit {
            Unit::Row => Ok(shown.check_row(index, head)?),
            Unit::Entry if receipt.index != index => Err(Failure::AnotherEntry(receipt.index)),
            Unit::Entry => Ok(Seen::Opened(shown.check_header()?)),
        }
    }
}

impl Outcome {
    /// Counts, and says what the sample shows of the population.
    pub fn tally(&self) -> Tally {
        let count = |which: fn(&Result<Seen, Failure>) -> bool| {
            self.shown.iter().filter(|(_, seen)| which(seen)).count() as u64
        };
        let (opened, erased) =
            (count(|seen| matches!(seen, Ok(Seen::Opened(_)))), count(|seen| *seen == Ok(Seen::Erased)));
        let (drawn, failed) = (self.shown.len() as u64, count(Result::is_err));
        Tally {
            drawn,
            opened,
            erased,
            failed,
            bound_erased_good: upper_bound(drawn, failed, 0.95),
            bound_erased_bad: upper_bound(drawn, failed + erased, 0.95),
        }
    }
}
