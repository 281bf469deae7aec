//! Timestamps by an authority of OpenSSL's, asked over HTTP on the loopback, and checked by OpenSSL too.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    thread::JoinHandle,
    time::Duration,
};

use vigie_evidence::{
    Bundle, Roots, TimestampState, Trust,
    timestamp::{self, AskError, AttachError, Token, TokenError},
    verify,
};

use crate::{
    judges::{self, extract, run},
    samples,
    tampering::{Numbers, flip, members, rebuild},
};

const TIMEOUT: Duration = Duration::from_secs(20);

/// An authority: a root, and a certificate for timestamps below it.
pub struct Authority {
    folder: tempfile::TempDir,
}

/// What an authority is made of.
pub struct Kind {
    key: &'static [&'static str],
    hash: &'static str,
    certificate_hash: &'static str,
}

const RSA: Kind = Kind { key: &["-newkey", "rsa:2048"], hash: "sha512", certificate_hash: "sha1" };
pub const P256: Kind =
    Kind { key: &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"], hash: "sha256", certificate_hash: "sha256" };
const P384: Kind =
    Kind { key: &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"], hash: "sha384", certificate_hash: "sha384" };

impl Authority {
    pub fn new(kind: &Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (hash, certificate_hash) = (kind.hash, kind.certificate_hash);
        let config = format!(
            "[req]\ndistinguished_name = none\nprompt = no\n[none]\n\
             [root]\nbasicConstraints = critical, CA:true\nkeyUsage = critical, keyCertSign\n\
             [stamps]\nextendedKeyUsage = critical, timeStamping\nkeyUsage = critical, digitalSignature\n\
             [tsa]\ndefault_tsa = here\n[here]\nserial = serial\nsigner_cert = tsa.pem\ncerts = ca.pem\n\
             signer_key = tsa.key\nsigner_digest = {hash}\ndefault_policy = 1.3.6.1.4.1.99999.1\ndigests = sha256\n\
             accuracy = secs:1\nordering = yes\ntsa_name = yes\ness_cert_id_alg = {certificate_hash}\n\
             clock_precision_digits = 3\n"
        );
        fs::write(folder.path().join("tsa.cnf"), config).unwrap();
        fs::write(folder.path().join("serial"), "0a1b2c\n").unwrap();
        let authority = Self { folder };
        let common = ["req", "-x509", "-config", "tsa.cnf", "-nodes", "-days", "2"];
        let root = ["-subj", "/O=Test/CN=Test root", "-extensions", "root", "-keyout", "ca.key", "-out", "ca.pem"];
        authority.openssl(&[&common[..], kind.key, &root].concat());
        let stamps =
            ["-subj", "/C=FR/O=Test/CN=Test stamps", "-extensions", "stamps", "-keyout", "tsa.key", "-out", "tsa.pem"];
        authority.openssl(&[&common[..], kind.key, &stamps, &["-CA", "ca.pem", "-CAkey", "ca.key"]].concat());
        authority
    }

    fn openssl(&self, arguments: &[&str]) -> String {
        run(Command::new("openssl").current_dir(self.folder.path()).args(arguments))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn roots(&self) -> Roots {
        Roots::from_pem(&fs::read(self.path("ca.pem")).unwrap()).unwrap()
    }

    fn answer(&self, question: &[u8]) -> Vec<u8> {
        fs::write(self.path("question"), question).unwrap();
        self.openssl(&["ts", "-reply", "-config", "tsa.cnf", "-queryfile", "question", "-out", "answer"]);
        fs::read(self.path("answer")).unwrap()
    }

    /// Returns what a token of this seal says, without its signature.
    fn info(&self, seal: &[u8; 32]) -> Vec<u8> {
        self.answer(&timestamp::request(seal, 7));
        self.openssl(&["ts", "-reply", "-in", "answer", "-token_out", "-out", "token"]);
        self.openssl(&["cms", "-verify", "-noverify", "-binary", "-inform", "DER", "-in", "token", "-out", "info"]);
        fs::read(self.path("info")).unwrap()
    }

    /// Makes another certificate below the root, for the same key.
    fn certificate(&self, name: &str, extensions: &str) {
        let config = fs::read_to_string(self.path("tsa.cnf")).unwrap();
        fs::write(self.path("other.cnf"), format!("{config}[other]\n{extensions}\n")).unwrap();
        let (pem, subject) = (format!("{name}.pem"), format!("/CN={name}"));
        self.openssl(&[
            "req",
            "-x509",
            "-config",
            "other.cnf",
            "-extensions",
            "other",
            "-days",
            "2",
            "-key",
            "tsa.key",
            "-subj",
            &subject,
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-out",
            &pem,
        ]);
    }

    /// Signs what a token says, with options of `openssl cms`; returns an answer that grants it.
    fn sign(&self, info: &[u8], certificate: &str, more: &[&str]) -> Vec<u8> {
        fs::write(self.path("info"), info).unwrap();
        let signer = format!("{certificate}.pem");
        let sign = [
            "cms",
            "-sign",
            "-binary",
            "-nodetach",
            "-nosmimecap",
            "-outform",
            "DER",
            "-in",
            "info",
            "-out",
            "signed",
            "-econtent_type",
            "1.2.840.113549.1.9.16.1.4",
            "-inkey",
            "tsa.key",
            "-signer",
            &signer,
        ];
        self.openssl(&[&sign[..], more].concat());
        let token = fs::read(self.path("signed")).unwrap();
        let length = (token.len() as u16 + 5).to_be_bytes();
        [&[0x30, 0x82], &length[..], &[0x30, 3, 2, 1, 0], &token].concat()
    }

    /// Returns a token without the way over HTTP.
    pub fn stamp(&self, seal: &[u8; 32]) -> Token {
        Token::from_response(self.answer(&timestamp::request(seal, 7)), seal).unwrap()
    }
}

/// Answers one request; returns the address, and what to join.
fn serve(answer: impl FnOnce(&[u8]) -> (u16, Vec<u8>) + Send + 'static) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/tsr", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let question = read_question(&stream);
        let (status, body) = answer(&question);
        let head = format!(
            "HTTP/1.1 {status} x\r\ncontent-type: application/timestamp-reply\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n",
            body.len()
        );
        // The client may have hung up: it need not read what is too long.
        let _ = (&stream).write_all(&[head.as_bytes(), &body].concat());
    });
    (url, thread)
}

fn read_question(stream: &TcpStream) -> Vec<u8> {
    let mut input = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        input.read_line(&mut line).unwrap();
        if let Some((_, value)) = line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut question = vec![0; length];
    input.read_exact(&mut question).unwrap();
    question
}

fn bundle(folder: &Path) -> PathBuf {
    let path = samples::tree(folder);
    samples::rich(&path);
    path
}

fn stamps(path: &Path, roots: &Roots) -> Vec<vigie_evidence::Stamp> {
    let report = verify(path, roots).unwrap();
    assert_eq!(report.problems, []);
    match report.facts.timestamp {
        TimestampState::Stamped { stamps } => stamps,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_authority_is_asked_and_openssl_agrees_with_what_was_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = bundle(folder.path());
    let seal = timestamp::seal(&path).unwrap();
    for (index, kind) in [RSA, P256, P384].iter().enumerate() {
        let authority = Authority::new(kind);
        let (url, roots, certificate) = {
            let roots = authority.roots();
            let certificate = authority.path("ca.pem");
            let kept = folder.path().join(format!("ca-{index}.pem"));
            fs::copy(certificate, &kept).unwrap();
            let (url, _) = serve(move |question| (200, authority.answer(question)));
            (url, roots, kept)
        };
        let token = timestamp::ask(&url, &seal, TIMEOUT).unwrap();
        let attached = timestamp::attach(&path, &token).unwrap();
        assert_eq!(attached.member, format!("vigie/timestamp-{}", index + 1));
        assert_eq!(timestamp::seal(&path).unwrap(), seal, "what was signed stays as it was");

        let stamp = &stamps(&path, &Roots::default())[index];
        assert_eq!((stamp.authority.as_str(), stamp.trust), ("CN=Test stamps, O=Test, C=FR", Trust::NotChecked));
        assert_eq!((stamp.policy.as_str(), stamp.serial.as_str()), ("1.3.6.1.4.1.99999.1", "0a1b2d"));
        if index == 0 {
            assert_eq!(stamps(&path, &roots)[0].trust, Trust::Rooted);
        } else {
            let problems = verify(&path, &roots).unwrap().problems;
            assert_eq!(problems.len(), index, "the others lead elsewhere: {problems:?}");
            assert!(problems[0].what.contains("does not lead to one of the roots given"), "{problems:?}");
        }

        let answer = extract(&path, &attached.member, folder.path());
        let data = extract(&path, "datapackage-digest.json", folder.path());
        let said = run(Command::new("openssl")
            .args(["ts", "-verify", "-data"])
            .arg(data)
            .arg("-in")
            .arg(answer)
            .arg("-CAfile")
            .arg(certificate));
        assert!(said.contains("Verification: OK"), "{said}");
    }
    judges::wacz_accepts(&path);
    assert_eq!(
        fs::read_dir(folder.path())
            .unwrap()
            .filter(|it| { it.as_ref().unwrap().file_name().to_string_lossy().starts_with('.') })
            .count(),
        0,
        "no half-written file is left"
    );
}

/// A token of a public authority: sigstore's, of 6 August 2025, from the test data of `sigstore-tsa` 0.15.1 (Apache-2.0).
#[test]
fn a_token_of_a_public_authority_is_read() {
    let response = include_bytes!("vectors/sigstore.tsr");
    let digest = "6817ad42edeecac022b5c3575945a14e0bda2903bff4b3f4ff3a2a08d8882a3a";
    let mut seal = [0; 32];
    for (byte, hex) in seal.iter_mut().zip(digest.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap();
    }
    assert!(Token::from_response(response.to_vec(), &seal).is_ok());
    seal[0] ^= 1;
    assert!(matches!(Token::from_response(response.to_vec(), &seal), Err(TokenError::OtherDigest { .. })));
}

#[test]
fn a_changed_byte_of_a_stamped_bundle_is_noticed_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = samples::tree(folder.path());
    samples::small(&path);
    let token = Authority::new(&P256).stamp(&timestamp::seal(&path).unwrap());
    timestamp::attach(&path, &token).unwrap();
    timestamp::attach(&path, &token).unwrap();
    let bytes = fs::read(&path).unwrap();
    flip(&bytes, (0..bytes.len()).step_by(7), &mut Numbers(4));
}

#[test]
fn openssl_reads_the_question() {
    let authority = Authority::new(&P256);
    fs::write(authority.path("question"), timestamp::request(&[0xab; 32], u64::MAX)).unwrap();
    let said = authority.openssl(&["ts", "-query", "-in", "question", "-text"]);
    for line in [
        "Version: 1",
        "Hash Algorithm: sha256",
        "0000 - ab ab ab",
        "Nonce: 0xFFFFFFFFFFFFFFFF",
        "Certificate required: yes",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
}

#[test]
fn a_changed_token_is_refused_or_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = samples::tree(folder.path());
    samples::small(&path);
    let authority = Authority::new(&P256);
    timestamp::attach(&path, &authority.stamp(&timestamp::seal(&path).unwrap())).unwrap();
    let sound = stamps(&path, &authority.roots());
    let bytes = fs::read(&path).unwrap();
    let mut all = members(&bytes);
    let (name, token) = all.pop().unwrap();
    let changed = folder.path().join("changed.wacz");
    let mut passed = 0;
    // The root comes along in the token, and is not read: the reader's own is.
    authority.openssl(&["x509", "-in", "ca.pem", "-outform", "DER", "-out", "ca.der"]);
    let root = fs::read(authority.path("ca.der")).unwrap();
    let root_at = token.windows(root.len()).position(|window| window == root).unwrap();
    for at in (0..token.len()).filter(|at| !(root_at..root_at + root.len()).contains(at)) {
        let mut other = token.clone();
        other[at] ^= 0x41;
        let mut list = all.clone();
        list.push((name.clone(), other));
        fs::write(&changed, rebuild(&list)).unwrap();
        let report = verify(&changed, &authority.roots()).unwrap();
        if let TimestampState::Stamped { stamps } = report.facts.timestamp {
            assert_eq!(stamps, sound, "byte {at}: a token that passes says what was signed");
            passed += 1;
        } else {
            assert_eq!(report.problems.len(), 1, "byte {at}");
            assert_eq!(report.problems[0].member, name);
        }
    }
    assert!(passed < 60, "only what is not signed can change: {passed} of {}", token.len());
}

#[test]
fn a_timestamp_of_another_bundle_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = bundle(folder.path());
    let authority = Authority::new(&P256);
    let token = authority.stamp(&[7; 32]);
    let before = fs::read(&path).unwrap();
    let error = timestamp::attach(&path, &token).unwrap_err();
    assert!(matches!(error, AttachError::Other { source: TokenError::OtherDigest { .. }, .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);

    let mut all = members(&before);
    all.push(("vigie/timestamp-1".to_owned(), token.response().to_vec()));
    fs::write(&path, rebuild(&all)).unwrap();
    let problems = verify(&path, &Roots::default()).unwrap().problems;
    assert_eq!(problems[0].member, "vigie/timestamp-1");
    assert!(problems[0].what.starts_with("the timestamp is of SHA-256 0707"), "{problems:?}");
    assert!(Bundle::open(&path).is_ok(), "the container is sound; what is in it is not");
}

#[test]
fn timestamps_added_at_once_are_all_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = bundle(folder.path());
    let authority = Authority::new(&P256);
    let seal = timestamp::seal(&path).unwrap();
    let token = authority.stamp(&seal);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| timestamp::attach(&path, &token).unwrap());
        }
    });
    assert_eq!(stamps(&path, &authority.roots()).len(), 4);
    for _ in 4..vigie_evidence::limits::MAX_TIMESTAMPS {
        timestamp::attach(&path, &token).unwrap();
    }
    assert!(matches!(timestamp::attach(&path, &token), Err(AttachError::Full { .. })));
}

