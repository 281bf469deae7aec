//! What programs nobody here wrote say of a bundle: warcio, py-wacz, cdxj-indexer, unzip and openssl.
//!
//! `scripts/setup.sh --judges` installs them. Without them these tests fail and say so: a judge that is absent has not
//! agreed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use vigie_evidence::{Bundle, gzip, timestamp};

use crate::{
    samples,
    tampering::{members, rebuild},
    timestamps::{Authority, P256},
};

/// Returns a program of the judges' Python environment.
fn judge(name: &str) -> Command {
    let program = judges().join(name);
    assert!(program.exists(), "{} is missing: run `sh scripts/setup.sh --judges`", program.display());
    Command::new(program)
}

/// Returns where the judges' programs are.
fn judges() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::env::var_os("VIGIE_JUDGES").map_or_else(|| root.join("target/judges"), PathBuf::from).join("bin")
}

/// Runs a program that must agree; returns what it says.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{} did not start ({error}): run `sh scripts/setup.sh --judges`", command.get_program().display())
    });
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {said}");
    said
}

/// Writes a member beside; returns where.
pub fn extract(bundle: &Path, member: &str, folder: &Path) -> PathBuf {
    let path = folder.join(Path::new(member).file_name().unwrap());
    std::io::copy(&mut Bundle::open(bundle).unwrap().member(member).unwrap(), &mut fs::File::create(&path).unwrap())
        .unwrap();
    path
}

#[test]
fn warcio_finds_every_digest_right() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = samples::tree(folder.path());
    samples::rich(&bundle);
    let warc = extract(&bundle, "archive/data.warc.gz", folder.path());
    let said = run(judge("warcio").args(["check", "-v"]).arg(&warc));
    assert_eq!(said.matches("digest pass").count(), 17, "all but the revisit, which warcio does not check: {said}");

    let mut plain = Bundle::open(&bundle).unwrap().read("archive/data.warc.gz", 1 << 20).unwrap();
    let at = plain.windows(7).position(|window| window == b"glages<").unwrap();
    plain[at] ^= 1;
    fs::write(&warc, gzip(&plain)).unwrap();
    let wrong = judge("warcio").arg("check").arg(&warc).output().unwrap();
    assert!(!wrong.status.success(), "warcio does look");
}

#[test]
fn warcio_replays_the_body_that_was_stored_once() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = samples::tree(folder.path());
    samples::rich(&bundle);
    let warc = extract(&bundle, "archive/data.warc.gz", folder.path());
    let script = "
import sys
from warcio.archiveiterator import ArchiveIterator
bodies, found = {}, None
for record in ArchiveIterator(open(sys.argv[1], 'rb')):
    fields = record.rec_headers
    if record.rec_type == 'response':
        bodies[(fields['WARC-Target-URI'], fields['WARC-Date'])] = record.content_stream().read()
    if record.rec_type == 'revisit':
        found = bodies[(fields['WARC-Refers-To-Target-URI'], fields['WARC-Refers-To-Date'])]
        print(fields['WARC-Target-URI'], record.http_headers.get_statuscode(), len(found))
";
    let said = run(judge("python").args(["-c", script]).arg(&warc));
    assert_eq!(said.trim(), "https://other.test/app.js 200 80000");
}

/// Asks py-wacz to validate a bundle.
pub fn wacz_accepts(bundle: &Path) {
    let said = run(judge("wacz").args(["validate", "-f"]).arg(bundle));
    assert!(said.contains("the passed WACZ is valid"), "{said}");
}

#[test]
fn py_wacz_accepts_bundles_and_refuses_changed_ones() {
    let folder = tempfile::tempdir().unwrap();
    for make in [samples::rich, samples::small, samples::empty] {
        let path = folder.path().join("sample.wacz");
        make(&path);
        wacz_accepts(&path);
        fs::remove_file(&path).unwrap();
    }
    let path = folder.path().join("sample.wacz");
    samples::rich(&path);
    let mut changed = members(&fs::read(&path).unwrap());
    changed[4].1[0] ^= 1;
    let path = folder.path().join("changed.wacz");
    fs::write(&path, rebuild(&changed)).unwrap();
    let wrong = judge("wacz").args(["validate", "-f"]).arg(path).output().unwrap();
    assert!(!wrong.status.success(), "py-wacz does look");
}

