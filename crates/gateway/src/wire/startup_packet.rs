//! The first packet of a connection, which has no tag: a startup message, or a request for encryption or cancellation.

use super::{
    FrameError,
    reader::{Malformed, Reader},
};

// As the manual has them: 1234 in the upper half, and a number that is no version in the lower one.
pub(super) const CANCEL: u32 = 80_877_102;
pub(super) const SSL: u32 = 80_877_103;
const GSS: u32 = 80_877_104;

/// A whole first packet as it lies in a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartupFrame<'a> {
    /// All its bytes: the length, then the code or version, then the rest.
    pub bytes: &'a [u8],
}

/// What a client may say first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartupPacket<'a> {
    /// It wants TLS.
    SslRequest,
    /// It wants GSSAPI encryption.
    GssEncRequest,
    /// It wants a statement of another connection to end.
    CancelRequest {
        /// What `BackendKeyData` said.
        process: u32,
        /// The same; 4 bytes before version 3.2, then up to 256.
        key: &'a [u8],
    },
    /// It wants a session.
    Startup(StartupMessage<'a>),
}

/// A wish for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartupMessage<'a> {
    /// The version asked for, such as [`super::VERSION_3_0`]; its upper half is 3.
    pub version: u32,
    // INVARIANT (whole pairs): names and values in pairs, UTF-8, names not empty; checked by `StartupPacket::parse`.
    parameters: &'a [u8],
}

/// Returns the packet at the beginning of a buffer, or nothing if more bytes must come first.
///
/// `most` bounds it in bytes, its length included.
///
/// # Errors
///
/// If the claimed length is below 8 or above `most`.
pub fn startup_frame(buffer: &[u8], most: usize) -> Result<Option<StartupFrame<'_>>, FrameError> {
    let Some((length, _)) = buffer.split_first_chunk::<4>() else { return Ok(None) };
    let claimed = u32::from_be_bytes(*length);
    if claimed < 8 {
        return Err(FrameError::TooShort { claimed, least: 8 });
    }
    if claimed as usize > most {
        return Err(FrameError::TooLong { claimed, most });
    }
    Ok(buffer.get(..claimed as usize).map(|bytes| StartupFrame { bytes }))
}

impl<'a> StartupPacket<'a> {
    /// Reads a first packet.
    ///
    /// # Errors
    ///
    /// If its version is not one of the family 3, or its body is not what its code demands.
    pub fn parse(frame: &StartupFrame<'a>) -> Result<Self, Malformed> {
        let mut reader = Reader::new("StartupMessage", &frame.bytes[4..]);
        let code = reader.u32()?;
        let packet = match code {
            SSL => Self::SslRequest,
            GSS => Self::GssEncRequest,
            CANCEL => {
                let (process, key) = (reader.u32()?, reader.rest());
                if !(4..=256).contains(&key.len()) {
                    return Err(reader.wrong("the key of a cancel request has fewer than 4 or more than 256 bytes"));
                }
                Self::CancelRequest { process, key }
            }
            version if version >> 16 == 3 => {
                let parameters = reader.rest();
                let mut pairs = Reader::new("StartupMessage", parameters);
                loop {
                    if pairs.text()?.is_empty() {
                        break;
                    }
                    pairs.text()?;
                }
                pairs.end()?;
                Self::Startup(StartupMessage { version, parameters })
            }
            _ => return Err(reader.wrong("its version is not of the family 3")),
        };
        reader.end()?;
        Ok(packet)
    }
}

impl<'a> StartupMessage<'a> {
    /// Returns each parameter, in the order sent; the same name may come twice.
    pub fn parameters(&self) -> Parameters<'a> {
        Parameters { reader: Reader::new("StartupMessage", self.parameters) }
    }

    /// Returns the version to speak, and whether the client must be told because it asked for another.
    ///
    /// Version 3.1 is reserved and never was: it gets 3.0.
    pub fn spoken(&self) -> (u32, Told) {
        match self.version & 0xffff {
            0 => (super::VERSION_3_0, Told::NeedNot),
            1 => (super::VERSION_3_0, Told::Must),
            2 => (super::VERSION_3_2, Told::NeedNot),
            _ => (super::VERSION_3_2, Told::Must),
        }
    }
}

/// Whether the client must get a `NegotiateProtocolVersion` for its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It gets the version that it asked for.
    NeedNot,
    /// It gets another.
    Must,
}

/// Walks over parameters.
#[derive(Debug, Clone)]
pub struct Parameters<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for Parameters<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        // (whole pairs) holds, so the empty name at the end is the only place where this stops.
        let name = self.reader.text().ok().filter(|name| !name.is_empty())?;
        Some((name, self.reader.text().ok()?))
    }
}
