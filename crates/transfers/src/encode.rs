//! Records as files: Parquet, CSV or lines of JSON.

use crate::flow::Format;
use arrow_array::{ArrayRef, RecordBatch, StringArray, cast::AsArray as _};
use arrow_schema::DataType;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use std::sync::Arc;

/// Writes records as a file of a form.
///
/// # Errors
///
/// What the writer says.
pub fn encode(format: Format, records: &RecordBatch) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    match format {
        Format::Parquet => {
            let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
            let writer = ArrowWriter::try_new(&mut bytes, records.schema(), Some(properties));
            let written = writer.and_then(|mut writer| {
                writer.write(records)?;
                writer.close()
            });
            written.map_err(|error| error.to_string())?;
        }
        Format::Csv => {
            let mut writer = arrow_csv::WriterBuilder::new().with_header(true).build(&mut bytes);
            writer.write(records).map_err(|error| error.to_string())?;
        }
        Format::Ndjson => {
            let mut writer = arrow_json::LineDelimitedWriter::new(&mut bytes);
            let written = writer.write(records).and_then(|()| writer.finish());
            written.map_err(|error| error.to_string())?;
        }
    }
    Ok(bytes)
}

/// Returns records as a form can hold them: CSV does not tell empty text from NULL, so that it is NULL there.
pub fn as_held(format: Format, records: &RecordBatch) -> RecordBatch {
    if format != Format::Csv {
        return records.clone();
    }
    let columns = records.columns().iter().map(|column| -> ArrayRef {
        if *column.data_type() == DataType::Utf8 {
            let values = column.as_string::<i32>().iter().map(|value| value.filter(|text| !text.is_empty()));
            Arc::new(values.collect::<StringArray>())
        } else {
            column.clone()
        }
    });
    RecordBatch::try_new(records.schema(), columns.collect()).expect("types and lengths are the same")
}
