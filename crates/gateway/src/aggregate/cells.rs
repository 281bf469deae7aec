//! From the server's rows to the answer's: withhold, perturb, sort, close. Pure; see the module above for the rules.

use super::{
    CellKeys, Direction, NoiseTable, Number, Plan, Refusal,
    noise::{Draw, Persons, Purpose, Question},
};
use std::cmp::Ordering;

/// How an output is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    /// A column of the server's rows.
    Dimension(usize),
    /// The number of persons.
    Persons,
    /// A term that counts.
    Count(usize),
    /// A term that sums.
    Sum(usize),
    /// Of two terms.
    Average { sum: usize, count: usize },
    /// Of three terms.
    Deviation { sum: usize, squares: usize, count: usize },
}

/// Something summed over persons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Term {
    pub kind: TermKind,
    /// Its first column in the server's rows.
    pub at: usize,
}

/// What is summed; arguments are SQL, columns are full names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TermKind {
    Records,
    Filled { argument: String },
    Sum { argument: String, column: String, number: Number },
    Squares { argument: String, column: String },
}

impl TermKind {
    /// Total and largest; for all but records, where they are known, also the sum of sizes, and how many persons and which
    /// contribute at all.
    pub fn n_columns(&self) -> usize {
        if *self == Self::Records { 2 } else { 5 }
    }
}

/// A key of the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// By a rank that the server gave.
    Rank(usize),
    /// By a measure as it is shown.
    Output(usize, Direction),
}

/// A row of the answer, in text format; `None` is NULL.
pub type Row = Vec<Option<Vec<u8>>>;

/// What becomes of a row of the server.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// It shows.
    Shown(Shown),
    /// Nothing of it does.
    Withheld,
}

/// A cell that shows, and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// The row, with the flag at its end.
    pub row: Row,
    /// Per key: what to compare; nothing counts as largest.
    keys: Vec<Option<f64>>,
}

/// A row of the server that does not look like what was asked for; the answer is then refused whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the server's answer to an aggregate question has {what}")]
pub struct RowError {
    what: &'static str,
}

/// A number of the server, exact: `mantissa` / 10^`scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Exact {
    mantissa: i128,
    scale: u32,
}

/// A value that may show.
#[derive(Debug, Clone, Copy)]
struct Protected {
    mantissa: i128,
    scale: u32,
    /// One standard deviation of its noise is more than a fifth of it.
    unreliable: bool,
}

/// The fields of a row of the server.
struct Fields<'a, 'b>(&'a [Option<&'b [u8]>]);

impl Plan {
    /// Decides about one row of the server, given in text format; `parameters` are those of the statement, as bound.
    ///
    /// # Errors
    ///
    /// [`RowError`] if it is not a row of this plan's statement.
    pub fn transform(
        &self,
        row: &[Option<&[u8]>],
        parameters: &[Option<&[u8]>],
        keys: &CellKeys,
    ) -> Result<Cell, RowError> {
        self.decide(row, parameters.len(), &self.question.cell(parameters), keys)
    }

