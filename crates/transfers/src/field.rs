//! Fields, their types, and the one spelling of a record that both sides commit to.
//!
//! A row begins with what it is: flow, recipient, purpose and names of fields. Its content is each field in its order: one byte, 0 for NULL and else 1, then four bytes of length and the
//! value as text. So it does not matter whether it travelled as Parquet, CSV or JSON.

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Date32Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, DataType, Schema, SchemaRef, TimeUnit};
use hmac::{Hmac, Mac as _};
use jiff::{Timestamp, civil::Date};
use sha2::Sha256;
use std::fmt::Write as _;
use std::sync::Arc;

/// Returns what the rows of a flow begin with, so that each says by itself what it is: to whom, why, which fields.
pub fn row_template(flow: &str, recipient: &str, purpose: &str, names: &[&str]) -> Vec<u8> {
    let fields = names.join(" ");
    format!("vigie/transfer-row/v1\nflow {flow}\nrecipient {recipient}\npurpose {purpose}\nfields {fields}\n\n")
        .into_bytes()
}

/// Reads an opened row: what it begins with, line by line, and its values by field.
pub fn read_row(bytes: &[u8]) -> Option<OpenedRow> {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n")?;
    let mut lines = std::str::from_utf8(&bytes[..end]).ok()?.split('\n');
    (lines.next() == Some("vigie/transfer-row/v1")).then_some(())?;
    let mut said: Vec<(String, String)> = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(' ')?;
        said.push((name.to_owned(), value.to_owned()));
    }
    let (_, fields) = said.iter().find(|(name, _)| name == "fields")?;
    let (names, values) = (fields.split(' '), read_content(&bytes[end + 2..])?);
    let fields: Vec<_> = names.map(str::to_owned).zip(values).collect();
    Some(OpenedRow { said, fields })
}

/// A row that was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedRow {
    /// Flow, recipient, purpose, names of fields.
    pub said: Vec<(String, String)>,
    /// Values by field; `None` is NULL.
    pub fields: Vec<(String, Option<String>)>,
}

/// A field that leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name, at the source and at the recipient.
    pub name: String,
    /// Its type.
    pub field_type: FieldType,
    /// What is done with it before.
    pub treatment: Treatment,
}

/// The types of fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// Text in UTF-8.
    Text,
    /// A whole number of 64 bits.
    Integer,
    /// A number of 64 bits in binary floating point.
    Number,
    /// True or false.
    Boolean,
    /// A moment, to the microsecond.
    Time,
    /// A day.
    Date,
}

/// What is done with a field before it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// Nothing.
    Plain,
    /// A keyed hash of it leaves, under a key that this recipient shares with no other.
    Pseudonym,
}

impl FieldType {
    /// All types.
    pub const ALL: [Self; 6] = [Self::Text, Self::Integer, Self::Number, Self::Boolean, Self::Time, Self::Date];

    /// Returns the word of the register.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Time => "time",
            Self::Date => "date",
        }
    }

    /// Finds a type by its word.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field_type| field_type.name() == name)
    }

    /// Returns the type in Arrow.
    pub fn in_arrow(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Integer => DataType::Int64,
            Self::Number => DataType::Float64,
            Self::Boolean => DataType::Boolean,
            Self::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
            Self::Date => DataType::Date32,
        }
    }
}

impl Treatment {
    /// All treatments.
    pub const ALL: [Self; 2] = [Self::Plain, Self::Pseudonym];

    /// Returns the word of the register.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Pseudonym => "pseudonym",
        }
    }
}

impl Field {
    /// Returns the type in which it leaves: a pseudonym is a text.
    pub fn leaves_as(&self) -> FieldType {
        match self.treatment {
            Treatment::Plain => self.field_type,
            Treatment::Pseudonym => FieldType::Text,
        }
    }
}

/// Returns the schema in which fields leave.
pub fn leaving_schema(fields: &[(String, FieldType)]) -> SchemaRef {
    let field = |(name, field_type): &(String, FieldType)| arrow_schema::Field::new(name, field_type.in_arrow(), true);
    Arc::new(Schema::new(fields.iter().map(field).collect::<Vec<_>>()))
}

