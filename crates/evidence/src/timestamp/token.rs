//! Checks a timestamp: that an authority signed this very digest, and when.
//!
//! # Source
//!
//! RFC 3161 §2.4.2 (response, TSTInfo), RFC 5652 §5.4 and §5.6 (what is signed), RFC 5035 and RFC 2634 §5.4 (the attribute that
//! binds the certificate), RFC 5280 (paths; by `rustls-webpki`). Revocation is not looked at: that would need the network.

use der::{Tag, asn1::ObjectIdentifier};
use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime, pem::PemObject as _};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use webpki::{EndEntityCert, KeyUsage, ring as algorithms};

use super::asn1::{Element, element, elements};
use crate::{
    report::{Stamp, Trust},
    warc,
};

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

pub(crate) const SHA256: ObjectIdentifier = oid("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = oid("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = oid("2.16.840.1.101.3.4.2.3");
const SIGNED_DATA: ObjectIdentifier = oid("1.2.840.113549.1.7.2");
const TST_INFO: ObjectIdentifier = oid("1.2.840.113549.1.9.16.1.4");
const CONTENT_TYPE: ObjectIdentifier = oid("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = oid("1.2.840.113549.1.9.4");
const SIGNING_CERTIFICATE: ObjectIdentifier = oid("1.2.840.113549.1.9.16.2.12");
const SIGNING_CERTIFICATE_V2: ObjectIdentifier = oid("1.2.840.113549.1.9.16.2.47");
const RSASSA_PSS: ObjectIdentifier = oid("1.2.840.113549.1.1.10");
const EXTENDED_KEY_USAGE: ObjectIdentifier = oid("2.5.29.37");
const SUBJECT_KEY_IDENTIFIER: ObjectIdentifier = oid("2.5.29.14");
const TIME_STAMPING: ObjectIdentifier = oid("1.3.6.1.5.5.7.3.8");

/// The roots to which a timestamp's certificate may lead; none by default.
#[derive(Debug, Clone, Default)]
pub struct Roots(Vec<CertificateDer<'static>>);

/// A file of roots could not be used.
#[derive(Debug, thiserror::Error)]
#[error("the roots for timestamps hold no certificate in PEM that can be read")]
pub struct RootsError;

impl Roots {
    /// Returns the certificates of a PEM text; other sections are passed over.
    ///
    /// # Errors
    ///
    /// [`RootsError`] if there is none, or one that is malformed.
    pub fn from_pem(text: &[u8]) -> Result<Self, RootsError> {
        let list: Vec<_> = CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>().map_err(|_| RootsError)?;
        let sound = !list.is_empty() && list.iter().all(|root| webpki::anchor_from_trusted_cert(root).is_ok());
        sound.then_some(Self(list)).ok_or(RootsError)
    }

    /// Returns whether there are no roots, so that paths cannot be checked.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A timestamp proves nothing of what it was added to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not the answer of an authority.
    #[error("{0} is missing or malformed in the authority's answer")]
    Malformed(&'static str),
    /// The authority declined.
    #[error("the authority declined with status {status}{}", .text.as_ref().map(|text| format!(": {text}")).unwrap_or_default())]
    Declined {
        /// The status, 2 to 5.
        status: u8,
        /// Its words, if it gave any.
        text: Option<String>,
    },
    /// It stamps something else.
    #[error("the timestamp is of SHA-256 {found}, expected {expected}")]
    OtherDigest {
        /// What it stamps, in hex.
        found: String,
        /// What it should stamp.
        expected: String,
    },
    /// It answers another question.
    #[error("the timestamp answers another question: its nonce differs")]
    OtherNonce,
    /// It is not signed as it must be.
    #[error("the timestamp is not signed as it must be: {0}")]
    Signature(&'static str),
    /// The certificate does not lead to a root.
    #[error("the certificate of `{authority}` does not lead to one of the roots given: {why}")]
    NoPath {
        /// The certificate's subject.
        authority: String,
        /// What the path check says.
        why: String,
    },
}

/// A timestamp that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verified {
    stamp: Stamp,
}

impl Verified {
    /// Returns the stamp, filed under the member that holds it.
    pub(crate) fn named(self, member: &str) -> Stamp {
        Stamp { member: member.to_owned(), ..self.stamp }
    }
}

/// Checks an authority's answer: granted, of this digest, for this question if its number is given, and signed.
///
/// # Errors
///
/// [`TokenError`], with the first thing that is wrong.
pub(crate) fn verify(
    response: &[u8],
    digest: &[u8; 32],
    nonce: Option<u64>,
    roots: &Roots,
) -> Result<Verified, TokenError> {
    let token = granted(response)?;
    let signed = SignedData::parse(token).ok_or(TokenError::Malformed("the signed data"))?;
    let info = TstInfo::parse(signed.content).ok_or(TokenError::Malformed("the timestamp's content"))?;
    if info.imprint != digest {
        return Err(TokenError::OtherDigest { found: warc::hex(info.imprint), expected: warc::hex(digest) });
    }
    if let Some(nonce) = nonce
        && info.nonce != Some(&super::asn1::write_number(nonce)[2..])
    {
        return Err(TokenError::OtherNonce);
    }
    let signer = signed.signer().ok_or(TokenError::Signature("the certificate of the signer is not in it"))?;
    signed.check(&signer)?;
    let trust = if roots.is_empty() { Trust::NotChecked } else { follow(&signed, &signer, info.time, roots)? };
    let stamp = Stamp {
        member: String::new(),
        time: info.time,
        authority: signer.subject(),
        certificate_sha256: warc::hex(&Sha256::digest(signer.der)),
        policy: info.policy.to_string(),
        serial: warc::hex(info.serial),
        trust,
    };
    Ok(Verified { stamp })
}

/// Returns the token of a response that grants one.
fn granted(response: &[u8]) -> Result<Element<'_>, TokenError> {
    let malformed = TokenError::Malformed("the response");
    let mut parts = element(response).and_then(Element::elements).ok_or(malformed.clone())?;
    let mut status = parts.next().and_then(Element::elements).ok_or(malformed.clone())?;
    let number = status.next().and_then(|it| it.of(Tag::Integer)).filter(|it| it.len() == 1).ok_or(malformed)?[0];
    // 0 is granted, 1 granted with changes.
    if number > 1 {
        let text = status.next_if(|it| it.tag == Tag::Sequence).and_then(Element::elements);
        let text = text.and_then(|mut lines| lines.next()).map(|line| readable(line.content));
        return Err(TokenError::Declined { status: number, text });
    }
    parts.next().ok_or(TokenError::Malformed("the token"))
}

/// What an authority signs.
struct TstInfo<'a> {
    policy: ObjectIdentifier,
    imprint: &'a [u8],
    serial: &'a [u8],
    time: Timestamp,
    nonce: Option<&'a [u8]>,
}

impl<'a> TstInfo<'a> {
    fn parse(content: &'a [u8]) -> Option<Self> {
        let mut parts = element(content)?.elements()?;
        if parts.next()?.of(Tag::Integer)? != [1] {
            return None;
        }
        let policy = parts.next()?.oid()?;
        let mut imprint = parts.next()?.elements()?;
        let algorithm = imprint.next()?.elements()?.next()?.oid()?;
        let imprint = imprint.next()?.of(Tag::OctetString).filter(|_| algorithm == SHA256)?;
        let serial = parts.next()?.of(Tag::Integer)?;
        let time = time(parts.next()?.of(Tag::GeneralizedTime)?)?;
        // Accuracy and ordering may stand before the nonce, the authority's name and extensions after it.
        let nonce = parts.find(|it| it.tag == Tag::Integer).map(|it| it.content);
        Some(Self { policy, imprint, serial, time, nonce })
    }
}

/// Returns the moment of a `YYYYMMDDHHMMSS[.f]Z`.
fn time(text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() != 14 || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let (date, clock) = whole.split_at(8);
    let date = format!("{}-{}-{}", &date[..4], &date[4..6], &date[6..]);
    format!("{date}T{}:{}:{}.{fraction}Z", &clock[..2], &clock[2..4], &clock[4..]).parse().ok()
}

/// A CMS `SignedData` with one signer.
struct SignedData<'a> {
    content: &'a [u8],
    certificates: Vec<&'a [u8]>,
    sid: Element<'a>,
    digest_algorithm: ObjectIdentifier,
    attributes: Element<'a>,
    signature_algorithm: ObjectIdentifier,
    signature: &'a [u8],
}

impl<'a> SignedData<'a> {
    fn parse(token: Element<'a>) -> Option<Self> {
        let mut info = token.elements()?;
        if info.next()?.oid()? != SIGNED_DATA {
            return None;
        }
        let mut data = info.next().filter(|it| it.is_context(0))?.elements()?.next()?.elements()?;
        data.next()?.of(Tag::Integer)?;
        data.next()?.of(Tag::Set)?;
        let mut content = data.next()?.elements()?;
        if content.next()?.oid()? != TST_INFO {
            return None;
        }
        let content = content.next().filter(|it| it.is_context(0))?.elements()?.next()?.of(Tag::OctetString)?;
        let certificates = data.next_if(|it| it.is_context(0)).and_then(Element::elements);
        let certificates = certificates.into_iter().flatten().map(|certificate| certificate.whole).collect();
        data.next_if(|it| it.is_context(1));
        let mut signers = data.next()?.elements()?;
        let mut signer = signers.next()?.elements()?;
        // RFC 3161: exactly one.
        if signers.next().is_some() {
            return None;
        }
        signer.next()?.of(Tag::Integer)?;
        let sid = signer.next()?;
        let digest_algorithm = signer.next()?.elements()?.next()?.oid()?;
        let attributes = signer.next().filter(|it| it.is_context(0))?;
        let signature_algorithm = signer.next()?.elements()?.next()?.oid()?;
        let signature = signer.next()?.of(Tag::OctetString)?;
        Some(Self { content, certificates, sid, digest_algorithm, attributes, signature_algorithm, signature })
    }

    /// Returns the certificate the signer names.
    fn signer(&self) -> Option<Certificate<'a>> {
        let mut certificates = self.certificates.iter().filter_map(|der| Certificate::parse(der));
        if self.sid.is_context(0) {
            return certificates.find(|certificate| {
                let identifier = certificate.extension(SUBJECT_KEY_IDENTIFIER).and_then(element);
                identifier.and_then(|it| it.of(Tag::OctetString)) == Some(self.sid.content)
            });
        }
        let mut name = self.sid.elements()?;
        let (issuer, serial) = (name.next()?.whole, name.next()?.whole);
        certificates.find(|certificate| certificate.issuer == issuer && certificate.serial == serial)
    }

    /// Returns the one value of a signed attribute.
    fn attribute(&self, wanted: ObjectIdentifier) -> Option<Element<'a>> {
        let mut values = self.attributes.elements()?.filter_map(|attribute| {
            let mut parts = attribute.elements()?;
            (parts.next()?.oid()? == wanted).then(|| parts.next()?.elements()?.next())?
        });
        let first = values.next()?;
        values.next().is_none().then_some(first)
    }

    /// Checks the attributes, and the signature over them.
    fn check(&self, signer: &Certificate<'_>) -> Result<(), TokenError> {
        let wrong = |what| Err(TokenError::Signature(what));
        if self.attribute(CONTENT_TYPE).and_then(Element::oid) != Some(TST_INFO) {
            return wrong("the content type is not among what is signed");
        }
        let Some((digest, verifiers)) = algorithms_of(self.digest_algorithm, self.signature_algorithm, self.content)
        else {
            return wrong("its hash is none of SHA-256, SHA-384 and SHA-512");
        };
        if self.attribute(MESSAGE_DIGEST).and_then(|it| it.of(Tag::OctetString)) != Some(&digest[..]) {
            return wrong("the content is not what was signed");
        }
        if !self.binds(signer) {
            return wrong("what is signed does not name the certificate");
        }
        if !signer.is_for_timestamps() {
            return wrong("the certificate is not for timestamps");
        }
        // What is signed is the attributes as a SET; in the token they have the tag [0] (RFC 5652 §5.4).
        let mut message = self.attributes.whole.to_vec();
        message[0] = Tag::Set.octet();
        let der = CertificateDer::from(signer.der);
        let Ok(certificate) = EndEntityCert::try_from(&der) else { return wrong("the certificate cannot be read") };
        let fits = |verifier: &&dyn SignatureVerificationAlgorithm| {
            certificate.verify_signature(*verifier, &message, self.signature).is_ok()
        };
        if verifiers.iter().any(fits) { Ok(()) } else { wrong("the signature does not fit the certificate") }
    }

    /// Returns whether a signed attribute names this certificate by its hash.
    fn binds(&self, signer: &Certificate<'_>) -> bool {
        let first = |attribute| -> Option<Vec<Element<'a>>> {
            let certificates = self.attribute(attribute)?.elements()?.next()?;
            Some(certificates.elements()?.next()?.elements()?.collect())
        };
        if let Some(parts) = first(SIGNING_CERTIFICATE_V2) {
            let (algorithm, hash) = match &parts[..] {
                [algorithm, hash, ..] if algorithm.tag == Tag::Sequence => {
                    (algorithm.elements().and_then(|mut it| it.next()?.oid()), hash)
                }
                [hash, ..] => (Some(SHA256), hash),
                [] => return false,
            };
            let expected = algorithm.and_then(|algorithm| hash_by(algorithm, signer.der));
            return expected.is_some() && hash.of(Tag::OctetString).map(<[u8]>::to_vec) == expected;
        }
        // The older form knows only SHA-1. It guards against exchanging the certificate, for which collisions are no help.
        let hash = first(SIGNING_CERTIFICATE).and_then(|parts| parts.first()?.of(Tag::OctetString));
        hash == Some(&sha1::Sha1::digest(signer.der)[..])
    }
}