#[test]
fn what_is_no_timestamp_although_it_is_signed_is_refused() {
    let authority = Authority::new(&P256);
    let seal = [7; 32];
    let info = authority.info(&seal);
    let sign = |info: &[u8], certificate: &str, more: &[&str]| {
        Token::from_response(authority.sign(info, certificate, more), &seal).map_err(|error| error.to_string())
    };
    let check = |result: Result<Token, String>, expected: &str| {
        let error = result.unwrap_err();
        assert!(error.contains(expected), "{error}");
    };
    // Made with `openssl cms`, not `openssl ts`, so that it can be made wrong.
    sign(&info, "tsa", &["-cades"]).unwrap();
    authority.certificate("web", "extendedKeyUsage = serverAuth");
    check(sign(&info, "web", &["-cades"]), "the certificate is not for timestamps");
    authority.certificate("both", "extendedKeyUsage = critical, timeStamping, serverAuth");
    check(sign(&info, "both", &["-cades"]), "the certificate is not for timestamps");
    authority.certificate("any", "keyUsage = digitalSignature");
    check(sign(&info, "any", &["-cades"]), "the certificate is not for timestamps");
    check(sign(&info, "tsa", &[]), "what is signed does not name the certificate");
    check(sign(&info, "tsa", &["-noattr"]), "the signed data is missing or malformed");
    check(sign(&info, "tsa", &["-cades", "-nocerts"]), "the certificate of the signer is not in it");
    check(sign(&info, "tsa", &["-cades", "-md", "sha1"]), "its hash is none of SHA-256, SHA-384 and SHA-512");
    check(sign(b"no content", "tsa", &["-cades"]), "the timestamp's content is missing or malformed");
    check(
        Token::from_response(authority.sign(&authority.info(&[8; 32]), "tsa", &["-cades"]), &seal)
            .map_err(|error| error.to_string()),
        "the timestamp is of SHA-256 0808",
    );
    sign(&info, "tsa", &["-cades", "-keyid"]).unwrap();
}