    fn decide(
        &self,
        row: &[Option<&[u8]>],
        n_parameters: usize,
        question: &Question,
        keys: &CellKeys,
    ) -> Result<Cell, RowError> {
        // Noise that leaves parameters out is the same for two questions that differ by one person.
        if n_parameters != usize::from(self.n_parameters) {
            return Err(RowError { what: "another number of parameters than its statement" });
        }
        if row.len() != self.n_columns {
            return Err(RowError { what: "a number of columns that was not asked for" });
        }
        let fields = Fields(row);
        let n_persons = fields.count(self.n_dimensions)?;
        if n_persons == 0 {
            return Ok(Cell::Withheld);
        }
        let persons = Persons { n: n_persons, sum: fields.text(self.n_dimensions + 1)? };
        let drawing = Drawing { keys, table: self.rules.noise(), question: &question.cell(&row[..self.n_dimensions]) };
        if !self.shows(persons, &drawing) {
            return Ok(Cell::Withheld);
        }
        let terms = (self.terms.iter())
            .map(|term| self.protect(term, &fields, persons, &drawing))
            .collect::<Result<Vec<_>, _>>()?;
        let mut shown = Vec::with_capacity(self.made.len() + 1);
        let mut values = Vec::with_capacity(self.made.len());
        let (mut withheld, mut unreliable) = (false, false);
        for made in &self.made {
            let (text, value) = match *made {
                Made::Dimension(at) => {
                    shown.push(row[at].map(<[u8]>::to_vec));
                    values.push(None);
                    continue;
                }
                Made::Persons => {
                    let mantissa = i128::from(n_persons) + i128::from(drawing.draw(Purpose::Count, persons).whole);
                    unreliable |= drawing.is_unreliable(1.0, mantissa as f64);
                    said(Some(Protected { mantissa: self.rounded(mantissa), scale: 0, unreliable: false }))
                }
                Made::Count(term) => {
                    unreliable |= terms[term].is_some_and(|value| value.unreliable);
                    said(terms[term].map(|value| Protected { mantissa: self.rounded(value.mantissa), ..value }))
                }
                Made::Sum(term) => {
                    unreliable |= terms[term].is_some_and(|value| value.unreliable);
                    said(terms[term])
                }
                Made::Average { sum, count } => match (terms[sum], terms[count]) {
                    (Some(sum), Some(count)) if count.mantissa > 0 => {
                        unreliable |= sum.unreliable || count.unreliable;
                        computed(sum.value() / count.value(), sum.scale)
                    }
                    _ => (None, None),
                },
                Made::Deviation { sum, squares, count } => match (terms[sum], terms[squares], terms[count]) {
                    (Some(sum), Some(squares), Some(count)) if count.mantissa > 1 => {
                        unreliable |= sum.unreliable || squares.unreliable || count.unreliable;
                        let n = count.value();
                        let variance = (squares.value() - sum.value() * sum.value() / n) / (n - 1.0);
                        // Noise may make more of the mean than of the squares; then nothing is known about the spread.
                        if variance >= 0.0 { computed(variance.sqrt(), sum.scale) } else { (None, None) }
                    }
                    _ => (None, None),
                },
            };
            withheld |= text.is_none();
            shown.push(text.map(String::into_bytes));
            values.push(value);
        }
        shown.push(if withheld {
            Some(b"c".to_vec())
        } else if unreliable {
            Some(b"u".to_vec())
        } else {
            None
        });
        let keys = (self.keys.iter())
            .map(|key| match *key {
                Key::Rank(at) => fields.count(self.n_dimensions + 2 + at).map(|rank| Some(rank as f64)),
                Key::Output(at, _) => Ok(values[at]),
            })
            .collect::<Result<_, _>>()?;
        Ok(Cell::Shown(Shown { row: shown, keys }))
    }

    /// Sorts what shows, cuts it as asked, and closes it.
    ///
    /// An answer without dimensions is one row, withheld or not. Else a closing row of nothing but the flag `c` follows,
    /// whether or not cells were withheld; not after a `LIMIT`, whose reader counts rows.
    pub fn finish(&self, mut shown: Vec<Shown>) -> Vec<Row> {
        shown.sort_by(|one, other| self.compare(one, other));
        let limit = self.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let offset = usize::try_from(self.offset).unwrap_or(usize::MAX);
        let nothing = || {
            let mut row: Row = vec![None; self.made.len()];
            row.push(Some(b"c".to_vec()));
            row
        };
        let mut rows: Vec<Row> = shown.into_iter().map(|shown| shown.row).collect();
        if self.n_dimensions == 0 && rows.is_empty() {
            rows.push(nothing());
        }
        let mut rows: Vec<Row> = rows.into_iter().skip(offset).take(limit).collect();
        if self.n_dimensions > 0 && self.limit.is_none() {
            rows.push(nothing());
        }
        rows
    }