fn hash_by(algorithm: ObjectIdentifier, bytes: &[u8]) -> Option<Vec<u8>> {
    match algorithm {
        SHA256 => Some(Sha256::digest(bytes).to_vec()),
        SHA384 => Some(Sha384::digest(bytes).to_vec()),
        SHA512 => Some(Sha512::digest(bytes).to_vec()),
        _ => None,
    }
}

type Verifiers = Vec<&'static dyn SignatureVerificationAlgorithm>;

/// Returns the digest of the content, and what may verify a signature made with that hash.
///
/// Which of them fits is decided by the certificate's key: many tokens name it only as "RSA" or "ECDSA".
fn algorithms_of(hash: ObjectIdentifier, signature: ObjectIdentifier, content: &[u8]) -> Option<(Vec<u8>, Verifiers)> {
    let verifiers: Verifiers = match (hash, signature == RSASSA_PSS) {
        (SHA256, false) => {
            vec![algorithms::RSA_PKCS1_2048_8192_SHA256, algorithms::ECDSA_P256_SHA256, algorithms::ECDSA_P384_SHA256]
        }
        (SHA384, false) => {
            vec![algorithms::RSA_PKCS1_2048_8192_SHA384, algorithms::ECDSA_P384_SHA384, algorithms::ECDSA_P256_SHA384]
        }
        (SHA512, false) => vec![algorithms::RSA_PKCS1_2048_8192_SHA512],
        (SHA256, true) => vec![algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY],
        (SHA384, true) => vec![algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY],
        (SHA512, true) => vec![algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY],
        _ => return None,
    };
    Some((hash_by(hash, content)?, verifiers))
}

