//! What the gateway says itself, to clients and to servers, appended to a buffer.
//!
//! A text cannot hold a zero byte in this protocol: zeros are left out, so that no text can end early and speak on as the
//! next field.

use super::TransactionStatus;
use bytes::{BufMut as _, BytesMut};

/// How grave a [`Report`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The statement failed.
    Error,
    /// The connection ends.
    Fatal,
    /// The statement goes on.
    Warning,
    /// For information.
    Notice,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
            Self::Warning => "WARNING",
            Self::Notice => "NOTICE",
        }
    }
}

/// An error or a warning of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report<'a> {
    /// How grave it is.
    pub severity: Severity,
    /// The SQLSTATE, such as `42501`.
    pub code: &'a str,
    /// What happened, in one sentence.
    pub message: &'a str,
    /// More of it, such as the id of the decision.
    pub detail: Option<&'a str>,
    /// The way out.
    pub hint: Option<&'a str>,
}

/// A column of an answer of ours: text, computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its type, such as 25 for `text`.
    pub type_oid: u32,
    /// The type's size in bytes; −1 if it varies.
    pub size: i16,
}

impl<'a> Column<'a> {
    /// Returns a column of type `text`.
    pub fn text(name: &'a str) -> Self {
        Self { name, type_oid: 25, size: -1 }
    }
}

/// What [`put_bind`] says.
#[derive(Debug, Clone, Copy, Default)]
pub struct BindMessage<'a> {
    /// The portal to make.
    pub portal: &'a str,
    /// The statement to make it of.
    pub statement: &'a str,
    /// The formats of parameters.
    pub formats: &'a [i16],
    /// The parameters; `None` is NULL.
    pub parameters: &'a [Option<&'a [u8]>],
    /// The formats of results.
    pub result_formats: &'a [i16],
}

fn message(out: &mut BytesMut, tag: u8, body: impl FnOnce(&mut BytesMut)) {
    out.put_u8(tag);
    counted(out, body);
}

fn counted(out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_u32(0);
    body(out);
    let length = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

fn text(out: &mut BytesMut, text: &str) {
    if text.as_bytes().contains(&0) {
        text.bytes().filter(|byte| *byte != 0).for_each(|byte| out.put_u8(byte));
    } else {
        out.put_slice(text.as_bytes());
    }
    out.put_u8(0);
}

fn value(out: &mut BytesMut, value: Option<&[u8]>) {
    match value {
        None => out.put_i32(-1),
        Some(value) => {
            out.put_u32(value.len() as u32);
            out.put_slice(value);
        }
    }
}

fn formats(out: &mut BytesMut, formats: &[i16]) {
    out.put_u16(formats.len() as u16);
    formats.iter().for_each(|format| out.put_i16(*format));
}

/// Appends `ErrorResponse`.
pub fn put_report(report: &Report<'_>, out: &mut BytesMut) {
    put_fields(b'E', report, out);
}

/// Appends `NoticeResponse`.
pub fn put_notice(report: &Report<'_>, out: &mut BytesMut) {
    put_fields(b'N', report, out);
}

fn put_fields(tag: u8, report: &Report<'_>, out: &mut BytesMut) {
    message(out, tag, |out| {
        let severity = report.severity.as_str();
        let fields = [
            (b'S', Some(severity)),
            (b'V', Some(severity)),
            (b'C', Some(report.code)),
            (b'M', Some(report.message)),
            (b'D', report.detail),
            (b'H', report.hint),
        ];
        for (kind, content) in fields {
            if let Some(content) = content {
                out.put_u8(kind);
                text(out, content);
            }
        }
        out.put_u8(0);
    });
}

/// Appends `ReadyForQuery`.
pub fn put_ready(status: TransactionStatus, out: &mut BytesMut) {
    message(out, b'Z', |out| out.put_u8(status.byte()));
}

/// Appends `ParameterStatus`.
pub fn put_parameter_status(name: &str, value: &str, out: &mut BytesMut) {
    message(out, b'S', |out| {
        text(out, name);
        text(out, value);
    });
}

/// Appends `BackendKeyData`; before version 3.2 the key must have 4 bytes.
pub fn put_backend_key_data(process: u32, key: &[u8], out: &mut BytesMut) {
    message(out, b'K', |out| {
        out.put_u32(process);
        out.put_slice(key);
    });
}

/// Appends `NegotiateProtocolVersion`, with the names of the options that are not known here.
///
/// # Source
///
/// The version is written whole, as PostgreSQL and libpq do (`pqGetNegotiateProtocolVersion3`), though the manual speaks
/// of the minor version.
pub fn put_negotiate_protocol_version(version: u32, unknown: &[&str], out: &mut BytesMut) {
    message(out, b'v', |out| {
        out.put_u32(version);
        out.put_u32(unknown.len() as u32);
        unknown.iter().for_each(|name| text(out, name));
    });
}

/// Appends `AuthenticationOk`.
pub fn put_authentication_ok(out: &mut BytesMut) {
    message(out, b'R', |out| out.put_u32(0));
}

/// Appends `AuthenticationCleartextPassword`.
pub fn put_ask_password(out: &mut BytesMut) {
    message(out, b'R', |out| out.put_u32(3));
}

/// Appends `AuthenticationSASL` with the mechanisms offered, best first.
pub fn put_sasl_mechanisms(mechanisms: &[&str], out: &mut BytesMut) {
    message(out, b'R', |out| {
        out.put_u32(10);
        mechanisms.iter().for_each(|name| text(out, name));
        out.put_u8(0);
    });
}

/// Appends `AuthenticationSASLContinue`, or `AuthenticationSASLFinal` if it is the last.
pub fn put_sasl_step(step: &[u8], last: Last, out: &mut BytesMut) {
    message(out, b'R', |out| {
        out.put_u32(match last {
            Last::No => 11,
            Last::Yes => 12,
        });
        out.put_slice(step);
    });
}

/// Whether a step is the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// Another follows.
    No,
    /// None follows.
    Yes,
}

