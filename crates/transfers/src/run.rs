//! Running a flow: batch by batch, read, decided, accounted for, and only then handed over.
//!
//! The order of steps for a batch: what stays is decided; the intent is durable; the record is durable in the vault, then
//! the entry in the ledger, then that it is logged; its receipt is had; orders are looked at once more; it is delivered;
//! that is durable. Whoever kills the program finds, at the next run, which of these was the last, and nothing leaves
//! twice or is passed over.
//!
//! The surprise: a batch that was logged and must not leave after all, because an order or a refusal came in between, is
//! voided: an entry with the flag `denied` names it. The ledger may say too much for a moment, never too little.

use crate::choice::{ChoiceError, Choices, Reason, Withheld};
use crate::deliver::{Delivery, NotDelivered};
use crate::encode::{as_held, encode};
use crate::field::{FieldType, PseudonymKey, Treatment, leaving_schema, row_template, write_content};
use crate::flow::{Flow, Register};
use crate::order::{OrderError, Orders, Stops, in_group};
use crate::progress::{Line, Lines, Logged, Pending, Progress, ProgressError};
use crate::source::{self, Chunk, SourceError};
use crate::wire::{BatchReceipt, END_HEADER, HEADER, Header, SCHEMA};
use arrow_array::{Array as _, ArrayRef, BooleanArray, RecordBatch, StringArray, new_null_array};
use arrow_select::{
    filter::{filter, filter_record_batch},
    nullif::nullif,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio_postgres::Client;
use vigie_accounting::{Accounts, Draft, JournalError, NotLogged, Receipted};
use vigie_ledger::entry::Flags;
use vigie_ledger::{Entry, EventId, Hash, Kind};
use vigie_vault::{FileError, Record, RowList, RowRefused};

/// For how long what people chose is taken as known. What takes longer is asked again before it leaves.
pub const CHOICES_HOLD: Duration = Duration::from_secs(1);

/// What a flow is run with.
pub struct Run<'r> {
    /// The register.
    pub register: &'r Register,
    /// The flow.
    pub flow: &'r Flow,
    /// Ledger and vault.
    pub accounts: &'r Accounts,
    /// Makes pseudonyms.
    pub pseudonyms: PseudonymKey,
    /// The recipient.
    pub delivery: Delivery,
    /// Knows what people chose.
    pub choices: &'r Client,
    /// Is told of each batch.
    pub heard: &'r mut (dyn FnMut(&Progress) + Send),
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Report {
    /// The run's name.
    pub run: String,
    /// Records read.
    pub read: u64,
    /// Records that left.
    pub records: u64,
    /// Records that stayed, by reason.
    pub withheld: Withheld,
    /// Batches.
    pub batches: u64,
    /// The entry that ends the run.
    pub end: Receipted,
    /// What took how long.
    pub spent: Spent,
}

/// What took how long.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spent {
    /// Reading records.
    pub reading: Duration,
    /// Asking what people chose, and for orders.
    pub choosing: Duration,
    /// Salts, commitments and roots.
    pub committing: Duration,
    /// Ledger and vault, until the receipt is there.
    pub logging: Duration,
    /// Making files.
    pub encoding: Duration,
    /// Handing over.
    pub delivering: Duration,
}

