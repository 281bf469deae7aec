//! Reads from a certificate what its own libraries do not say: the hash by which SCRAM binds to it, and whom it names.
//!
//! Out of scope: whether it is valid; rustls has checked that before anyone looks here.

use der::{AnyRef, Decode as _, Reader as _, SliceReader, Tag, TagNumber, asn1::ObjectIdentifier};
use rustls_pki_types::CertificateDer;
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use std::fmt::Write as _;

const MD5_WITH_RSA: &str = "1.2.840.113549.1.1.4";
const SHA1_WITH_RSA: &str = "1.2.840.113549.1.1.5";
const SHA256_WITH_RSA: &str = "1.2.840.113549.1.1.11";
const SHA384_WITH_RSA: &str = "1.2.840.113549.1.1.12";
const SHA512_WITH_RSA: &str = "1.2.840.113549.1.1.13";
const ECDSA_WITH_SHA256: &str = "1.2.840.10045.4.3.2";
const ECDSA_WITH_SHA384: &str = "1.2.840.10045.4.3.3";
const ECDSA_WITH_SHA512: &str = "1.2.840.10045.4.3.4";
const COMMON_NAME: &str = "2.5.4.3";
const SUBJECT_ALT_NAME: &str = "2.5.29.17";

/// Whom a certificate names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    /// The serial number, in hexadecimal.
    pub serial: String,
    /// Common names of the subject.
    pub common: Vec<String>,
    /// E-mail addresses among the alternative names.
    pub emails: Vec<String>,
    /// Addresses (URI) among the alternative names.
    pub uris: Vec<String>,
    /// Host names among the alternative names.
    pub hosts: Vec<String>,
}

/// Returns the hash of a certificate for `tls-server-end-point`, or nothing where none is defined.
///
/// # Source
///
/// RFC 5929 §4.1: the hash of the certificate's signature, SHA-256 in place of MD5 and SHA-1; undefined if the signature
/// has no single hash (Ed25519). RSA-PSS, whose hash is a parameter, counts as undefined here: PostgreSQL before 16 did so.
pub fn endpoint_hash(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let algorithm = signature_algorithm(certificate).ok()?.to_string();
    match algorithm.as_str() {
        MD5_WITH_RSA | SHA1_WITH_RSA | SHA256_WITH_RSA | ECDSA_WITH_SHA256 => {
            Some(Sha256::digest(certificate).to_vec())
        }
        SHA384_WITH_RSA | ECDSA_WITH_SHA384 => Some(Sha384::digest(certificate).to_vec()),
        SHA512_WITH_RSA | ECDSA_WITH_SHA512 => Some(Sha512::digest(certificate).to_vec()),
        _ => None,
    }
}

/// Reads whom a certificate names.
///
/// # Errors
///
/// If it is not a certificate.
pub fn names(certificate: &CertificateDer<'_>) -> Result<Names, der::Error> {
    AnyRef::from_der(certificate)?.sequence(|outer| {
        let body: AnyRef<'_> = outer.decode()?;
        let names = body.sequence(to_be_signed)?;
        drain(outer)?;
        Ok(names)
    })
}

fn signature_algorithm(certificate: &[u8]) -> Result<ObjectIdentifier, der::Error> {
    AnyRef::from_der(certificate)?.sequence(|outer| {
        let _body: AnyRef<'_> = outer.decode()?;
        let algorithm: AnyRef<'_> = outer.decode()?;
        let oid = algorithm.sequence(|algorithm| {
            let oid = algorithm.decode()?;
            drain(algorithm)?;
            Ok(oid)
        })?;
        drain(outer)?;
        Ok(oid)
    })
}

fn drain(reader: &mut SliceReader<'_>) -> Result<(), der::Error> {
    while !reader.is_finished() {
        let _: AnyRef<'_> = reader.decode()?;
    }
    Ok(())
}

fn context(number: u8) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber::new(number) }
}

/// `TBSCertificate`: version, serial number, algorithm, issuer, validity, subject, key, extensions.
fn to_be_signed(reader: &mut SliceReader<'_>) -> Result<Names, der::Error> {
    let mut names = Names::default();
    let mut next: AnyRef<'_> = reader.decode()?;
    if der::Tagged::tag(&next) == context(0) {
        next = reader.decode()?;
    }
    for byte in next.value() {
        let _ = write!(names.serial, "{byte:02x}");
    }
    for _ in 0..3 {
        let _: AnyRef<'_> = reader.decode()?;
    }
    let subject: AnyRef<'_> = reader.decode()?;
    subject.sequence(|sets| {
        while !sets.is_finished() {
            let set: AnyRef<'_> = sets.decode()?;
            let mut pairs = SliceReader::new(set.value())?;
            while !pairs.is_finished() {
                let pair: AnyRef<'_> = pairs.decode()?;
                pair.sequence(|pair| {
                    let kind: ObjectIdentifier = pair.decode()?;
                    let value: AnyRef<'_> = pair.decode()?;
                    // Of the forms of text only those that are UTF-8 as they are; a name in UTF-16 names nobody.
                    if kind.to_string() == COMMON_NAME && der::Tagged::tag(&value) != Tag::BmpString {
                        names.common.extend(std::str::from_utf8(value.value()).ok().map(str::to_owned));
                    }
                    Ok(())
                })?;
            }
        }
        Ok(())
    })?;
    while !reader.is_finished() {
        let part: AnyRef<'_> = reader.decode()?;
        if der::Tagged::tag(&part) == context(3) {
            AnyRef::from_der(part.value())?.sequence(|extensions| {
                while !extensions.is_finished() {
                    let extension: AnyRef<'_> = extensions.decode()?;
                    extension.sequence(|extension| alternative_names(extension, &mut names))?;
                }
                Ok(())
            })?;
        }
    }
    Ok(names)
}

fn alternative_names(extension: &mut SliceReader<'_>, names: &mut Names) -> Result<(), der::Error> {
    let kind: ObjectIdentifier = extension.decode()?;
    let mut content: AnyRef<'_> = extension.decode()?;
    if der::Tagged::tag(&content) == Tag::Boolean {
        content = extension.decode()?;
    }
    if kind.to_string() != SUBJECT_ALT_NAME {
        return Ok(());
    }
    AnyRef::from_der(content.value())?.sequence(|list| {
        while !list.is_finished() {
            let name: AnyRef<'_> = list.decode()?;
            let Tag::ContextSpecific { number, constructed: false } = der::Tagged::tag(&name) else { continue };
            let into = match number.value() {
                1 => &mut names.emails,
                2 => &mut names.hosts,
                6 => &mut names.uris,
                _ => continue,
            };
            into.extend(std::str::from_utf8(name.value()).ok().map(str::to_owned));
        }
        Ok(())
    })
}
