//! Plans at work in a session: the server's columns and rows in, those of the answer out, in the formats that a client wants.

use super::{CellKeys, Cells, OutputType, Plan, binary};
use crate::{
    session::engine::{self, CellRow},
    wire::{RowDescription, put_data_row},
};
use bytes::{BufMut as _, BytesMut};
use std::sync::{Arc, OnceLock};

/// One question on its way: its plan, the values of its parameters, and the secret of the noise.
#[derive(Debug)]
pub struct Figures {
    plan: Arc<Plan>,
    keys: CellKeys,
    parameters: Vec<Option<Vec<u8>>>,
    /// The types of the dimensions, once the server has said them.
    served: OnceLock<Vec<u32>>,
}

impl Figures {
    /// Begins a question. Where the plan has parameters it answers nothing until they are [bound](engine::Cells::bound): noise
    /// that did not depend on them would be the same for two questions that differ by one person.
    pub fn new(plan: Arc<Plan>, keys: CellKeys) -> Self {
        Self { plan, keys, parameters: Vec::new(), served: OnceLock::new() }
    }

    /// Returns the plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}

/// The format of a column: none given means text, one means all.
fn format(formats: &[i16], column: usize) -> i16 {
    match formats {
        [] => 0,
        [all] => *all,
        each => each.get(column).copied().unwrap_or(0),
    }
}

impl engine::Cells for Figures {
    fn describe(&self, attested: &RowDescription<'_>, formats: &[i16], out: &mut BytesMut) -> Result<(), String> {
        let fields: Vec<_> = attested.fields().collect();
        if fields.len() != self.plan.n_columns() {
            return Err(format!("the server describes {} columns, expected {}", fields.len(), self.plan.n_columns()));
        }
        let oids = fields[..self.plan.n_dimensions].iter().map(|field| field.type_oid).collect();
        let known: &Vec<u32> = self.served.get_or_init(|| oids);
        if fields.iter().zip(known).any(|(field, oid)| field.type_oid != *oid) {
            return Err("the server describes dimensions of other types than before".to_owned());
        }
        let start = out.len();
        out.put_slice(b"T\0\0\0\0");
        out.put_u16(self.plan.outputs().len() as u16);
        for (column, output) in self.plan.outputs().iter().enumerate() {
            // A zero byte would end the name early.
            out.extend(output.name.bytes().filter(|byte| *byte != 0));
            out.put_u8(0);
            // No table and no column: what is shown is computed, as far as anybody can tell.
            out.put_u32(0);
            out.put_i16(0);
            let (oid, size, modifier) = match output.of {
                OutputType::AsServed(at) => (fields[at].type_oid, fields[at].size, fields[at].modifier),
                OutputType::Bigint => (binary::BIGINT, 8, -1),
                OutputType::Numeric => (binary::NUMERIC, -1, -1),
                OutputType::Text => (binary::TEXT, -1, -1),
            };
            out.put_u32(oid);
            out.put_i16(size);
            out.put_i32(modifier);
            out.put_i16(format(formats, column));
        }
        let length = (out.len() - start - 1) as u32;
        out[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    fn cost(&self) -> u32 {
        self.plan.cost()
    }

    fn bound(&self, parameters: Vec<Option<Vec<u8>>>) -> Arc<dyn engine::Cells> {
        Arc::new(Self {
            plan: Arc::clone(&self.plan),
            keys: self.keys.clone(),
            parameters,
            served: self.served.clone(),
        })
    }

    fn write(&self, rows: &[CellRow], formats: &[i16], out: &mut BytesMut) -> Result<u64, String> {
        let parameters: Vec<_> = self.parameters.iter().map(Option::as_deref).collect();
        let mut cells = Cells::new(&self.plan, &parameters, &self.keys);
        for row in rows {
            let row: Vec<_> = row.iter().map(Option::as_deref).collect();
            cells.push(&row).map_err(|error| error.to_string())?;
        }
        let answer = cells.finish();
        let types: Vec<Option<u32>> = (self.plan.outputs().iter())
            .map(|output| match output.of {
                OutputType::AsServed(at) => self.served.get().map(|served| served[at]),
                of => of.oid().map(|(oid, _)| oid),
            })
            .collect();
        // Written aside, so that nothing has left if the last row cannot be written.
        let mut written = BytesMut::new();
        for row in &answer {
            let mut values = Vec::with_capacity(row.len());
            for (column, value) in row.iter().enumerate() {
                values.push(match (value, format(formats, column)) {
                    (None, _) => None,
                    (Some(text), 0) => Some(text.clone()),
                    (Some(text), _) => {
                        let bytes = types[column].and_then(|oid| binary::encode(oid, text));
                        Some(bytes.ok_or_else(|| {
                            format!(
                                "column `{}` has no binary format here; ask for text",
                                self.plan.outputs()[column].name
                            )
                        })?)
                    }
                });
            }
            put_data_row(values.iter().map(Option::as_deref), &mut written);
        }
        out.extend_from_slice(&written);
        Ok(answer.len() as u64)
    }
}
