//! A series as a file: what is published, for whom, and at which cost. And the SQL that bounds what one person contributes.

use crate::rho::Rho;
use serde::Deserialize;
use std::fmt::Write as _;

/// Largest value of all bounds: sums of it over billions of persons stay within 64 bits.
const MOST_PER_PERSON: u64 = 1_000_000_000;

/// Most combinations of listed values: each is published, with noise, whether anybody is in it or not.
const MOST_LISTED: usize = 100_000;

/// A series that is published again and again (`schema = "series/1"`).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// The format of the file.
    pub schema: Schema,
    /// The name of the series.
    pub name: String,
    /// Whose data it is about: series of one data set and one recipient share a budget.
    pub dataset: String,
    /// Who gets it.
    pub recipient: String,
    /// What it is for, as the data map names it: people who did not agree to that are not in it.
    pub purpose: String,
    /// How often it is released, as an ISO 8601 duration; for people to read.
    pub period: String,
    /// The table.
    pub table: String,
    /// The column with the person's id.
    pub subject: String,
    /// Its type.
    pub subject_type: SubjectType,
    /// Which rows count, in SQL; written by whoever defines the series, and as trusted as they are.
    #[serde(default)]
    pub condition: Option<String>,
    /// What is grouped by.
    #[serde(default, rename = "dimension")]
    pub dimensions: Vec<Dimension>,
    /// What is counted or summed.
    pub measure: Measure,
    /// Into how many cells one person may contribute; further ones are dropped, chosen by hash.
    pub cells_per_person: u32,
    /// What one release costs.
    pub rho: Rho,
    /// What all releases of this data set to this recipient may cost together.
    pub total_rho: Rho,
    /// The δ for which ε is reported. The release is also said to cost this ε; it is not what is added up.
    pub delta: f64,
    /// If values of a dimension are not listed: how likely it may be that a value shows which is there because of one person.
    #[serde(default)]
    pub key_delta: Option<f64>,
}

/// The version of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Schema {
    /// The first.
    #[serde(rename = "series/1")]
    One,
}

/// The type of a person's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubjectType {
    /// `bigint`
    Bigint,
    /// `uuid`
    Uuid,
    /// `text`
    Text,
}

/// Something to group by.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dimension {
    /// Its name in the release.
    pub name: String,
    /// The column, or an expression in SQL.
    pub expression: String,
    /// Which values it has.
    pub values: Values,
}

/// Which values a dimension has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Values {
    /// Those listed, which are public; others are not counted.
    Listed(Vec<String>),
    /// Those found in the data, shown only above a threshold.
    Found(Found),
}

/// The word for values that are not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Found {
    /// Values show if their noisy value passes the threshold that `key_delta` asks for.
    AboveThreshold,
}

/// What is counted or summed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Measure {
    /// How many persons have a row.
    Persons {},
    /// How many rows there are, each person's up to a bound per cell.
    Records {
        /// The bound.
        most_per_person: u64,
    },
    /// The sum of a column of whole numbers, each person's between 0 and a bound per cell.
    Sum {
        /// The column.
        column: String,
        /// The bound, in the unit.
        most_per_person: u64,
        /// What is summed, such as `cent`.
        unit: String,
    },
}

/// Why a file is no series.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DefinitionError {
    /// It cannot be read.
    #[error("the definition of a series cannot be read: {0}")]
    Unreadable(String),
    /// It can, and says impossible things; all of them.
    #[error("the definition of series `{series}` is wrong: {}", .wrong.join("; "))]
    Wrong {
        /// The series.
        series: String,
        /// What is wrong, each in a sentence.
        wrong: Vec<String>,
    },
}

/// How much one person can change a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// In how many cells.
    pub cells: u32,
    /// By how much in each.
    pub per_cell: u64,
}

