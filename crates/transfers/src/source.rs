//! Records from files and from PostgreSQL, a bounded number at a time.
//!
//! Only declared columns are read, and the one with the person's id; each value is of its declared type or the source is
//! refused. A source is asked to begin behind what was handed over before.
//!
//! The surprise: in PostgreSQL a record is told by its key and not by its number, so that a flow that was broken off goes
//! on correctly in a database that has changed since.

use crate::field::{Field, FieldType, as_declared, leaving_schema, value_text};
use crate::flow::{Flow, Format, Source};
use arrow_array::{Array as _, ArrayRef, RecordBatch, RecordBatchReader, StringArray, cast::AsArray as _};
use arrow_schema::{ArrowError, DataType, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_postgres::{Client, Portal, Transaction};
use vigie_ledger::Hash;
use vigie_policy::map::SubjectType;

/// Why records cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file cannot be read.
    #[error("`{}` cannot be read: {why}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A declared column is not there.
    #[error("`{place}` has no column `{column}`")]
    NoColumn {
        /// The source.
        place: String,
        /// The column.
        column: String,
    },
    /// A value is not of the declared type.
    #[error("column `{column}` of `{place}`, among records {from} to {to}, is not {expected} throughout: {why}")]
    Type {
        /// The source.
        place: String,
        /// The column.
        column: String,
        /// First record of the batch, from 1.
        from: u64,
        /// Last one.
        to: u64,
        /// The declared type.
        expected: &'static str,
        /// Why.
        why: String,
    },
    /// Records cannot be read.
    #[error("`{place}` cannot be read behind record {after}: {why}")]
    Records {
        /// The source.
        place: String,
        /// How many were read.
        after: u64,
        /// Why.
        why: String,
    },
    /// The database does not answer the query.
    #[error("the query of flow `{flow}` failed")]
    Query {
        /// The flow.
        flow: String,
        /// Why.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A key is NULL, or not in order.
    #[error("the key of flow `{0}` is NULL in a record: records could not be told apart")]
    Key(String),
}

/// How far into its source a flow is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Position {
    /// Records read.
    pub records: u64,
    /// The key of the last one, in PostgreSQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// Records that were read together.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// The declared fields, of their declared types.
    pub fields: RecordBatch,
    /// Whom each record is about.
    pub subjects: StringArray,
    /// Where the source is behind it.
    pub until: Position,
}

/// A source that is read.
pub enum Reader<'db> {
    /// A file.
    File(FileReader),
    /// A query.
    Postgres(Box<QueryReader<'db>>),
}

/// A file that is read.
pub struct FileReader {
    place: String,
    batches: Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>,
    columns: Columns,
    records: u64,
}

/// A query that is read.
pub struct QueryReader<'db> {
    flow: String,
    transaction: Transaction<'db>,
    portal: Portal,
    columns: Columns,
    at_once: i32,
    position: Position,
}

/// What is read of a source.
#[derive(Debug, Clone)]
struct Columns {
    fields: Vec<Field>,
    subject: String,
    subject_type: FieldType,
}

impl Columns {
    fn of(flow: &Flow) -> Self {
        let declared = flow.fields.iter().find(|field| field.name == flow.subject);
        let subject_type = declared.map_or_else(
            || if flow.subject_type == SubjectType::Bigint { FieldType::Integer } else { FieldType::Text },
            |field| field.field_type,
        );
        Self { fields: flow.fields.clone(), subject: flow.subject.clone(), subject_type }
    }

    /// Lists what is read: declared fields, and the subject if it is none of them.
    fn wanted(&self) -> Vec<(String, FieldType)> {
        let mut wanted: Vec<_> = self.fields.iter().map(|field| (field.name.clone(), field.field_type)).collect();
        if wanted.iter().all(|(name, _)| *name != self.subject) {
            wanted.push((self.subject.clone(), self.subject_type));
        }
        wanted
    }

    fn chunk(&self, place: &str, batch: &RecordBatch, until: Position) -> Result<Chunk, SourceError> {
        let column = |name: &str, field_type: FieldType| -> Result<ArrayRef, SourceError> {
            let missing = || SourceError::NoColumn { place: place.to_owned(), column: name.to_owned() };
            let column = batch.column_by_name(name).ok_or_else(missing)?;
            as_declared(column, field_type).map_err(|error| SourceError::Type {
                place: place.to_owned(),
                column: name.to_owned(),
                from: until.records - batch.num_rows() as u64 + 1,
                to: until.records,
                expected: field_type.name(),
                why: error.to_string(),
            })
        };
        let columns = self.fields.iter().map(|field| column(&field.name, field.field_type));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let schema =
            leaving_schema(&self.fields.iter().map(|field| (field.name.clone(), field.field_type)).collect::<Vec<_>>());
        let fields = RecordBatch::try_new(schema, columns).expect("columns are of the schema's types");
        let subject = column(&self.subject, self.subject_type)?;
        let subjects = if *subject.data_type() == DataType::Utf8 {
            subject.as_string::<i32>().clone()
        } else {
            (0..subject.len()).map(|row| value_text(&subject, row)).collect()
        };
        Ok(Chunk { fields, subjects, until })
    }
}