/// Casts a column to its declared type.
///
/// # Errors
///
/// For a value that does not fit.
pub fn as_declared(column: &ArrayRef, field_type: FieldType) -> Result<ArrayRef, ArrowError> {
    let wanted = field_type.in_arrow();
    if *column.data_type() == wanted {
        return Ok(column.clone());
    }
    cast_with_options(column, &wanted, &CastOptions { safe: false, ..CastOptions::default() })
}

/// Writes one value as text; nothing is written for NULL, and false returned.
///
/// Numbers as shortly as they can be read back, times as RFC 3339 in UTC, days as ISO 8601.
fn write_value(column: &dyn Array, row: usize, text: &mut String) -> bool {
    if column.is_null(row) {
        return false;
    }
    let written = match column.data_type() {
        DataType::Utf8 => text.write_str(column.as_string::<i32>().value(row)),
        DataType::Int64 => write!(text, "{}", column.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => write!(text, "{}", column.as_primitive::<Float64Type>().value(row)),
        DataType::Boolean => write!(text, "{}", column.as_boolean().value(row)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
            match Timestamp::from_microsecond(micros) {
                Ok(time) => write!(text, "{time}"),
                Err(_) => write!(text, "{micros}us"),
            }
        }
        DataType::Date32 => {
            let days = column.as_primitive::<Date32Type>().value(row);
            match Date::constant(1970, 1, 1).checked_add(jiff::Span::new().days(days)) {
                Ok(date) => write!(text, "{date}"),
                Err(_) => write!(text, "{days}d"),
            }
        }
        other => unreachable!("columns are cast to declared types, {other} is none"),
    };
    written.expect("a string takes everything");
    true
}

/// Writes a value as text; `None` is NULL.
pub fn value_text(column: &dyn Array, row: usize) -> Option<String> {
    let mut text = String::new();
    write_value(column, row, &mut text).then_some(text)
}

/// Writes the content of a row into `content`, which is emptied first.
pub fn write_content(batch: &RecordBatch, row: usize, text: &mut String, content: &mut Vec<u8>) {
    content.clear();
    for column in batch.columns() {
        text.clear();
        if write_value(column, row, text) {
            content.push(1);
            content.extend((text.len() as u32).to_be_bytes());
            content.extend(text.as_bytes());
        } else {
            content.push(0);
        }
    }
}

/// Reads what [`write_content`] writes: the values, `None` for NULL.
pub fn read_content(mut content: &[u8]) -> Option<Vec<Option<String>>> {
    let mut values = Vec::new();
    while let Some((mark, rest)) = content.split_first() {
        content = rest;
        values.push(match mark {
            0 => None,
            1 => {
                let (length, rest) = content.split_first_chunk::<4>()?;
                let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
                content = rest;
                Some(String::from_utf8(value.to_vec()).ok()?)
            }
            _ => return None,
        });
    }
    Some(values)
}

/// A key that makes pseudonyms for one recipient.
#[derive(Clone)]
pub struct PseudonymKey([u8; 32]);

impl std::fmt::Debug for PseudonymKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PseudonymKey(…)")
    }
}

impl PseudonymKey {
    /// Derives a recipient's key from the operator's secret.
    pub fn of(secret: &[u8; 32], recipient: &str) -> Self {
        Self(keyed(secret, "vigie/transfer/pseudonyms/v1", recipient.as_bytes()))
    }

    /// Derives another key from the operator's secret, for what `label` says.
    pub fn derive(secret: &[u8; 32], label: &str) -> [u8; 32] {
        keyed(secret, label, &[])
    }

    /// Returns a value's pseudonym: 32 hexadecimal digits. The same value of two fields has two.
    pub fn pseudonym(&self, field: &str, value: &str) -> String {
        vigie_ledger::hash::hex(&keyed(&self.0, field, value.as_bytes())[..16])
    }

    /// Replaces a column by the pseudonyms of its values; NULL stays.
    pub fn column(&self, field: &str, column: &ArrayRef) -> ArrayRef {
        let values = (0..column.len()).map(|row| Some(self.pseudonym(field, &value_text(column, row)?)));
        Arc::new(values.collect::<StringArray>())
    }
}

/// Returns HMAC-SHA256(key, label ‖ 0x00 ‖ value).
pub(crate) fn keyed(key: &[u8; 32], label: &str, value: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(label.as_bytes());
    mac.update(&[0]);
    mac.update(value);
    mac.finalize().into_bytes().into()
}
