//! An authority for tests, and what is read from certificates.

use super::*;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_ED25519, SanType, SignatureAlgorithm,
};
use sha2::Digest as _;

/// Issues certificates.
pub(crate) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// Issues a certificate for hosts, and returns it and its key in PEM.
    pub(crate) fn issue(&self, hosts: &[&str], common_name: &str) -> (String, String) {
        self.issue_with(common_name, &PKCS_ECDSA_P256_SHA256, |params| {
            params.subject_alt_names = hosts.iter().map(|host| SanType::DnsName((*host).try_into().unwrap())).collect();
        })
    }

    pub(crate) fn issue_with(
        &self,
        common_name: &str,
        algorithm: &'static SignatureAlgorithm,
        change: impl FnOnce(&mut CertificateParams),
    ) -> (String, String) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        change(&mut params);
        let key = KeyPair::generate_for(algorithm).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

fn first(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

#[test]
fn the_hash_of_a_certificate_is_that_of_its_signature() {
    let hash = |algorithm: &'static SignatureAlgorithm| {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let der = CertificateParams::new(vec!["x.test".to_owned()]).unwrap().self_signed(&key).unwrap().der().clone();
        (certificate::endpoint_hash(&der), der)
    };
    let (found, der) = hash(&PKCS_ECDSA_P256_SHA256);
    assert_eq!(found, Some(sha2::Sha256::digest(&der).to_vec()));
    let (found, der) = hash(&PKCS_ECDSA_P384_SHA384);
    assert_eq!(found, Some(sha2::Sha384::digest(&der).to_vec()));
    assert_eq!(hash(&PKCS_ED25519).0, None);
    assert_eq!(certificate::endpoint_hash(&CertificateDer::from(vec![0x30, 3, 1, 2])), None);
}

#[test]
fn whom_a_certificate_names_is_read_from_it() {
    let authority = Authority::new("Staff");
    let (pem, _) = authority.issue_with("Ada Example", &PKCS_ECDSA_P256_SHA256, |params| {
        params.serial_number = Some(vec![0x12, 0xab].into());
        params.subject_alt_names = vec![
            SanType::Rfc822Name("ada@platform.example".try_into().unwrap()),
            SanType::URI("spiffe://platform.example/staff/ada".try_into().unwrap()),
            SanType::DnsName("laptop.platform.example".try_into().unwrap()),
            SanType::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()),
        ];
    });
    let names = certificate::names(&first(&pem)).unwrap();
    assert_eq!(
        names,
        certificate::Names {
            serial: "12ab".to_owned(),
            common: vec!["Ada Example".to_owned()],
            emails: vec!["ada@platform.example".to_owned()],
            uris: vec!["spiffe://platform.example/staff/ada".to_owned()],
            hosts: vec!["laptop.platform.example".to_owned()],
        }
    );
    assert!(certificate::names(&CertificateDer::from(vec![0x30, 0])).is_err());
}

#[test]
fn a_key_that_is_not_the_certificates_is_refused() {
    let authority = Authority::new("Ours");
    let (certificate, key) = authority.issue(&["gate.test"], "gate");
    let (_, other) = authority.issue(&["gate.test"], "gate");
    assert!(ServerTls::new(certificate.as_bytes(), key.as_bytes(), &ClientCertificates::NotAsked).is_ok());
    let unfit = ServerTls::new(certificate.as_bytes(), other.as_bytes(), &ClientCertificates::NotAsked);
    assert!(matches!(unfit, Err(TlsError::Unfit(_))));
    let empty = ServerTls::new(b"", key.as_bytes(), &ClientCertificates::NotAsked);
    assert!(matches!(empty, Err(TlsError::Empty("certificate"))));
}

#[test]
fn a_certificate_is_replaced_while_the_program_runs_and_a_broken_one_is_not_taken() {
    let authority = Authority::new("Ours");
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let write = |(certificate, key): (String, String)| {
        fs::write(path("gate.crt"), certificate).unwrap();
        fs::write(path("gate.key"), key).unwrap();
    };
    write(authority.issue(&["gate.test"], "first"));
    let files = Files { certificate: path("gate.crt"), key: path("gate.key"), clients: ClientCertificates::NotAsked };
    let reloadable = Reloadable::load(files).unwrap();
    let before = reloadable.current();
    write(authority.issue(&["gate.test"], "second"));
    reloadable.reload().unwrap();
    let after = reloadable.current();
    assert_ne!(before.endpoint, after.endpoint);
    fs::write(path("gate.key"), "no key").unwrap();
    assert!(reloadable.reload().is_err());
    assert_eq!(reloadable.current().endpoint, after.endpoint);
}