/// Follows the certificate to a root, as of the stated time.
fn follow(
    signed: &SignedData<'_>,
    signer: &Certificate<'_>,
    time: Timestamp,
    roots: &Roots,
) -> Result<Trust, TokenError> {
    let no_path = |why: String| TokenError::NoPath { authority: signer.subject(), why };
    let der = CertificateDer::from(signer.der);
    let certificate = EndEntityCert::try_from(&der).map_err(|error| no_path(error.to_string()))?;
    let anchors: Vec<TrustAnchor<'_>> =
        roots.0.iter().filter_map(|root| webpki::anchor_from_trusted_cert(root).ok()).collect();
    let between: Vec<CertificateDer<'_>> =
        signed.certificates.iter().filter(|der| **der != signer.der).map(|der| CertificateDer::from(*der)).collect();
    let seconds = u64::try_from(time.as_second()).map_err(|_| no_path("it states a time before 1970".to_owned()))?;
    let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    // id-kp-timeStamping without tag and length, as `KeyUsage` wants it.
    let usage = KeyUsage::required(&[0x2b, 6, 1, 5, 5, 7, 3, 8]);
    certificate
        .verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &anchors, &between, time, usage, None, None)
        .map_err(|error| no_path(error.to_string()))?;
    Ok(Trust::Rooted)
}

