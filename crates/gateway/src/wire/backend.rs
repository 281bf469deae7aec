//! What servers say.

use super::{
    Frame, HEADER_BYTES,
    reader::{Int16s, Malformed, Oids, Reader, Values, ValuesIter},
};
use bytes::{BufMut as _, BytesMut};

/// A message of a server, read in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend<'a> {
    /// A step of logging in.
    Authentication(Authentication<'a>),
    /// A setting that drivers want to know.
    ParameterStatus {
        /// Its name.
        name: &'a str,
        /// Its value.
        value: &'a str,
    },
    /// What a cancel request must say: at most 256 bytes of key, 4 before version 3.2.
    BackendKeyData {
        /// The server's process.
        process: u32,
        /// The secret.
        key: &'a [u8],
    },
    /// The server waits for the next statement.
    ReadyForQuery(TransactionStatus),
    /// The columns of the rows to come.
    RowDescription(RowDescription<'a>),
    /// A row.
    DataRow(DataRow<'a>),
    /// A statement ended; its tag, such as `SELECT 5`.
    CommandComplete(&'a str),
    /// A statement or the connection failed.
    ErrorResponse(Notice<'a>),
    /// A warning.
    NoticeResponse(Notice<'a>),
    /// The statement was empty.
    EmptyQueryResponse,
    /// A statement is prepared.
    ParseComplete,
    /// A portal is made.
    BindComplete,
    /// A statement or portal is forgotten.
    CloseComplete,
    /// The portal has more rows.
    PortalSuspended,
    /// The statement returns no rows.
    NoData,
    /// The types of a statement's parameters.
    ParameterDescription(Oids<'a>),
    /// What another session sent by NOTIFY.
    NotificationResponse {
        /// The sender's process.
        process: u32,
        /// The channel.
        channel: &'a str,
        /// What was sent.
        payload: &'a str,
    },
    /// Copying in begins.
    CopyInResponse(CopyResponse<'a>),
    /// Copying out begins.
    CopyOutResponse(CopyResponse<'a>),
    /// Copying both ways begins: replication.
    CopyBothResponse(CopyResponse<'a>),
    /// A piece of what is copied out.
    CopyData(&'a [u8]),
    /// All was copied out.
    CopyDone,
    /// What a function returned.
    FunctionCallResponse(Option<&'a [u8]>),
    /// The server speaks an older version than asked for, or does not know some options.
    NegotiateProtocolVersion {
        /// The newest version it speaks, such as [`super::VERSION_3_0`].
        version: u32,
        /// How many options it does not know.
        unknown_options: u32,
    },
}

/// A step of logging in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authentication<'a> {
    /// Done.
    Ok,
    /// The password as it is.
    CleartextPassword,
    /// The password hashed with MD5 and this salt.
    Md5Password([u8; 4]),
    /// SASL: the mechanisms offered, each ended by a zero.
    Sasl(&'a [u8]),
    /// The server's next message of SASL.
    SaslContinue(&'a [u8]),
    /// The server's last message of SASL.
    SaslFinal(&'a [u8]),
    /// Kerberos, GSSAPI, SSPI and whatever else: the code.
    Other(u32),
}

impl<'a> Authentication<'a> {
    /// Returns the names in the body of [`Authentication::Sasl`].
    pub fn mechanisms(list: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        list.split(|byte| *byte == 0).take_while(|name| !name.is_empty())
    }
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionStatus {
    /// Outside a transaction.
    Idle,
    /// In a transaction.
    InTransaction,
    /// In a transaction that failed and takes nothing but its end.
    Failed,
}

impl TransactionStatus {
    /// Returns it as `ReadyForQuery` writes it.
    pub fn byte(self) -> u8 {
        match self {
            Self::Idle => b'I',
            Self::InTransaction => b'T',
            Self::Failed => b'E',
        }
    }
}

/// The columns of the rows to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowDescription<'a> {
    count: usize,
    // INVARIANT (whole fields): exactly `count` fields; checked when it was read.
    bytes: &'a [u8],
}

/// One column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name. Bytes: a name is in the server's encoding of old databases, and is only passed on.
    pub name: &'a [u8],
    /// The table or view that it is a column of, as the server itself says; 0 for what is computed.
    pub table: u32,
    /// Which column of it, from 1; 0 for what is computed.
    pub column: i16,
    /// The type.
    pub type_oid: u32,
    /// The type's size in bytes; negative if it varies.
    pub size: i16,
    /// The type's modifier, such as a greatest length; −1 for none.
    pub modifier: i32,
    /// 0 is text, 1 is binary; 0 too where it is not known yet (Describe of a statement).
    pub format: i16,
}

impl<'a> RowDescription<'a> {
    /// Returns the columns as they were sent.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("RowDescription", body);
        let count = reader.count()?;
        for _ in 0..count {
            field(&mut reader)?;
        }
        reader.end()?;
        Ok(Self { count, bytes: &body[2..] })
    }

    /// Returns how many columns there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns each column.
    pub fn fields(&self) -> Fields<'a> {
        Fields { reader: Reader::new("RowDescription", self.bytes) }
    }

    /// Returns it without its last `n` columns; without any if it has no more than those.
    #[must_use]
    pub fn strip_last(&self, n: usize) -> Self {
        let count = self.count.saturating_sub(n);
        let mut fields = self.fields();
        fields.by_ref().take(count).for_each(drop);
        let mut rest = fields.reader;
        Self { count, bytes: &self.bytes[..self.bytes.len() - rest.rest().len()] }
    }

    /// Appends it as a message.
    pub fn put(&self, out: &mut BytesMut) {
        put_counted(b'T', self.count, self.bytes, out);
    }
}

/// Walks over columns.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        // (whole fields) holds, so the end is the only place where nothing is found.
        if self.reader.is_empty() { None } else { field(&mut self.reader).ok() }
    }
}

fn field<'a>(reader: &mut Reader<'a>) -> Result<Field<'a>, Malformed> {
    Ok(Field {
        name: reader.zero_ended()?,
        table: reader.u32()?,
        column: reader.i16()?,
        type_oid: reader.u32()?,
        size: reader.i16()?,
        modifier: reader.i32()?,
        format: reader.i16()?,
    })
}

/// A row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataRow<'a> {
    values: Values<'a>,
}

/// Walks over the columns of a row; NULL is `None`.
pub type Columns<'a> = ValuesIter<'a>;

impl<'a> DataRow<'a> {
    /// Reads the body of a row, without the tag and the length.
    ///
    /// # Errors
    ///
    /// If its columns do not fill it exactly.
    #[inline]
    pub fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("DataRow", body);
        let values = reader.values()?;
        reader.end()?;
        Ok(Self { values })
    }

    /// Returns how many columns there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Returns each column.
    pub fn columns(&self) -> Columns<'a> {
        self.values.into_iter()
    }

    /// Returns a column counted from 0; the outer `None` is a column that is not there, the inner one NULL.
    pub fn column(&self, position: usize) -> Option<Option<&'a [u8]>> {
        self.columns().nth(position)
    }

    /// Appends it as a message without its last `n` columns, in one copy; without any if it has no more than those.
    pub fn put_without_last(&self, n: usize, out: &mut BytesMut) {
        let count = self.len().saturating_sub(n);
        let mut columns = self.columns();
        columns.by_ref().take(count).for_each(drop);
        let bytes = self.values.bytes();
        put_counted(b'D', count, &bytes[..bytes.len() - columns.left()], out);
    }

    /// Appends it as a message of its first `count` columns, each as `replace` says: given the column's position and
    /// value, it appends the new value and returns what it did.
    pub fn put_replaced(
        &self,
        count: usize,
        out: &mut BytesMut,
        mut replace: impl FnMut(usize, Option<&'a [u8]>, &mut BytesMut) -> Replaced,
    ) {
        let count = count.min(self.len());
        let start = out.len();
        out.put_slice(&[b'D', 0, 0, 0, 0]);
        out.put_u16(count as u16);
        for (position, value) in self.columns().take(count).enumerate() {
            let at = out.len();
            out.put_i32(-1);
            let length = match replace(position, value, out) {
                Replaced::Kept => value.map(|value| {
                    out.truncate(at + 4);
                    out.put_slice(value);
                    value.len()
                }),
                Replaced::Null => {
                    out.truncate(at + 4);
                    None
                }
                Replaced::Written => Some(out.len() - at - 4),
            };
            if let Some(length) = length {
                out[at..at + 4].copy_from_slice(&(length as u32).to_be_bytes());
            }
        }
        let length = (out.len() - start - 1) as u32;
        out[start + 1..start + HEADER_BYTES].copy_from_slice(&length.to_be_bytes());
    }
}

/// What became of a column's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaced {
    /// It stays; what was appended for it is dropped.
    Kept,
    /// It becomes NULL.
    Null,
    /// The new value was appended.
    Written,
}

/// Cuts the last `n` columns from the row that a buffer holds, in place: the buffer gets shorter.
///
/// # Errors
///
/// If the buffer does not hold exactly one row, or the row has fewer than `n` columns; the buffer is then as before.
pub fn strip_last_columns(message: &mut BytesMut, n: usize) -> Result<(), Malformed> {
    let wrong = |what| Malformed { message: "DataRow", what };
    let frame = super::frame(message, super::MAX_SERVER_BYTES).ok().flatten();
    let frame = frame.filter(|frame| frame.tag == b'D' && frame.len() == message.len());
    let row = DataRow::parse(frame.ok_or_else(|| wrong("the buffer does not hold one row"))?.body())?;
    let count = row.len().checked_sub(n).ok_or_else(|| wrong("it has fewer columns than shall be cut"))?;
    let mut columns = row.columns();
    columns.by_ref().take(count).for_each(drop);
    let length = message.len() - columns.left();
    message.truncate(length);
    message[1..HEADER_BYTES].copy_from_slice(&((length - 1) as u32).to_be_bytes());
    message[HEADER_BYTES..HEADER_BYTES + 2].copy_from_slice(&(count as u16).to_be_bytes());
    Ok(())
}

fn put_counted(tag: u8, count: usize, bytes: &[u8], out: &mut BytesMut) {
    out.reserve(HEADER_BYTES + 2 + bytes.len());
    out.put_u8(tag);
    out.put_u32((4 + 2 + bytes.len()) as u32);
    out.put_u16(count as u16);
    out.put_slice(bytes);
}

/// The fields of an error or a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice<'a> {
    bytes: &'a [u8],
}

impl<'a> Notice<'a> {
    fn parse(message: &'static str, body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(message, body);
        while reader.u8()? != 0 {
            reader.zero_ended()?;
        }
        reader.end()?;
        Ok(Self { bytes: body })
    }

    /// Returns each field: its type, and its text in the encoding of the session.
    pub fn fields(&self) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        let mut reader = Reader::new("ErrorResponse", self.bytes);
        std::iter::from_fn(move || match reader.u8() {
            Ok(0) | Err(_) => None,
            Ok(kind) => reader.zero_ended().ok().map(|text| (kind, text)),
        })
    }

    /// Returns a field by its type, such as `b'M'`.
    pub fn field(&self, kind: u8) -> Option<&'a [u8]> {
        self.fields().find(|(field, _)| *field == kind).map(|(_, text)| text)
    }

    /// Returns the SQLSTATE, or nothing if there is none of five ASCII characters.
    pub fn code(&self) -> Option<&'a str> {
        let code = std::str::from_utf8(self.field(b'C')?).ok()?;
        (code.len() == 5 && code.is_ascii()).then_some(code)
    }
}