/// Why a flow did not end. What left before is accounted for; run it again to go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Records cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Choices are not known.
    #[error(transparent)]
    Choice(#[from] ChoiceError),
    /// Orders are not known.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// It is not known how far the flow is.
    #[error(transparent)]
    Progress(#[from] ProgressError),
    /// A batch could not be accounted for, so it did not leave.
    #[error("batch {batch} could not be accounted for, so nothing of it left")]
    NotLogged {
        /// The batch.
        batch: u64,
        /// Why.
        #[source]
        source: NotLogged,
    },
    /// Its receipt could not be had.
    #[error("the receipt of batch {batch} could not be had, so nothing of it left")]
    NoReceipt {
        /// The batch.
        batch: u64,
        /// Why.
        #[source]
        source: JournalError,
    },
    /// The vault cannot be read.
    #[error("the vault could not be read")]
    Vault(#[from] FileError),
    /// The recipient did not take it, or did not say so.
    #[error(transparent)]
    NotDelivered(#[from] NotDelivered),
    /// A record cannot be accounted for.
    #[error("a record of batch {batch} cannot be accounted for")]
    Row {
        /// The batch.
        batch: u64,
        /// Why.
        #[source]
        source: RowRefused,
    },
    /// A file cannot be made.
    #[error("batch {batch} cannot be written as {format}: {why}")]
    Encode {
        /// The batch.
        batch: u64,
        /// The form.
        format: &'static str,
        /// Why.
        why: String,
    },
    /// The source changed since the flow was broken off.
    #[error(
        "the source is not the one with which this run of `{0}` began, so what was sent of it cannot be told from what was not"
    )]
    OtherSource(String),
    /// A name is no event.
    #[error("the progress of the flow names event `{0}`, which is no event")]
    Event(String),
}

/// A batch, decided.
struct Built {
    records: RecordBatch,
    list: RowList,
    header: String,
    withheld: Withheld,
    stops: Stops,
    decided: Instant,
}

/// What became of a batch.
enum Fate {
    Delivered,
    /// Something changed: it is to be decided again.
    Changed,
}

impl Run<'_> {
    /// Hands over what is not handed over yet, to the end of the source. `source` reads it, if it is a query.
    ///
    /// # Errors
    ///
    /// [`RunError`]; running again goes on where this stopped.
    pub async fn to_end(mut self, source: &mut Client) -> Result<Report, RunError> {
        let flow = self.flow;
        self.delivery.prepare()?;
        let mut lines = Lines::open(&self.register.operator.state.join(format!("{}.jsonl", flow.name)))?;
        let fingerprint = tokio::task::block_in_place(|| source::fingerprint(&flow.source))?.to_base64();
        match &lines.progress.run {
            Some((_, began_with)) if *began_with != fingerprint => {
                return Err(RunError::OtherSource(flow.name.clone()));
            }
            Some(_) => {}
            None => {
                let run =
                    vigie_ledger::hash::hex(&random::<8>().map_err(|source| RunError::NotLogged { batch: 0, source })?);
                let at = u64::try_from(Timestamp::now().as_second()).unwrap_or_default();
                lines.add(Line::Begun { run, source: fingerprint.clone(), at })?;
            }
        }
        let mut kept = self.settle(&mut lines).await?;
        // Nobody's choice is asked before the database knows the purpose.
        let choices = Choices::open(self.choices, flow).await?;
        let mut spent = Spent::default();
        let mut reader = source::open(flow, &lines.progress.position.clone(), source).await?;
        loop {
            let began = Instant::now();
            let chunk = reader.next().await?;
            spent.reading += began.elapsed();
            let Some(chunk) = chunk else { break };
            while let Fate::Changed = self.batch(&mut lines, &choices, &chunk, kept.take(), &mut spent).await? {}
            (self.heard)(&lines.progress);
        }
        if let Some(record) = kept {
            // The source ended before what was begun: it is not the same any more.
            self.void(&mut lines, &record, "the source ends before it").await?;
        }
        self.end(&mut lines, spent).await
    }

    /// Finds out what became of a batch that was on its way when the program ended. Returns its record, if it was kept
    /// and nothing of it left.
    async fn settle(&self, lines: &mut Lines) -> Result<Option<Record>, RunError> {
        let Some(pending) = lines.progress.pending.clone() else { return Ok(None) };
        let Pending { batch, event, until, records, withheld, logged } = pending;
        let event_id = read_event(&event)?;
        let file = self.file_of(lines, batch);
        if logged == Logged::Known {
            if self.delivery.has(&event, &file).await? {
                lines.add(Line::Delivered { batch, until, records, withheld })?;
                return Ok(None);
            }
            self.delivery.take_back(&event, &file).await?;
        }
        let record = self.accounts.vault().find(event_id)?;
        if record.is_none() {
            // Nothing is kept before the intent is durable, and nothing logged before it is kept.
            lines.add(Line::Voided { event })?;
        }
        Ok(record)
    }

    async fn batch(
        &mut self,
        lines: &mut Lines,
        choices: &Choices<'_>,
        chunk: &Chunk,
        kept: Option<Record>,
        spent: &mut Spent,
    ) -> Result<Fate, RunError> {
        let batch = lines.progress.batch;
        let began = Instant::now();
        let stops = self.stops()?;
        let reasons = self.reasons(choices, chunk, &stops).await?;
        spent.choosing += began.elapsed();
        let built = self.build(lines, chunk, &reasons, stops)?;
        let until = chunk.until.clone();
        let records = built.records.num_rows() as u64;
        let mut record = None;
        if let Some(kept) = kept {
            if kept.header == built.header.as_bytes() && *kept.rows.list() == built.list {
                record = Some(kept);
            } else {
                self.void(lines, &kept, "it was decided again, and differently").await?;
            }
        }
        if records == 0 {
            lines.add(Line::Delivered { batch, until, records, withheld: built.withheld })?;
            return Ok(Fate::Delivered);
        }
        let not_logged = |source| RunError::NotLogged { batch, source };
        let (record, is_kept) = if let Some(record) = record {
            (record, true)
        } else {
            let began = Instant::now();
            let (list, header) = (built.list.clone(), built.header.clone().into_bytes());
            let draft = Draft {
                kind: Kind::TransferOut,
                flags: Flags::NONE,
                peer_ref: Hash([0; 32]),
                header,
                rows: list,
                event_id: None,
            };
            let record = tokio::task::block_in_place(|| draft.into_record()).map_err(not_logged)?;
            spent.committing += began.elapsed();
            (record, false)
        };
        let event = record.event_id().to_string();
        let began = Instant::now();
        let placed = if is_kept {
            // Handing it in again gives the place that it has.
            let placed = self.accounts.journal().append(&record.entry.to_bytes()).await;
            let placed = placed.map_err(|error| not_logged(error.into()))?;
            Receipted { event_id: record.event_id(), index: placed.index, row_base: placed.row_base }
        } else {
            let withheld = built.withheld.clone();
            lines.add(Line::Intent { batch, event: event.clone(), until: until.clone(), records, withheld })?;
            self.accounts.log_kept_first(record.clone()).await.map_err(not_logged)?
        };
        lines.add(Line::Logged { event: event.clone(), index: placed.index })?;
        let receipt = self.accounts.journal().receipt(&record.entry.to_bytes(), placed.index).await;
        let receipt = receipt.map_err(|source| RunError::NoReceipt { batch, source })?;
        spent.logging += began.elapsed();
        let began = Instant::now();
        let format = self.flow.destination.format;
        let file = tokio::task::block_in_place(|| encode(format, &built.records));
        let file = file.map_err(|why| RunError::Encode { batch, format: format.name(), why })?;
        spent.encoding += began.elapsed();
        let entry = Entry { row_base: placed.row_base, ..record.entry };
        let document = BatchReceipt {
            schema: SCHEMA.to_owned(),
            file: self.file_of(lines, batch),
            sha256: Hash::of(&file).to_base64(),
            entry: BASE64_STANDARD.encode(entry.to_bytes()),
            header: built.header.clone(),
            header_salt: BASE64_STANDARD.encode(record.header_salt.0),
            salts: BASE64_STANDARD
                .encode(record.rows.seed().expect("nothing of it was erased: it is not handed over yet")),
            receipt: String::from_utf8_lossy(&receipt.to_bytes()).into_owned(),
        };
        let began = Instant::now();
        let mut changed = self.stops()? != built.stops;
        if built.decided.elapsed() > CHOICES_HOLD && !changed {
            changed = self.reasons(choices, chunk, &built.stops).await? != reasons;
        }
        spent.choosing += began.elapsed();
        if changed {
            self.void(lines, &record, "an order or a refusal came before it left").await?;
            return Ok(Fate::Changed);
        }
        let began = Instant::now();
        self.delivery.deliver(&event, &document, file).await?;
        spent.delivering += began.elapsed();
        lines.add(Line::Delivered { batch, until, records, withheld: built.withheld })?;
        Ok(Fate::Delivered)
    }

    fn stops(&self) -> Result<Stops, OrderError> {
        let orders = Orders::read(&self.register.operator.orders, &self.register.authorities)?;
        Ok(orders.stops(self.flow, Timestamp::now()))
    }

    /// Says of each record whether it stays, and why.
    async fn reasons(
        &self,
        choices: &Choices<'_>,
        chunk: &Chunk,
        stops: &Stops,
    ) -> Result<Vec<Option<Reason>>, ChoiceError> {
        let ordered = stops.of(&chunk.fields);
        let subjects: Vec<Option<&str>> = chunk.subjects.iter().collect();
        let mut reasons = choices.of(&subjects).await?;
        for (reason, ordered) in reasons.iter_mut().zip(ordered) {
            if ordered {
                *reason = Some(Reason::Ordered);
            }
        }
        Ok(reasons)
    }

    fn build(&self, lines: &Lines, chunk: &Chunk, reasons: &[Option<Reason>], stops: Stops) -> Result<Built, RunError> {
        let decided = Instant::now();
        let batch = lines.progress.batch;
        let mut withheld = Withheld::new();
        for reason in reasons.iter().flatten() {
            *withheld.entry(reason.name().to_owned()).or_default() += 1;
        }
        let goes: BooleanArray = reasons.iter().map(|reason| Some(reason.is_none())).collect();
        let fits = "the mask has a value for each record";
        let fields = filter_record_batch(&chunk.fields, &goes).expect(fits);
        let subjects = filter(&chunk.subjects, &goes).expect(fits);
        let subjects = subjects.as_any().downcast_ref::<StringArray>().expect("filtering keeps the type");
        let leaving: Vec<(String, FieldType)> =
            self.flow.fields.iter().map(|field| (field.name.clone(), field.leaves_as())).collect();
        let columns = self.flow.fields.iter().zip(fields.columns()).map(|(field, column)| -> ArrayRef {
            if stops.fields.contains(&field.name) {
                return new_null_array(&field.leaves_as().in_arrow(), column.len());
            }
            let mut column = match field.treatment {
                Treatment::Plain => column.clone(),
                Treatment::Pseudonym => self.pseudonyms.column(&field.name, column),
            };
            for (_, group) in stops.fields_of_groups.iter().filter(|(name, _)| *name == field.name) {
                column = nullif(&column, &BooleanArray::from(in_group(&fields, group))).expect(fits);
            }
            column
        });
        let records =
            RecordBatch::try_new(leaving_schema(&leaving), columns.collect()).expect("columns are as they leave");
        let records = as_held(self.flow.destination.format, &records);
        let refused = |source| RunError::Row { batch, source };
        let names: Vec<&str> = self.flow.fields.iter().map(|field| field.name.as_str()).collect();
        let template = row_template(&self.flow.name, &self.flow.recipient, &self.flow.purpose, &names);
        let mut list = RowList::with_content(vec![template]).map_err(refused)?;
        let (mut text, mut content) = (String::new(), Vec::new());
        for row in 0..records.num_rows() {
            write_content(&records, row, &mut text, &mut content);
            list.push_content(0, subjects.value(row).as_bytes(), &content).map_err(refused)?;
        }
        let header = self.header(lines, reasons.len(), &withheld, &stops);
        Ok(Built { records, list, header, withheld, stops, decided })
    }

    fn header(&self, lines: &Lines, read: usize, withheld: &Withheld, stops: &Stops) -> String {
        let flow = self.flow;
        let (run, source) = lines.progress.run.clone().unwrap_or_default();
        let mut said = vec![
            ("controller", self.register.controller.clone()),
            ("flow", flow.name.clone()),
            ("run", run),
            ("batch", lines.progress.batch.to_string()),
            ("recipient", flow.recipient.clone()),
            ("role", flow.role.name().to_owned()),
            ("purpose", flow.purpose.clone()),
            ("term", flow.term.clone()),
            ("basis", flow.basis.as_str().to_owned()),
            ("residency", flow.residency.clone()),
            ("source", source),
            ("format", flow.destination.format.name().to_owned()),
            ("subject", flow.subject.clone()),
        ];
        for field in &flow.fields {
            said.push(("field", format!("{} {} {}", field.name, field.leaves_as().name(), field.treatment.name())));
        }
        said.push(("read", read.to_string()));
        said.extend(withheld.iter().map(|(reason, count)| ("withheld", format!("{reason} {count}"))));
        said.extend(stops.hashes.iter().map(|hash| ("order", format!("sha256:{}", hash.to_hex()))));
        Header::write(HEADER, &said)
    }

    fn file_of(&self, lines: &Lines, batch: u64) -> String {
        let run = lines.progress.run.as_ref().map_or("", |(run, _)| run);
        format!("{}-{run}-{batch:06}.{}", self.flow.name, self.flow.destination.format.name())
    }

    /// Says in the ledger that a batch that is logged did not leave. It is logged first, if it was only kept.
    async fn void(&self, lines: &mut Lines, record: &Record, why: &str) -> Result<(), RunError> {
        let batch = lines.progress.batch;
        let not_logged = |source| RunError::NotLogged { batch, source };
        let placed = self.accounts.journal().append(&record.entry.to_bytes()).await;
        let placed = placed.map_err(|error| not_logged(error.into()))?;
        // If we stop here, the batch is still pending, and voided at the next run: twice at most, under one name.
        let event_id = EventId(
            Hash::of(&[b"void".as_slice(), &record.event_id().0].concat()).0[..16].try_into().expect("16 bytes"),
        );
        let header = Header::write(
            "vigie/transfer-void/v1",
            &[("flow", self.flow.name.clone()), ("event", record.event_id().to_string()), ("reason", why.to_owned())],
        );
        self.log_once(event_id, header, Flags::DENIED, placed.leaf).await.map_err(not_logged)?;
        lines.add(Line::Voided { event: record.event_id().to_string() })?;
        Ok(())
    }

    /// Logs an event without rows under a name of its own, once.
    async fn log_once(
        &self,
        event_id: EventId,
        header: String,
        flags: Flags,
        peer_ref: Hash,
    ) -> Result<Receipted, NotLogged> {
        let there = self.accounts.vault().find(event_id).ok().flatten();
        if let Some(record) = there {
            let placed = self.accounts.journal().append(&record.entry.to_bytes()).await?;
            return Ok(Receipted { event_id, index: placed.index, row_base: placed.row_base });
        }
        let rows = RowList::with_content(Vec::new())?;
        let draft = Draft {
            kind: Kind::TransferOut,
            flags,
            peer_ref,
            header: header.into_bytes(),
            rows,
            event_id: Some(event_id),
        };
        self.accounts.log_kept_first(draft.into_record()?).await
    }

    async fn end(&self, lines: &mut Lines, spent: Spent) -> Result<Report, RunError> {
        let progress = lines.progress.clone();
        let (run, _) = progress.run.unwrap_or_default();
        let mut said = vec![
            ("controller", self.register.controller.clone()),
            ("flow", self.flow.name.clone()),
            ("run", run.clone()),
            ("recipient", self.flow.recipient.clone()),
            ("purpose", self.flow.purpose.clone()),
            ("batches", progress.batch.to_string()),
            ("read", progress.position.records.to_string()),
            ("records", progress.records.to_string()),
        ];
        said.extend(progress.withheld.iter().map(|(reason, count)| ("withheld", format!("{reason} {count}"))));
        let event_id = EventId(Hash::of(format!("end {run}").as_bytes()).0[..16].try_into().expect("16 bytes"));
        let logged = self.log_once(event_id, Header::write(END_HEADER, &said), Flags::NONE, Hash([0; 32])).await;
        let end = logged.map_err(|source| RunError::NotLogged { batch: progress.batch, source })?;
        lines.add(Line::Ended { run: run.clone() })?;
        Ok(Report {
            run,
            read: progress.position.records,
            records: progress.records,
            withheld: progress.withheld,
            batches: progress.batch,
            end,
            spent,
        })
    }
}

fn read_event(text: &str) -> Result<EventId, RunError> {
    let wrong = || RunError::Event(text.to_owned());
    if text.len() != 32 || !text.is_ascii() {
        return Err(wrong());
    }
    let mut id = [0; 16];
    for (byte, at) in id.iter_mut().zip((0..32).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| wrong())?;
    }
    Ok(EventId(id))
}

fn random<const N: usize>() -> Result<[u8; N], NotLogged> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| NotLogged::Random(error.to_string()))?;
    Ok(bytes)
}

/// Sums up what stayed, in words.
pub fn withheld_in_words(withheld: &BTreeMap<String, u64>) -> String {
    let each: Vec<String> = withheld.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    if each.is_empty() { "none".to_owned() } else { each.join(", ") }
}