impl Series {
    /// Reads a definition.
    ///
    /// # Errors
    ///
    /// [`DefinitionError`] with everything that is wrong.
    ///
    /// # Example
    ///
    /// ```
    /// let series = vigie_series::Series::parse(
    ///     r#"
    ///     schema = "series/1"
    ///     name = "accounts-by-country"
    ///     dataset = "accounts"
    ///     recipient = "statistics@parent.example"
    ///     purpose = "analytics"
    ///     period = "P1M"
    ///     table = "public.users"
    ///     subject = "id"
    ///     subject_type = "bigint"
    ///     cells_per_person = 1
    ///     rho = "0.05"
    ///     total_rho = "1.2"
    ///     delta = 1e-9
    ///     [[dimension]]
    ///     name = "country"
    ///     expression = "country"
    ///     values = ["IE", "NO", "DE"]
    ///     [measure]
    ///     kind = "persons"
    ///     "#,
    /// )?;
    /// assert!(series.statement().contains("GROUP BY"));
    /// # Ok::<(), vigie_series::DefinitionError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, DefinitionError> {
        let series: Self = toml::from_str(text).map_err(|error| DefinitionError::Unreadable(error.to_string()))?;
        let wrong = series.mistakes();
        if wrong.is_empty() { Ok(series) } else { Err(DefinitionError::Wrong { series: series.name.clone(), wrong }) }
    }

    fn mistakes(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut expect = |holds: bool, what: String| {
            if !holds {
                wrong.push(what);
            }
        };
        for (field, text) in [
            ("name", &self.name),
            ("dataset", &self.dataset),
            ("recipient", &self.recipient),
            ("purpose", &self.purpose),
            ("period", &self.period),
            ("table", &self.table),
            ("subject", &self.subject),
        ] {
            expect(!text.trim().is_empty(), format!("`{field}` is empty"));
        }
        let limit = self.limit();
        expect(
            (1..=MOST_PER_PERSON).contains(&limit.per_cell),
            format!("`most_per_person` is {}, expected 1 to {MOST_PER_PERSON}", limit.per_cell),
        );
        expect(
            (1..=10_000).contains(&limit.cells),
            format!("`cells_per_person` is {}, expected 1 to 10000", limit.cells),
        );
        expect(self.rho <= self.total_rho, format!("`rho` {} is above `total_rho` {}", self.rho, self.total_rho));
        let small = |delta: f64| delta > 0.0 && delta <= 1e-3;
        expect(small(self.delta), format!("`delta` is {}, expected above 0 and at most 0.001", self.delta));
        let found = self.listed().is_none();
        match self.key_delta {
            Some(delta) => {
                expect(found, "`key_delta` is given, and all values are listed".to_owned());
                expect(small(delta), format!("`key_delta` is {delta}, expected above 0 and at most 0.001"));
            }
            None => expect(!found, "values of a dimension are not listed, which needs `key_delta`".to_owned()),
        }
        let mut combinations = 1_usize;
        for (at, Dimension { name, values, .. }) in self.dimensions.iter().enumerate() {
            expect(!name.trim().is_empty(), "a dimension has no name".to_owned());
            expect(
                self.dimensions[..at].iter().all(|earlier| earlier.name != *name),
                format!("two dimensions are called `{name}`"),
            );
            if let Values::Listed(values) = values {
                expect(!values.is_empty(), format!("dimension `{name}` lists no value"));
                let mut sorted: Vec<_> = values.iter().collect();
                sorted.sort();
                sorted.dedup();
                expect(sorted.len() == values.len(), format!("dimension `{name}` lists a value twice"));
                combinations = combinations.saturating_mul(values.len());
            }
        }
        expect(
            combinations <= MOST_LISTED,
            format!("{combinations} combinations are listed, expected at most {MOST_LISTED}"),
        );
        wrong
    }

    /// Returns how much one person can change a release.
    pub fn limit(&self) -> Limit {
        let per_cell = match &self.measure {
            Measure::Persons {} => 1,
            Measure::Records { most_per_person } | Measure::Sum { most_per_person, .. } => *most_per_person,
        };
        Limit { cells: self.cells_per_person, per_cell }
    }

    /// Returns all combinations of the dimensions' values in order, or `None` if some are not listed.
    pub fn listed(&self) -> Option<Vec<Vec<String>>> {
        let mut cells = vec![Vec::new()];
        for dimension in &self.dimensions {
            let Values::Listed(values) = &dimension.values else { return None };
            if cells.len().saturating_mul(values.len()) > MOST_LISTED {
                // INVARIANT (few combinations): `parse` has refused more; this only keeps `mistakes` from making them all.
                return Some(cells);
            }
            cells = (cells.iter())
                .flat_map(|cell| values.iter().map(move |value| cell.iter().chain([value]).cloned().collect()))
                .collect();
        }
        Some(cells)
    }

    /// Returns the statement whose rows are the cells: the dimensions as text, then the bounded value as `bigint`.
    ///
    /// Three steps, from the inside: what each person contributes to each cell, kept within the bound; at most
    /// `cells_per_person` cells of each person, chosen by a hash of person and cell so that it does not depend on others;
    /// the sum per cell. Rows with no person, or with values that are not listed, do not count.
    pub fn statement(&self) -> String {
        let dimensions: Vec<String> = (0..self.dimensions.len()).map(|at| format!("d{at}")).collect();
        let most = self.limit().per_cell;
        let value = match &self.measure {
            Measure::Persons {} => "1".to_owned(),
            Measure::Records { .. } => format!("least(count(*), {most})"),
            Measure::Sum { column, .. } => {
                format!("floor(greatest(least(coalesce(sum({}::numeric), 0), {most}), 0))", quoted(column))
            }
        };
        let subject = quoted(&self.subject);
        let mut conditions = vec![format!("{subject} IS NOT NULL")];
        let mut select = Vec::new();
        for (dimension, alias) in self.dimensions.iter().zip(&dimensions) {
            let expression = format!("coalesce(({})::text, '')", dimension.expression);
            if let Values::Listed(values) = &dimension.values {
                let values: Vec<String> = values.iter().map(|value| literal(value)).collect();
                conditions.push(format!("{expression} IN ({})", values.join(", ")));
            }
            select.push(format!("{expression} AS {alias}"));
        }
        if let Some(condition) = &self.condition {
            conditions.push(format!("({condition}\n)"));
        }
        select.push(format!("{subject} AS p"));
        select.push(format!("{value} AS c"));
        let by: Vec<String> = (1..=dimensions.len() + 1).map(|at| at.to_string()).collect();
        let hash = match self.subject_type {
            SubjectType::Bigint => "hashint8extended(p::bigint, 0)",
            SubjectType::Uuid => "uuid_hash_extended(p, 0)",
            SubjectType::Text => "hashtextextended(p COLLATE \"C\", 0)",
        };
        // Chained, so that the choice depends on all of the cell.
        let choice =
            dimensions.iter().fold(hash.to_owned(), |seed, d| format!("hashtextextended({d} COLLATE \"C\", {seed})"));
        let order: Vec<&str> = std::iter::once(choice.as_str()).chain(dimensions.iter().map(String::as_str)).collect();
        let outputs: String = dimensions.iter().fold(String::new(), |mut outputs, d| {
            let _ = write!(outputs, "{d}, ");
            outputs
        });
        let group = if dimensions.is_empty() { String::new() } else { format!("\nGROUP BY {}", dimensions.join(", ")) };
        format!(
            "SELECT {outputs}coalesce(sum(c), 0)::bigint\n\
             FROM (SELECT *, row_number() OVER (PARTITION BY p ORDER BY {order}) AS place\n\
             FROM (SELECT {select}\nFROM {table}\nWHERE {conditions}\nGROUP BY {by}) AS contributions) AS bounded\n\
             WHERE place <= {cells}{group}",
            order = order.join(", "),
            select = select.join(", "),
            table = self.table.split('.').map(quoted).collect::<Vec<_>>().join("."),
            conditions = conditions.join(" AND "),
            by = by.join(", "),
            cells = self.cells_per_person,
        )
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(value: &str) -> String {
    // An `E` string reads the same whatever `standard_conforming_strings` says.
    format!("E'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}