/// How something is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyResponse<'a> {
    /// 0 is text, 1 is binary.
    pub format: u8,
    /// The format of each column.
    pub columns: Int16s<'a>,
}

impl<'a> Backend<'a> {
    /// Reads a message of a server.
    ///
    /// # Errors
    ///
    /// If its type is unknown, or its body is not what the type demands.
    pub fn parse(frame: &Frame<'a>) -> Result<Self, Malformed> {
        let body = frame.body();
        let name = match frame.tag {
            b'D' => return DataRow::parse(body).map(Self::DataRow),
            b'd' => return Ok(Self::CopyData(body)),
            b'T' => return RowDescription::parse(body).map(Self::RowDescription),
            b'E' => return Notice::parse("ErrorResponse", body).map(Self::ErrorResponse),
            b'N' => return Notice::parse("NoticeResponse", body).map(Self::NoticeResponse),
            b'R' => "Authentication",
            b'S' => "ParameterStatus",
            b'K' => "BackendKeyData",
            b'Z' => "ReadyForQuery",
            b'C' => "CommandComplete",
            b'I' => "EmptyQueryResponse",
            b'1' => "ParseComplete",
            b'2' => "BindComplete",
            b'3' => "CloseComplete",
            b's' => "PortalSuspended",
            b'n' => "NoData",
            b't' => "ParameterDescription",
            b'A' => "NotificationResponse",
            b'G' => "CopyInResponse",
            b'H' => "CopyOutResponse",
            b'W' => "CopyBothResponse",
            b'c' => "CopyDone",
            b'V' => "FunctionCallResponse",
            b'v' => "NegotiateProtocolVersion",
            _ => return Err(Malformed { message: "of a server", what: "its type is unknown" }),
        };
        let mut reader = Reader::new(name, body);
        let copy = |reader: &mut Reader<'a>| Ok(CopyResponse { format: reader.u8()?, columns: reader.formats()? });
        let message = match frame.tag {
            b'R' => Self::Authentication(authentication(&mut reader)?),
            b'S' => Self::ParameterStatus { name: reader.text()?, value: reader.text()? },
            b'K' => {
                let (process, key) = (reader.u32()?, reader.rest());
                if !(4..=256).contains(&key.len()) {
                    return Err(reader.wrong("its key has fewer than 4 or more than 256 bytes"));
                }
                Self::BackendKeyData { process, key }
            }
            b'Z' => Self::ReadyForQuery(match reader.u8()? {
                b'I' => TransactionStatus::Idle,
                b'T' => TransactionStatus::InTransaction,
                b'E' => TransactionStatus::Failed,
                _ => return Err(reader.wrong("its status is unknown")),
            }),
            b'C' => Self::CommandComplete(reader.text()?),
            b'I' => Self::EmptyQueryResponse,
            b'1' => Self::ParseComplete,
            b'2' => Self::BindComplete,
            b'3' => Self::CloseComplete,
            b's' => Self::PortalSuspended,
            b'n' => Self::NoData,
            b't' => Self::ParameterDescription(reader.oids()?),
            b'A' => {
                Self::NotificationResponse { process: reader.u32()?, channel: reader.text()?, payload: reader.text()? }
            }
            b'G' => Self::CopyInResponse(copy(&mut reader)?),
            b'H' => Self::CopyOutResponse(copy(&mut reader)?),
            b'W' => Self::CopyBothResponse(copy(&mut reader)?),
            b'c' => Self::CopyDone,
            b'V' => Self::FunctionCallResponse(reader.value()?),
            _ => {
                let (version, unknown_options) = (reader.u32()?, reader.u32()?);
                for _ in 0..unknown_options {
                    reader.zero_ended()?;
                }
                Self::NegotiateProtocolVersion { version, unknown_options }
            }
        };
        reader.end()?;
        Ok(message)
    }
}

fn authentication<'a>(reader: &mut Reader<'a>) -> Result<Authentication<'a>, Malformed> {
    Ok(match reader.u32()? {
        0 => Authentication::Ok,
        3 => Authentication::CleartextPassword,
        5 => Authentication::Md5Password(reader.u32()?.to_be_bytes()),
        10 => {
            let list = reader.rest();
            if !list.ends_with(&[0, 0]) {
                return Err(reader.wrong("its list of mechanisms has no end"));
            }
            Authentication::Sasl(list)
        }
        11 => Authentication::SaslContinue(reader.rest()),
        12 => Authentication::SaslFinal(reader.rest()),
        code => {
            reader.rest();
            Authentication::Other(code)
        }
    })
}