    fn compare(&self, one: &Shown, other: &Shown) -> Ordering {
        for ((key, one), other) in self.keys.iter().zip(&one.keys).zip(&other.keys) {
            let up = match (one, other) {
                (Some(one), Some(other)) => one.total_cmp(other),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => Ordering::Equal,
            };
            let order = match key {
                Key::Rank(_) | Key::Output(_, Direction::Ascending) => up,
                Key::Output(_, Direction::Descending) => up.reverse(),
            };
            if order != Ordering::Equal {
                return order;
            }
        }
        Ordering::Equal
    }

    /// Whether so many persons are enough. Never below the minimum; above it the step is drawn.
    fn shows(&self, persons: Persons<'_>, drawing: &Drawing<'_>) -> bool {
        let minimum = i128::from(self.rules.minimum());
        let middle = minimum + 2 * i128::from(self.rules.noise().bound());
        let step = middle + i128::from(drawing.draw(Purpose::Threshold, persons).whole);
        i128::from(persons.n) >= step.max(minimum)
    }

    fn rounded(&self, count: i128) -> i128 {
        let count = count.max(0);
        self.rules.rounding.map_or(count, |base| {
            let base = i128::from(base.get());
            (count + base / 2) / base * base
        })
    }

    /// Returns a term with its noise, or nothing if it is withheld.
    fn protect(
        &self,
        term: &Term,
        fields: &Fields<'_, '_>,
        persons: Persons<'_>,
        drawing: &Drawing<'_>,
    ) -> Result<Option<Protected>, RowError> {
        let contributors = match term.kind {
            TermKind::Records => persons,
            TermKind::Filled { .. } | TermKind::Sum { .. } | TermKind::Squares { .. } => {
                match fields.count(term.at + 3)? {
                    0 => return Ok(None),
                    n => Persons { n, sum: fields.text(term.at + 4)? },
                }
            }
        };
        if !self.shows(contributors, drawing) {
            return Ok(None);
        }
        // A sum that is not finite, or too long to be exact, is withheld like any other that cannot be protected.
        let number = |at| fields.text(at).map(Exact::read);
        let (Some(total), Some(largest)) = (number(term.at)?, number(term.at + 1)?) else { return Ok(None) };
        let sizes = match term.kind {
            TermKind::Records => Some(total),
            TermKind::Filled { .. } | TermKind::Sum { .. } | TermKind::Squares { .. } => number(term.at + 2)?,
        };
        let Some(sizes) = sizes else { return Ok(None) };
        if largest.value() * 100.0 > sizes.value() * f64::from(self.rules.dominance_percent()) {
            return Ok(None);
        }
        let purpose = match &term.kind {
            TermKind::Records | TermKind::Filled { .. } => Purpose::Count,
            TermKind::Sum { column, .. } => Purpose::Sum(column),
            TermKind::Squares { column, .. } => Purpose::Squares(column),
        };
        let draw = drawing.draw(purpose, contributors);
        let Some(mantissa) = perturbed(total, largest, draw) else { return Ok(None) };
        let value = Protected { mantissa, scale: total.scale, unreliable: false };
        Ok(Some(Protected { unreliable: drawing.is_unreliable(largest.value(), value.value()), ..value }))
    }
}

/// Adds the draw, as many times as the largest contribution is large.
fn perturbed(total: Exact, largest: Exact, draw: Draw) -> Option<i128> {
    if largest == (Exact { mantissa: 1, scale: 0 }) && total.scale == 0 {
        return total.mantissa.checked_add(i128::from(draw.whole));
    }
    let noise = largest.value() * draw.spread * 10_f64.powi(total.scale.cast_signed());
    // Far beyond what a sum of money or times may be; a cast would silently stop at the largest number.
    if !noise.is_finite() || noise.abs() >= 1e37 {
        return None;
    }
    total.mantissa.checked_add(noise.round() as i128)
}

/// What draws for one cell.
struct Drawing<'a> {
    keys: &'a CellKeys,
    table: &'a NoiseTable,
    question: &'a Question,
}

