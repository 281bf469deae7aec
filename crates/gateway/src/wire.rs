//! PostgreSQL's protocol, versions 3.0 and 3.2, as bytes: cuts messages out of buffers, reads them in place, writes ours.
//!
//! Pure: no sockets, no state of a session. A message is a [`Frame`] that borrows the buffer it came in; [`Frontend`] and
//! [`Backend`] are views into one, so that a message that is only passed on costs no copy and no allocation.
//!
//! Out of scope: which message may follow which (`startup`, `login`, `session`).
//!
//! Lengths are refused when the header is seen, before a byte of the body is waited for. What does not fill its message
//! exactly is [`Malformed`], never read partly: another reader might read the rest differently.

mod backend;
mod encode;
mod frontend;
mod reader;
mod startup_packet;
#[cfg(test)]
mod tests;

pub use backend::{
    Authentication, Backend, Columns, CopyResponse, DataRow, Field, Fields, Notice, Replaced, RowDescription,
    TransactionStatus, strip_last_columns,
};
pub use encode::{
    BindMessage, Column, Last, Report, Severity, put_ask_password, put_authentication_ok, put_backend_key_data,
    put_bind, put_cancel, put_close, put_command_complete, put_copy_data, put_copy_done, put_copy_out_response,
    put_data_row, put_describe, put_empty, put_execute, put_flush, put_negotiate_protocol_version, put_notice,
    put_parameter_status, put_parse, put_query, put_ready, put_report, put_row_description, put_sasl_initial,
    put_sasl_mechanisms, put_sasl_response, put_sasl_step, put_secret, put_ssl_request, put_startup, put_sync,
    put_terminate,
};
pub use frontend::{Bind, Frontend, Named, Parse};
pub use reader::{Int16s, Malformed, Oids, Values, ValuesIter};
pub use startup_packet::{Parameters, StartupFrame, StartupMessage, StartupPacket, Told, startup_frame};

/// The largest message accepted from a client before it has shown who it is, in bytes without the tag.
///
/// # Source
///
/// `MAX_STARTUP_PACKET_LENGTH` of PostgreSQL 17 for startup packets; that passwords keep it too is our choice.
pub const MAX_BYTES_BEFORE_LOGIN: usize = 10_000;

/// The largest message accepted from a client by default, in bytes without the tag.
pub const MAX_CLIENT_BYTES: usize = 1 << 20;

/// The largest message that the protocol can express, in bytes without the tag: lengths are signed.
pub const MAX_SERVER_BYTES: usize = i32::MAX as usize;

/// Version 3.0 as it is written in a startup message.
pub const VERSION_3_0: u32 = 3 << 16;

/// Version 3.2, of PostgreSQL 18: the key of a cancel request may be longer than 4 bytes.
pub const VERSION_3_2: u32 = (3 << 16) | 2;

/// One whole message as it lies in a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The message's type.
    pub tag: u8,
    /// All its bytes: tag, length, body.
    pub bytes: &'a [u8],
}

/// Why the bytes cannot be cut into messages; nothing after them can be trusted, so the connection must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Lengths count themselves.
    #[error("a message claims a length of {claimed} bytes, the least is {least}")]
    TooShort {
        /// What its header says.
        claimed: u32,
        /// What it must be at least.
        least: u32,
    },
    /// It is larger than this direction and state allow.
    #[error("a message claims a length of {claimed} bytes, the most allowed here is {most}")]
    TooLong {
        /// What its header says.
        claimed: u32,
        /// The limit.
        most: usize,
    },
}

impl<'a> Frame<'a> {
    /// Returns what follows the length.
    pub fn body(&self) -> &'a [u8] {
        &self.bytes[HEADER_BYTES..]
    }

    /// Returns how many bytes of the buffer it takes, tag and length included.
    #[expect(clippy::len_without_is_empty, reason = "it has at least its header")]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// The tag and the length.
pub const HEADER_BYTES: usize = 5;

/// Returns the message at the beginning of a buffer, or nothing if more bytes must come first.
///
/// `most` bounds the message in bytes without the tag, as its own length counts; one of exactly `most` is accepted.
///
/// # Errors
///
/// If the claimed length is below 4, above `most`, or 2^31 or more, whatever `most` says. Known from the header alone.
#[inline]
pub fn frame(buffer: &[u8], most: usize) -> Result<Option<Frame<'_>>, FrameError> {
    let Some((&[tag, a, b, c, d], _)) = buffer.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let claimed = u32::from_be_bytes([a, b, c, d]);
    if claimed < 4 {
        return Err(FrameError::TooShort { claimed, least: 4 });
    }
    let length = claimed as usize;
    if length > most.min(MAX_SERVER_BYTES) {
        return Err(FrameError::TooLong { claimed, most: most.min(MAX_SERVER_BYTES) });
    }
    Ok(buffer.get(..1 + length).map(|bytes| Frame { tag, bytes }))
}

/// Takes the message at the beginning of a buffer out of it, without copying, or returns nothing if more bytes must come.
///
/// For messages that must outlive the buffer's next filling; what is only passed on is better looked at by [`frame`].
///
/// # Errors
///
/// As [`frame`].
pub fn take(buffer: &mut bytes::BytesMut, most: usize) -> Result<Option<bytes::BytesMut>, FrameError> {
    let length = frame(buffer, most)?.map(|frame| frame.len());
    Ok(length.map(|length| buffer.split_to(length)))
}