#[test]
fn a_certificate_must_be_valid_at_the_stated_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = bundle(folder.path());
    let authority = Authority::new(&P384);
    let seal = timestamp::seal(&path).unwrap();
    let mut info = authority.info(&seal);
    let at = info.windows(2).position(|window| window == b"20").unwrap();
    info[at..at + 4].copy_from_slice(b"2001");
    let token = Token::from_response(authority.sign(&info, "tsa", &["-cades", "-md", "sha384"]), &seal).unwrap();
    timestamp::attach(&path, &token).unwrap();
    assert_eq!(stamps(&path, &Roots::default())[0].trust, Trust::NotChecked);
    let problems = verify(&path, &authority.roots()).unwrap().problems;
    assert!(problems[0].what.contains("does not lead to one of the roots given"), "{problems:?}");
}

#[test]
fn an_authority_that_answers_wrongly_is_refused() {
    let authority = Authority::new(&P256);
    let old = authority.answer(&timestamp::request(&[1; 32], 7));
    let seal = [1; 32];
    let ask = |status: u16, body: Vec<u8>| {
        let (url, thread) = serve(move |_| (status, body));
        let error = timestamp::ask(&url, &seal, TIMEOUT).unwrap_err();
        thread.join().unwrap();
        error
    };
    assert!(matches!(ask(200, old), AskError::Refused { source: TokenError::OtherNonce, .. }));
    assert!(matches!(ask(500, Vec::new()), AskError::Status { status: 500, .. }));
    assert!(matches!(ask(200, b"<html>".to_vec()), AskError::Refused { source: TokenError::Malformed(_), .. }));
    assert!(matches!(ask(200, vec![0x30; 1 << 20]), AskError::Unreachable { .. }), "more than an answer may have");
    // PKIStatusInfo: rejection, with the text "no".
    let declined = vec![0x30, 0x0b, 0x30, 0x09, 0x02, 0x01, 0x02, 0x30, 0x04, 0x0c, 0x02, b'n', b'o'];
    let AskError::Refused { source, .. } = ask(200, declined) else { panic!("it was declined") };
    assert_eq!(source.to_string(), "the authority declined with status 2: no");

    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = timestamp::ask(&format!("http://{closed}/"), &seal, TIMEOUT).unwrap_err();
    assert!(matches!(error, AskError::Unreachable { .. }));
}

#[test]
fn roots_are_certificates() {
    let authority = Authority::new(&P256);
    assert!(!authority.roots().is_empty());
    assert!(Roots::from_pem(b"no certificate").is_err());
    assert!(Roots::from_pem(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").is_err());
}
