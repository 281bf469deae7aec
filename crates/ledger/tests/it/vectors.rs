//! `fixtures/vectors/ledger.json`: what every implementation of our own formats must come to, and a Python program of
//! the standard library alone that comes to the same.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use vigie_ledger::commitment::{Place, SubjectKey, commit, rows_root};
use vigie_ledger::entry::{Entry, Flags};
use vigie_ledger::hash::hex;
use vigie_ledger::row::{CanonicalRow, Disclosure};
use vigie_ledger::sampling::{Demand, Round, Unit};
use vigie_ledger::{Checkpoint, EventId, Hash, Kind};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/vectors")
}

fn vectors() -> Value {
    let key = SubjectKey::new([0x11; 32]);
    let event = EventId(*b"0123456789abcdef");
    let rows: Vec<Value> = [&b""[..], b"a", &[0xff; 300]]
        .iter()
        .enumerate()
        .map(|(at, bytes)| {
            let place = Place::Row(at as u64);
            let salt = key.salt(event, place);
            let commitment = commit(&salt, event, place, bytes);
            json!({ "row": at, "bytes": hex(bytes), "salt": hex(&salt.0), "commitment": commitment.to_hex() })
        })
        .collect();
    let header_salt = key.salt(event, Place::Header);
    let fields =
        [Disclosure::new(&key, event, 1, 0, "country", Some(b"FR")), Disclosure::new(&key, event, 1, 1, "phone", None)];
    let commitments = (0..3_u64).map(|at| {
        let bytes: &[u8] = [&b""[..], b"a", &[0xff; 300]][at as usize];
        commit(&key.salt(event, Place::Row(at)), event, Place::Row(at), bytes)
    });
    let entry = Entry {
        row_base: 1000,
        row_count: 3,
        flags: Flags::BREAK_GLASS,
        rows_root: rows_root(commitments),
        peer_ref: Hash([0x22; 32]),
        ..Entry::new(Kind::Access, 1_795_385_705, event, commit(&header_salt, event, Place::Header, b"who"))
    };
    let demand = Demand {
        head: Checkpoint::new("operator.example/accesses".parse().expect("a name"), 48_213, Hash([0x33; 32])),
        unit: Unit::Row,
        from: 5,
        to: 1_000_005,
        count: 12,
        deadline: 1_797_977_705,
        round: Round(34_230_780),
        nonce_commit: Hash::of(b"the authority's number"),
    };
    let beacon = [0x44; 48];
    let seed = demand.seed(b"the authority's number", &beacon).expect("the number committed to");
    json!({
        "about": "What implementations of Vigie's own ledger formats must come to. Bytes are hexadecimal. Reproduced by check.py.",
        "subject_key": hex(key.expose()),
        "event_id": hex(&event.0),
        "rows": rows,
        "header": {
            "bytes": hex(b"who"),
            "salt": hex(&header_salt.0),
            "commitment": commit(&header_salt, event, Place::Header, b"who").to_hex(),
        },
        "fields": fields.iter().enumerate().map(|(position, field)| json!({
            "row": 1, "position": position, "name": field.name, "value": field.value.as_deref().map(hex),
            "salt": hex(&field.salt), "digest": field.digest().to_hex(),
        })).collect::<Vec<_>>(),
        "canonical_row": hex(&CanonicalRow::new(&fields).to_bytes()),
        "entry": {
            "time": 1_795_385_705, "row_base": 1000, "row_count": 3, "kind": Kind::Access.byte(), "flags": 4,
            "rows_root": entry.rows_root.to_hex(), "peer_ref": entry.peer_ref.to_hex(),
            "bytes": hex(&entry.to_bytes()), "leaf": Hash::leaf(&entry.to_bytes()).to_hex(),
        },
        "sample": {
            "demand": demand.to_string(), "nonce": hex(b"the authority's number"), "beacon_signature": hex(&beacon),
            "from": demand.from, "to": demand.to, "count": demand.count,
            "seed": hex(&seed.0), "indexes": demand.indexes(&seed),
        },
    })
}

#[test]
fn vectors_are_up_to_date() {
    let made = format!("{}\n", serde_json::to_string_pretty(&vectors()).expect("JSON"));
    let path = folder().join("ledger.json");
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    // Compared by what they say: in which order a map's keys are printed is a matter of who else is built along.
    let kept: Option<serde_json::Value> = serde_json::from_str(&kept).ok();
    if kept.as_ref() != Some(&vectors()) {
        let proposal = path.with_extension("json.new");
        std::fs::write(&proposal, made).expect("the folder can be written");
        panic!(
            "the formats changed: compare {} with {}; logs written before would no longer verify",
            proposal.display(),
            path.display()
        );
    }
}

#[test]
fn python_comes_to_the_same() {
    let output = Command::new("python3").arg("check.py").current_dir(folder()).output().expect("python3 is installed");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said, "all vectors reproduced\n");
}
