//! A certificate authority for a test: what it signs is trusted by whoever is given its certificate, and by nobody else.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};

/// An authority with a key of its own.
pub struct TestAuthority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key, in PEM.
#[derive(Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its private key (PKCS #8).
    pub key: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Default for TestAuthority {
    fn default() -> Self {
        Self::new()
    }
}

impl TestAuthority {
    /// Makes an authority.
    ///
    /// # Panics
    ///
    /// If the system gives no randomness.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "an authority of a test");
        let key = KeyPair::generate().expect("the system gives randomness");
        Self { issuer: CertifiedIssuer::self_signed(params, key).expect("the parameters are complete") }
    }

    /// Returns the certificate that clients trust, in PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Issues a certificate for names and addresses.
    ///
    /// # Panics
    ///
    /// If one of `names` is neither a name nor an address.
    pub fn issue(&self, names: &[&str]) -> Identity {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names.clone()).expect("they are names or addresses");
        params.distinguished_name.push(DnType::CommonName, names.first().map_or("a test", String::as_str));
        let key = KeyPair::generate().expect("the system gives randomness");
        let certificate = params.signed_by(&key, &self.issuer).expect("the parameters are complete");
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}