impl Drawing<'_> {
    fn draw(&self, purpose: Purpose<'_>, persons: Persons<'_>) -> Draw {
        self.keys.draw(self.table, purpose, persons, self.question)
    }

    /// The largest contribution is taken up to a power of two, so that the flag does not tell it.
    fn is_unreliable(&self, largest: f64, value: f64) -> bool {
        largest.log2().ceil().exp2() * (2.0 * self.table.variance()).sqrt() > value.abs() / 5.0
    }
}

fn said(value: Option<Protected>) -> (Option<String>, Option<f64>) {
    (value.map(Protected::to_text), value.map(Protected::value))
}

/// Says a number that was computed from protected ones, with four digits more than those have.
fn computed(value: f64, scale: u32) -> (Option<String>, Option<f64>) {
    if value.is_finite() { (Some(format!("{value:.*}", scale as usize + 4)), Some(value)) } else { (None, None) }
}

impl Protected {
    fn value(self) -> f64 {
        self.mantissa as f64 / 10_f64.powi(self.scale.cast_signed())
    }

    fn to_text(self) -> String {
        if self.scale == 0 {
            return self.mantissa.to_string();
        }
        let scale = self.scale as usize;
        let digits = format!("{:0>width$}", self.mantissa.unsigned_abs(), width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        format!("{}{whole}.{fraction}", if self.mantissa < 0 { "-" } else { "" })
    }
}

impl Exact {
    fn read(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let unsigned = whole.strip_prefix('-').unwrap_or(whole);
        if unsigned.is_empty() || !digits(unsigned) || !digits(fraction) || unsigned.len() + fraction.len() > 37 {
            return None;
        }
        let mantissa = format!("{whole}{fraction}").parse().ok()?;
        Some(Self { mantissa, scale: fraction.len() as u32 })
    }

    fn value(self) -> f64 {
        self.mantissa as f64 / 10_f64.powi(self.scale.cast_signed())
    }
}

impl<'b> Fields<'_, 'b> {
    fn text(&self, at: usize) -> Result<&'b str, RowError> {
        let bytes = self.0[at].ok_or(RowError { what: "nothing where a number was asked for" })?;
        std::str::from_utf8(bytes).map_err(|_| RowError { what: "bytes that are no text" })
    }

    fn count(&self, at: usize) -> Result<u64, RowError> {
        self.text(at)?.parse().map_err(|_| RowError { what: "something else where a count was asked for" })
    }
}

/// Collects the rows of one answer.
#[derive(Debug)]
pub struct Cells<'a> {
    plan: &'a Plan,
    keys: &'a CellKeys,
    n_parameters: usize,
    question: Question,
    shown: Vec<Shown>,
}

/// Why no answer comes together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CellsError {
    /// The server's rows are not those asked for.
    #[error(transparent)]
    Row(#[from] RowError),
    /// There are too many.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl<'a> Cells<'a> {
    /// Begins an answer; `parameters` are those of the statement, as bound.
    pub fn new(plan: &'a Plan, parameters: &[Option<&[u8]>], keys: &'a CellKeys) -> Self {
        Self { plan, keys, n_parameters: parameters.len(), question: plan.question.cell(parameters), shown: Vec::new() }
    }

    /// Takes a row of the server, in text format.
    ///
    /// # Errors
    ///
    /// [`CellsError`]; the answer is then refused whole, and what was collected is dropped with it.
    pub fn push(&mut self, row: &[Option<&[u8]>]) -> Result<(), CellsError> {
        if let Cell::Shown(shown) = self.plan.decide(row, self.n_parameters, &self.question, self.keys)? {
            if self.shown.len() == self.plan.rules.most_cells {
                return Err(Refusal::TooManyCells(self.plan.rules.most_cells).into());
            }
            self.shown.push(shown);
        }
        Ok(())
    }

    /// Returns the answer.
    pub fn finish(self) -> Vec<Row> {
        self.plan.finish(self.shown)
    }
}