/// Appends `CommandComplete`.
pub fn put_command_complete(tag: &str, out: &mut BytesMut) {
    message(out, b'C', |out| text(out, tag));
}

/// Appends a message without a body, such as `ParseComplete` (`b'1'`), `NoData` (`b'n'`) or `EmptyQueryResponse` (`b'I'`).
pub fn put_empty(tag: u8, out: &mut BytesMut) {
    message(out, tag, |_| ());
}

/// Appends `RowDescription` of columns of ours, in text.
pub fn put_row_description(columns: &[Column<'_>], out: &mut BytesMut) {
    message(out, b'T', |out| {
        out.put_u16(columns.len() as u16);
        for column in columns {
            text(out, column.name);
            out.put_u32(0);
            out.put_i16(0);
            out.put_u32(column.type_oid);
            out.put_i16(column.size);
            out.put_i32(-1);
            out.put_i16(0);
        }
    });
}

/// Appends `DataRow`; `None` is NULL.
pub fn put_data_row<'a>(values: impl ExactSizeIterator<Item = Option<&'a [u8]>>, out: &mut BytesMut) {
    message(out, b'D', |out| {
        out.put_u16(values.len() as u16);
        values.for_each(|each| value(out, each));
    });
}

/// Appends `CopyOutResponse` of so many columns; `format` is 0 for text and 1 for binary.
pub fn put_copy_out_response(format: u8, columns: u16, out: &mut BytesMut) {
    message(out, b'H', |out| {
        out.put_u8(format);
        out.put_u16(columns);
        (0..columns).for_each(|_| out.put_i16(i16::from(format)));
    });
}

/// Appends `CopyData`.
pub fn put_copy_data(data: &[u8], out: &mut BytesMut) {
    message(out, b'd', |out| out.put_slice(data));
}

/// Appends `CopyDone`.
pub fn put_copy_done(out: &mut BytesMut) {
    put_empty(b'c', out);
}

/// Appends `SSLRequest`.
pub fn put_ssl_request(out: &mut BytesMut) {
    counted(out, |out| out.put_u32(super::startup_packet::SSL));
}

/// Appends `CancelRequest`.
pub fn put_cancel(process: u32, key: &[u8], out: &mut BytesMut) {
    counted(out, |out| {
        out.put_u32(super::startup_packet::CANCEL);
        out.put_u32(process);
        out.put_slice(key);
    });
}

/// Appends `StartupMessage`.
pub fn put_startup(version: u32, parameters: &[(&str, &str)], out: &mut BytesMut) {
    counted(out, |out| {
        out.put_u32(version);
        for (name, content) in parameters {
            text(out, name);
            text(out, content);
        }
        out.put_u8(0);
    });
}

/// Appends `PasswordMessage`.
pub fn put_secret(password: &str, out: &mut BytesMut) {
    message(out, b'p', |out| text(out, password));
}

/// Appends `SASLInitialResponse`.
pub fn put_sasl_initial(mechanism: &str, first: &[u8], out: &mut BytesMut) {
    message(out, b'p', |out| {
        text(out, mechanism);
        value(out, Some(first));
    });
}

/// Appends `SASLResponse`.
pub fn put_sasl_response(step: &[u8], out: &mut BytesMut) {
    message(out, b'p', |out| out.put_slice(step));
}

/// Appends `Query`.
pub fn put_query(sql: &str, out: &mut BytesMut) {
    message(out, b'Q', |out| text(out, sql));
}

/// Appends `Parse`.
pub fn put_parse(statement: &str, sql: &str, types: impl ExactSizeIterator<Item = u32>, out: &mut BytesMut) {
    message(out, b'P', |out| {
        text(out, statement);
        text(out, sql);
        out.put_u16(types.len() as u16);
        types.for_each(|oid| out.put_u32(oid));
    });
}

/// Appends `Bind`.
pub fn put_bind(bind: &BindMessage<'_>, out: &mut BytesMut) {
    message(out, b'B', |out| {
        text(out, bind.portal);
        text(out, bind.statement);
        formats(out, bind.formats);
        out.put_u16(bind.parameters.len() as u16);
        bind.parameters.iter().for_each(|each| value(out, *each));
        formats(out, bind.result_formats);
    });
}

/// Appends `Describe`.
pub fn put_describe(what: super::Named<'_>, out: &mut BytesMut) {
    put_named(b'D', what, out);
}

/// Appends `Close`.
pub fn put_close(what: super::Named<'_>, out: &mut BytesMut) {
    put_named(b'C', what, out);
}

fn put_named(tag: u8, what: super::Named<'_>, out: &mut BytesMut) {
    message(out, tag, |out| match what {
        super::Named::Statement(name) => {
            out.put_u8(b'S');
            text(out, name);
        }
        super::Named::Portal(name) => {
            out.put_u8(b'P');
            text(out, name);
        }
    });
}

/// Appends `Execute`; 0 rows means all.
pub fn put_execute(portal: &str, rows: i32, out: &mut BytesMut) {
    message(out, b'E', |out| {
        text(out, portal);
        out.put_i32(rows);
    });
}

/// Appends `Sync`.
pub fn put_sync(out: &mut BytesMut) {
    put_empty(b'S', out);
}

/// Appends `Flush`.
pub fn put_flush(out: &mut BytesMut) {
    put_empty(b'H', out);
}

/// Appends `Terminate`.
pub fn put_terminate(out: &mut BytesMut) {
    put_empty(b'X', out);
}