/// Names what a source consists of now, so that going on in another one is noticed. Reads a whole file.
///
/// # Errors
///
/// [`SourceError::File`].
pub fn fingerprint(source: &Source) -> Result<Hash, SourceError> {
    match source {
        Source::File { path, .. } => {
            let failed = |error: std::io::Error| SourceError::File { path: path.clone(), why: error.to_string() };
            let (mut file, mut hash) = (File::open(path).map_err(failed)?, Sha256::new());
            let mut buffer = vec![0; 1 << 20];
            loop {
                match file.read(&mut buffer).map_err(failed)? {
                    0 => return Ok(Hash(hash.finalize().into())),
                    read => hash.update(&buffer[..read]),
                }
            }
        }
        Source::Postgres { query, key } => Ok(Hash::of(format!("{key}\n{query}").as_bytes())),
    }
}

/// Opens a flow's source behind a position.
///
/// # Errors
///
/// [`SourceError`].
pub async fn open<'db>(flow: &Flow, from: &Position, client: &'db mut Client) -> Result<Reader<'db>, SourceError> {
    let columns = Columns::of(flow);
    match &flow.source {
        Source::File { format, path } => {
            let at_once = flow.batch_records as usize;
            open_file(*format, path, &columns.wanted(), from.records, at_once).map(|batches| {
                let place = path.display().to_string();
                Reader::File(FileReader { place, batches, columns, records: from.records })
            })
        }
        Source::Postgres { query, key } => {
            open_query(flow, columns, query, key, from, client).await.map(|reader| Reader::Postgres(Box::new(reader)))
        }
    }
}

/// Batches of records.
pub type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

/// Opens a file behind so many records; columns may be of other types than wanted in Parquet, and are text in CSV.
///
/// # Errors
///
/// [`SourceError`].
pub fn open_file(
    format: Format,
    path: &Path,
    wanted: &[(String, FieldType)],
    behind: u64,
    at_once: usize,
) -> Result<Batches, SourceError> {
    let failed = |why: String| SourceError::File { path: path.to_owned(), why };
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    let no_column =
        |column: &str| SourceError::NoColumn { place: path.display().to_string(), column: column.to_owned() };
    match format {
        Format::Parquet => {
            let builder = ParquetRecordBatchReaderBuilder::try_new(file)
                .map_err(|error| failed(format!("it is no whole Parquet file: {error}")))?;
            let mut roots = Vec::new();
            for (name, _) in wanted {
                roots.push(builder.schema().index_of(name).map_err(|_| no_column(name))?);
            }
            let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
            let behind = usize::try_from(behind).unwrap_or(usize::MAX);
            let total = usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
            if behind >= total {
                return Ok(Box::new(std::iter::empty()));
            }
            let reader = builder.with_projection(mask).with_batch_size(at_once).with_offset(behind).build();
            Ok(Box::new(reader.map_err(|error| failed(error.to_string()))?))
        }
        Format::Csv => {
            let mut lines = BufReader::new(file);
            let mut head = String::new();
            lines.read_line(&mut head).map_err(|error| failed(error.to_string()))?;
            let mut names = Vec::new();
            let format = arrow_csv::reader::Format::default().with_header(true);
            let (schema, _) =
                format.infer_schema(head.as_bytes(), Some(0)).map_err(|error| failed(error.to_string()))?;
            for field in schema.fields() {
                names.push(arrow_schema::Field::new(field.name(), DataType::Utf8, true));
            }
            let schema = Arc::new(Schema::new(names));
            let mut roots = Vec::new();
            for (name, _) in wanted {
                roots.push(schema.index_of(name).map_err(|_| no_column(name))?);
            }
            let file = File::open(path).map_err(|error| failed(error.to_string()))?;
            let reader =
                arrow_csv::ReaderBuilder::new(schema).with_header(true).with_batch_size(at_once).with_projection(roots);
            let reader = reader.build(file).map_err(|error| failed(error.to_string()))?;
            Ok(skipping(reader, behind))
        }
        Format::Ndjson => {
            // Read as declared: what is of another type is refused here.
            let schema = leaving_schema(wanted);
            let reader = arrow_json::ReaderBuilder::new(schema).with_batch_size(at_once).build(BufReader::new(file));
            Ok(skipping(reader.map_err(|error| failed(error.to_string()))?, behind))
        }
    }
}

