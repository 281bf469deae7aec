//! Parquet, by the low-level writer: columns of plain types, all optional, one row group for fifty thousand rows.

use super::{Failure, Kind, Table, csv::Rows};
use parquet::{
    basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical},
    column::writer::ColumnWriter,
    data_type::ByteArray,
    errors::ParquetError,
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::types::Type,
};
use rusqlite::types::Value;
use std::{fs::File, sync::Arc};

/// Rows that are held at once.
const ROWS_A_GROUP: usize = 50_000;

/// Writes a table.
pub fn write(table: &Table, file: &File, rows: impl FnOnce(Rows<'_>) -> Result<(), Failure>) -> Result<(), Failure> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by(concat!("vigie ", env!("CARGO_PKG_VERSION")).to_owned())
        .build();
    let mut writer = SerializedFileWriter::new(file, Arc::new(schema(table)?), Arc::new(properties))?;
    let mut held: Vec<Vec<Value>> = vec![Vec::new(); table.columns.len()];
    rows(&mut |values| {
        values.into_iter().zip(&mut held).for_each(|(value, column)| column.push(value));
        if held[0].len() == ROWS_A_GROUP {
            write_group(&mut writer, table, &mut held)?;
        }
        Ok(())
    })?;
    if !held[0].is_empty() {
        write_group(&mut writer, table, &mut held)?;
    }
    writer.close()?;
    Ok(())
}

fn schema(table: &Table) -> Result<Type, ParquetError> {
    let field = |column: &super::Column| {
        let (physical, logical) = match column.kind {
            Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Kind::Integer => (Physical::INT64, None),
            Kind::Real => (Physical::DOUBLE, None),
            Kind::Boolean => (Physical::BOOLEAN, None),
            Kind::Moment => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MILLIS))),
        };
        let builder = Type::primitive_type_builder(column.name, physical).with_repetition(Repetition::OPTIONAL);
        builder.with_logical_type(logical).build().map(Arc::new)
    };
    let fields = table.columns.iter().map(field).collect::<Result<_, _>>()?;
    Type::group_type_builder(table.name).with_fields(fields).build()
}

fn write_group(
    writer: &mut SerializedFileWriter<&File>,
    table: &Table,
    held: &mut [Vec<Value>],
) -> Result<(), Failure> {
    let mut group = writer.next_row_group()?;
    for (column, values) in table.columns.iter().zip(held) {
        let mut out =
            group.next_column()?.ok_or_else(|| ParquetError::General(format!("no column `{}`", column.name)))?;
        // A definition level of 1 says that the value is there.
        let levels: Vec<i16> = values.iter().map(|value| i16::from(*value != Value::Null)).collect();
        let values = std::mem::take(values);
        match out.untyped() {
            ColumnWriter::ByteArrayColumnWriter(out) => {
                let texts: Vec<ByteArray> = values.into_iter().filter_map(text).collect();
                out.write_batch(&texts, Some(&levels), None)?;
            }
            ColumnWriter::Int64ColumnWriter(out) => {
                let numbers: Vec<i64> = values.iter().filter_map(integer).collect();
                out.write_batch(&numbers, Some(&levels), None)?;
            }
            ColumnWriter::DoubleColumnWriter(out) => {
                let numbers: Vec<f64> = values.iter().filter_map(real).collect();
                out.write_batch(&numbers, Some(&levels), None)?;
            }
            ColumnWriter::BoolColumnWriter(out) => {
                let answers: Vec<bool> = values.iter().filter_map(integer).map(|number| number != 0).collect();
                out.write_batch(&answers, Some(&levels), None)?;
            }
            _ => return Err(ParquetError::General(format!("column `{}` has no writer", column.name)).into()),
        }
        out.close()?;
    }
    group.close()?;
    Ok(())
}

// The tables are strict, so that a column holds values of its kind or nothing.

fn text(value: Value) -> Option<ByteArray> {
    if let Value::Text(text) = value { Some(ByteArray::from(text.into_bytes())) } else { None }
}

fn integer(value: &Value) -> Option<i64> {
    if let Value::Integer(number) = value { Some(*number) } else { None }
}

fn real(value: &Value) -> Option<f64> {
    match value {
        Value::Real(number) => Some(*number),
        Value::Integer(number) => Some(*number as f64),
        Value::Null | Value::Text(_) | Value::Blob(_) => None,
    }
}