/// The parts of a certificate that timestamps refer to.
struct Certificate<'a> {
    der: &'a [u8],
    serial: &'a [u8],
    issuer: &'a [u8],
    subject: Element<'a>,
    extensions: Option<Element<'a>>,
}

impl<'a> Certificate<'a> {
    fn parse(der: &'a [u8]) -> Option<Self> {
        let mut parts = element(der)?.elements()?.next()?.elements()?;
        parts.next_if(|it| it.is_context(0));
        let serial = parts.next()?.whole;
        parts.next()?;
        let issuer = parts.next()?.whole;
        parts.next()?;
        let subject = parts.next()?;
        let extensions = parts.find(|it| it.is_context(3)).and_then(Element::elements).and_then(|mut it| it.next());
        Some(Self { der, serial, issuer, subject, extensions })
    }

    /// Returns the value of an extension.
    fn extension(&self, wanted: ObjectIdentifier) -> Option<&'a [u8]> {
        self.extensions?.elements()?.find_map(|extension| {
            let mut parts = extension.elements()?;
            if parts.next()?.oid()? != wanted {
                return None;
            }
            parts.next_if(|it| it.tag == Tag::Boolean);
            parts.next()?.of(Tag::OctetString)
        })
    }

    /// RFC 3161 §2.3: the extended key usage is there, and it is this one alone.
    fn is_for_timestamps(&self) -> bool {
        let usages = self.extension(EXTENDED_KEY_USAGE).and_then(element).and_then(Element::elements);
        usages.is_some_and(|usages| usages.map(Element::oid).collect::<Vec<_>>() == [Some(TIME_STAMPING)])
    }

    /// Returns the subject's names, such as `CN=Timestamps, O=Somebody`.
    fn subject(&self) -> String {
        const KNOWN: [(&str, &str); 3] = [("2.5.4.3", "CN"), ("2.5.4.10", "O"), ("2.5.4.6", "C")];
        let mut names = Vec::new();
        for attribute in self.subject.elements().into_iter().flatten().filter_map(Element::elements).flatten() {
            let mut parts = elements(attribute.content).into_iter().flatten();
            let (Some(kind), Some(value)) = (parts.next().and_then(Element::oid), parts.next()) else { continue };
            if let Some((place, (_, short))) = KNOWN.iter().enumerate().find(|(_, (known, _))| oid(known) == kind) {
                names.push((place, format!("{short}={}", readable(value.content))));
            }
        }
        names.sort();
        names.into_iter().map(|(_, name)| name).collect::<Vec<_>>().join(", ")
    }
}

/// Returns foreign text as one short line.
fn readable(text: &[u8]) -> String {
    crate::http::value(&String::from_utf8_lossy(text)).chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_and_without_fractions_are_read() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(time(text.as_bytes()).map(|time| time.to_string()).as_deref(), expected, "{text}");
        };
        check("20261122101500Z", Some("2026-11-22T10:15:00Z"));
        check("20261122101500.123Z", Some("2026-11-22T10:15:00.123Z"));
        check("20261122101500", None);
        check("202611221015Z", None);
        check("20261322101500Z", None);
        check("20261122101500.Z", None);
    }
}
