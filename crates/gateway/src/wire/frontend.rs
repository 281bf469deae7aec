//! What clients say after the startup message.

use super::{
    Frame,
    reader::{Int16s, Malformed, Oids, Reader, Values},
};

/// A message of a client, read in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frontend<'a> {
    /// A password or a step of SASL, by what was asked for; see [`Frontend::password`] and [`Frontend::sasl_initial`].
    Secret(&'a [u8]),
    /// The simple protocol: one or more statements.
    Query(&'a str),
    /// Prepares a statement.
    Parse(Parse<'a>),
    /// Makes a portal of a prepared statement.
    Bind(Bind<'a>),
    /// Asks for the columns of a statement or portal.
    Describe(Named<'a>),
    /// Runs a portal.
    Execute {
        /// Its name; empty for the unnamed one.
        portal: &'a str,
        /// The most rows to return before `PortalSuspended`; 0 or less for all.
        rows: i32,
    },
    /// Forgets a statement or portal.
    Close(Named<'a>),
    /// Asks for what is pending.
    Flush,
    /// Ends a sequence of the extended protocol.
    Sync,
    /// A piece of what is copied in.
    CopyData(&'a [u8]),
    /// All was copied in.
    CopyDone,
    /// Copying in failed at the client.
    CopyFail(&'a str),
    /// Calls a function by its OID; only recognised, since the gateway refuses it.
    FunctionCall(&'a [u8]),
    /// The end.
    Terminate,
}

/// A statement to prepare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parse<'a> {
    /// Its name; empty for the unnamed one.
    pub statement: &'a str,
    /// Its text.
    pub sql: &'a str,
    /// Types of parameters, as far as they are said.
    pub types: Oids<'a>,
}

/// Values for the parameters of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bind<'a> {
    /// The portal to make; empty for the unnamed one.
    pub portal: &'a str,
    /// The statement to make it of.
    pub statement: &'a str,
    /// In which format the parameters are.
    pub formats: Int16s<'a>,
    /// The parameters.
    pub parameters: Values<'a>,
    /// In which format the results shall be.
    pub result_formats: Int16s<'a>,
}

/// A prepared statement or a portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named<'a> {
    /// A prepared statement.
    Statement(&'a str),
    /// A portal.
    Portal(&'a str),
}

impl<'a> Frontend<'a> {
    /// Reads a message of a client.
    ///
    /// # Errors
    ///
    /// If its type is unknown, or its body is not what the type demands.
    pub fn parse(frame: &Frame<'a>) -> Result<Self, Malformed> {
        let name = match frame.tag {
            b'p' => return Ok(Self::Secret(frame.body())),
            b'Q' => "Query",
            b'P' => "Parse",
            b'B' => "Bind",
            b'D' => "Describe",
            b'E' => "Execute",
            b'C' => "Close",
            b'H' => "Flush",
            b'S' => "Sync",
            b'd' => return Ok(Self::CopyData(frame.body())),
            b'c' => "CopyDone",
            b'f' => "CopyFail",
            b'F' => return Ok(Self::FunctionCall(frame.body())),
            b'X' => "Terminate",
            _ => return Err(Malformed { message: "of a client", what: "its type is unknown" }),
        };
        let mut reader = Reader::new(name, frame.body());
        let message = match frame.tag {
            b'Q' => Self::Query(reader.text()?),
            b'P' => Self::Parse(Parse { statement: reader.text()?, sql: reader.text()?, types: reader.oids()? }),
            b'B' => {
                let (portal, statement) = (reader.text()?, reader.text()?);
                let (formats, parameters, result_formats) = (reader.formats()?, reader.values()?, reader.formats()?);
                if formats.len() > 1 && formats.len() != parameters.len() {
                    return Err(reader.wrong("formats and parameters differ in number"));
                }
                Self::Bind(Bind { portal, statement, formats, parameters, result_formats })
            }
            b'D' => Self::Describe(named(&mut reader)?),
            b'E' => Self::Execute { portal: reader.text()?, rows: reader.i32()? },
            b'C' => Self::Close(named(&mut reader)?),
            b'H' => Self::Flush,
            b'S' => Self::Sync,
            b'c' => Self::CopyDone,
            b'f' => Self::CopyFail(reader.text()?),
            _ => Self::Terminate,
        };
        reader.end()?;
        Ok(message)
    }

    /// Reads the body of [`Frontend::Secret`] as a password: one text.
    ///
    /// # Errors
    ///
    /// If it is not one UTF-8 text.
    pub fn password(body: &'a [u8]) -> Result<&'a str, Malformed> {
        let mut reader = Reader::new("PasswordMessage", body);
        let password = reader.text()?;
        reader.end()?;
        Ok(password)
    }

    /// Reads the body of [`Frontend::Secret`] as the first step of SASL: the mechanism chosen, and its first message.
    ///
    /// # Errors
    ///
    /// If it is not of this form.
    pub fn sasl_initial(body: &'a [u8]) -> Result<(&'a str, Option<&'a [u8]>), Malformed> {
        let mut reader = Reader::new("SASLInitialResponse", body);
        let mechanism = reader.text()?;
        let first = reader.value()?;
        reader.end()?;
        Ok((mechanism, first))
    }
}

fn named<'a>(reader: &mut Reader<'a>) -> Result<Named<'a>, Malformed> {
    match reader.u8()? {
        b'S' => reader.text().map(Named::Statement),
        b'P' => reader.text().map(Named::Portal),
        _ => Err(reader.wrong("it names neither a statement nor a portal")),
    }
}