#[test]
fn cdxj_indexer_makes_the_same_index() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = samples::tree(folder.path());
    samples::rich(&bundle);
    let warc = extract(&bundle, "archive/data.warc.gz", folder.path());
    let theirs = run(judge("cdxj-indexer").arg("--sort").arg(&warc));
    let ours = String::from_utf8(Bundle::open(&bundle).unwrap().read("indexes/index.cdxj", 1 << 20).unwrap()).unwrap();
    let read = |text: &str| -> Vec<(String, BTreeMap<String, String>)> {
        let line = |line: &str| {
            let (key, json) = line.split_at(line.find(" {").unwrap());
            let mut line: BTreeMap<String, String> = serde_json::from_str(json).unwrap();
            // Of the body that was lost it makes a digest of nothing; we make none.
            if line["url"] == "https://cdn.test/lost.png" {
                line.remove("digest");
            }
            (key.to_owned(), line)
        };
        text.lines().map(line).collect()
    };
    assert_eq!(read(&ours), read(&theirs));
}

#[test]
fn unzip_and_openssl_agree() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = samples::tree(folder.path());
    samples::rich(&bundle);
    run(Command::new("unzip").arg("-tqq").arg(&bundle));

    // The signature by openssl alone: it wants DER, the bundle has r and s one after the other.
    let digest = fs::read_to_string(extract(&bundle, "datapackage-digest.json", folder.path())).unwrap();
    let digest: serde_json::Value = serde_json::from_str(&digest).unwrap();
    let script = "
import sys, json, base64
signed = json.load(open(sys.argv[1]))['signedData']
raw = base64.b64decode(signed['signature'])
def number(raw):
    raw = raw.lstrip(b'\\0') or b'\\0'
    raw = b'\\0' + raw if raw[0] > 127 else raw
    return bytes([2, len(raw)]) + raw
body = number(raw[:48]) + number(raw[48:])
open('signature', 'wb').write(bytes([0x30, len(body)]) + body)
open('key', 'wb').write(base64.b64decode(signed['publicKey']))
open('text', 'w').write(signed['hash'])
";
    let path = folder.path().join("datapackage-digest.json");
    run(judge("python").current_dir(folder.path()).args(["-c", script]).arg(path));
    let check = ["dgst", "-sha256", "-verify", "key", "-keyform", "DER", "-signature", "signature", "text"];
    let said = run(Command::new("openssl").current_dir(folder.path()).args(check));
    assert!(said.contains("Verified OK"), "{said}");

    let package = extract(&bundle, "datapackage.json", folder.path());
    let said = run(Command::new("sha256sum").arg(package));
    assert_eq!(digest["hash"], format!("sha256:{}", &said[..64]));
}

#[test]
fn the_commands_in_the_documentation_work() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("evidence.wacz");
    samples::rich(&bundle);
    let authority = Authority::new(&P256);
    timestamp::attach(&bundle, &authority.stamp(&timestamp::seal(&bundle).unwrap())).unwrap();
    fs::copy(authority.path("ca.pem"), folder.path().join("root.pem")).unwrap();

    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/evidence.md")).unwrap();
    let commands = text.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("there are commands");
    // What it would install is there already, and tests do not reach for the network.
    let commands: Vec<&str> = commands.lines().filter(|line| !line.starts_with("pip install")).collect();
    judge("warcio");
    let path = format!("{}:{}", fs::canonicalize(judges()).unwrap().display(), std::env::var("PATH").unwrap());
    let said =
        run(Command::new("sh").current_dir(folder.path()).env("PATH", path).args(["-euc", &commands.join("\n")]));
    for expected in [
        "vigie/evidence.json.gz: OK",
        "Verified OK",
        "Verification: OK",
        "Time stamp: ",
        "the passed WACZ is valid",
        "digest pass",
        "test,rich:8443)/?a=1&b=2 ",
        &samples::key().fingerprint()[7..],
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert_eq!(said.matches("\"hash\": \"sha256:").count(), 2, "{said}");
}