/// Reads over so many records.
fn skipping(reader: impl RecordBatchReader + Send + 'static, mut behind: u64) -> Batches {
    Box::new(reader.filter_map(move |batch| match batch {
        Ok(batch) if behind > 0 => {
            let passed = behind.min(batch.num_rows() as u64);
            behind -= passed;
            let left = batch.num_rows() - passed as usize;
            (left > 0).then(|| Ok(batch.slice(passed as usize, left)))
        }
        other => Some(other),
    }))
}

async fn open_query<'db>(
    flow: &Flow,
    columns: Columns,
    query: &str,
    key: &str,
    from: &Position,
    client: &'db mut Client,
) -> Result<QueryReader<'db>, SourceError> {
    let failed = |source| SourceError::Query { flow: flow.name.clone(), source };
    let transaction = client
        .build_transaction()
        .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await
        .map_err(failed)?;
    transaction.batch_execute("SET LOCAL datestyle = 'ISO'; SET LOCAL timezone = 'UTC'").await.map_err(failed)?;
    let key = quoted(key);
    let first = transaction.prepare(&format!("SELECT {key} FROM ({query}) AS source")).await.map_err(failed)?;
    let key_type = first.columns()[0].type_().name().to_owned();
    let mut selected = vec![format!("{key}::text")];
    for (name, field_type) in columns.wanted() {
        let name = quoted(&name);
        selected.push(match field_type {
            FieldType::Time => format!("to_char({name}::timestamptz, 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"),
            FieldType::Boolean => format!("CASE WHEN {name} THEN 'true' WHEN NOT {name} THEN 'false' END"),
            FieldType::Text | FieldType::Integer | FieldType::Number | FieldType::Date => format!("{name}::text"),
        });
    }
    let behind =
        if from.key.is_some() { format!("WHERE {key} > $1::text::{}", quoted(&key_type)) } else { String::new() };
    let sql = format!("SELECT {} FROM ({query}) AS source {behind} ORDER BY {key}", selected.join(", "));
    let portal = match &from.key {
        Some(last) => transaction.bind(&sql, &[last]).await,
        None => transaction.bind(&sql, &[]).await,
    };
    let portal = portal.map_err(failed)?;
    let at_once = i32::try_from(flow.batch_records).unwrap_or(i32::MAX);
    Ok(QueryReader { flow: flow.name.clone(), transaction, portal, columns, at_once, position: from.clone() })
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Reader<'_> {
    /// Reads the next records; `None` behind the last.
    ///
    /// # Errors
    ///
    /// [`SourceError`].
    pub async fn next(&mut self) -> Result<Option<Chunk>, SourceError> {
        match self {
            Self::File(reader) => tokio::task::block_in_place(|| reader.next()),
            Self::Postgres(reader) => reader.next().await,
        }
    }
}

impl FileReader {
    fn next(&mut self) -> Result<Option<Chunk>, SourceError> {
        let place = &self.place;
        match self.batches.next() {
            None => Ok(None),
            Some(Err(error)) => {
                Err(SourceError::Records { place: place.clone(), after: self.records, why: error.to_string() })
            }
            Some(Ok(batch)) => {
                self.records += batch.num_rows() as u64;
                self.columns.chunk(place, &batch, Position { records: self.records, key: None }).map(Some)
            }
        }
    }
}

impl QueryReader<'_> {
    async fn next(&mut self) -> Result<Option<Chunk>, SourceError> {
        let failed = |source| SourceError::Query { flow: self.flow.clone(), source };
        let rows = self.transaction.query_portal(&self.portal, self.at_once).await.map_err(failed)?;
        let Some(last) = rows.last() else { return Ok(None) };
        let wanted = self.columns.wanted();
        let mut fields = Vec::new();
        let mut columns: Vec<ArrayRef> = Vec::new();
        for (at, (name, _)) in wanted.iter().enumerate() {
            let values = rows.iter().map(|row| row.try_get::<_, Option<&str>>(at + 1));
            let column = values.collect::<Result<StringArray, _>>().map_err(failed)?;
            fields.push(arrow_schema::Field::new(name, DataType::Utf8, true));
            columns.push(Arc::new(column));
        }
        let key: Option<String> = last.try_get(0).map_err(failed)?;
        self.position.records += rows.len() as u64;
        self.position.key = Some(key.ok_or_else(|| SourceError::Key(self.flow.clone()))?);
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("columns are of one length");
        self.columns.chunk(&format!("the query of {}", self.flow), &batch, self.position.clone()).map(Some)
    }
}
