//! Notes, checkpoints, policies, receipts and witnesses: what is accepted, and every way to be refused.

use super::{MemoryLog, log_key, witness_key};
use crate::checkpoint::{CheckpointError, OpenError};
use crate::hash::Hash;
use crate::key::{Algorithm, BadSignature, KeyError, SignerKey, VerifierKey};
use crate::note::{NoteError, Signature};
use crate::policy::{Refusal, TrustPolicy};
use crate::proof::ProofError;
use crate::reader::Tiles;
use crate::receipt::{Receipt, ReceiptError, Unproven};
use crate::witness::{AddCheckpoint, Answer, Seen, answer};
use crate::{Checkpoint, Note, SignedCheckpoint};
use proptest::prelude::*;

const ALGORITHMS: [Algorithm; 3] = [Algorithm::Ed25519, Algorithm::CosignatureEd25519, Algorithm::CosignatureMlDsa44];

#[test]
fn keys_are_read_as_written_and_their_secrets_stay_hidden() {
    for algorithm in ALGORITHMS {
        let key = witness_key(3, algorithm);
        assert_eq!(key.verifier().to_string().parse(), Ok(key.verifier().clone()));
        let again = SignerKey::from_secret_text(&format!("{}\n", key.to_secret_text())).expect("as written");
        assert_eq!(again.verifier(), key.verifier());
        assert_eq!(format!("{key:?}"), format!("SignerKey(witness3.example+{})", key.verifier().id()));
        let other = SignerKey::from_seed("other.example".parse().expect("a name"), algorithm, [3; 32]);
        assert_ne!(other.verifier().id(), key.verifier().id());
        assert!(other.verifier().is_same_key(key.verifier()));
    }
    assert!(SignerKey::from_secret_text("PRIVATE+KEY+witness3.example+00000000+AQ==").is_err());
}

#[test]
fn what_is_no_key_is_refused_in_words() {
    let key = log_key().verifier().to_string();
    let id = log_key().verifier().id().to_string();
    let message = |text: &str| text.parse::<VerifierKey>().expect_err("no key").to_string();
    insta::assert_snapshot!(
        [
            message("nothing"),
            message(&key.replace(&id, "00000000")),
            message(&format!("a b+{}", key.split_once('+').expect("parts").1)),
            message("a.example+00000000+AgEB"),
            message("a.example+00000000+AQEB"),
            KeyError::Secret.to_string(),
        ]
        .join("\n"),
        @r"
    `nothing` is no verifier key; expected NAME+ID+BASE64, as `vigie ledger key` prints
    verifier key `operator.example/accesses` has the id 00000000, its name and key make ffe9f5d2
    key name `a b` is empty, or contains a space or a plus sign
    verifier key `a.example` is of type 0x02; known are 0x01, 0x04 and 0x06
    verifier key `a.example` holds no valid public key
    this is no signer key; expected PRIVATE+KEY+NAME+ID+BASE64, as `vigie ledger init` writes
    "
    );
}

fn signed(text: &str) -> Note {
    let mut note = Note::new(text).expect("a text");
    note.add(log_key().sign(text));
    note
}

#[test]
fn notes_that_are_not_are_refused() {
    let good = signed("one\n\ntwo\n").to_string();
    assert_eq!(Note::parse(good.as_bytes()).expect("a note").text(), "one\n\ntwo\n");
    let line = good.lines().last().expect("a line");
    for (text, expected) in [
        (String::new(), NoteError::NoSignatures),
        ("text\n".to_owned(), NoteError::NoSignatures),
        ("text\n\n".to_owned(), NoteError::NoSignatures),
        (good.trim_end().to_owned(), NoteError::Line { line: 1 }),
        (good.replace("one", "o\tne"), NoteError::Control(9)),
        (good.replace("— ", "- "), NoteError::Line { line: 1 }),
        (good.replace("accesses ", "accesses  "), NoteError::Line { line: 1 }),
        (format!("{good}— name AAAAAA==\n"), NoteError::Line { line: 2 }),
        (format!("{good}{}", format!("{line}\n").repeat(64)), NoteError::TooMany(65)),
        ("x".repeat(300_000), NoteError::TooLarge(300_000)),
    ] {
        assert_eq!(Note::parse(text.as_bytes()), Err(expected), "{text}");
    }
    assert_eq!(Note::parse(b"\xff\n\n\n"), Err(NoteError::NotText));
    assert!(Note::new("no end").is_err());
}

#[test]
fn unknown_signatures_are_ignored_and_a_bad_one_condemns_the_note() {
    let mut note = signed("text\n");
    let stranger = SignerKey::from_seed("stranger.example".parse().expect("a name"), Algorithm::Ed25519, [9; 32]);
    let (log, other) = (log_key(), stranger.verifier().clone());
    note.add(stranger.sign("another text\n"));
    assert_eq!(note.verify([log.verifier()]).expect("signed").len(), 1);
    assert!(matches!(
        note.verify([log.verifier(), &other]),
        Err(NoteError::Bad { source: BadSignature::Mismatch, .. })
    ));
    assert_eq!(signed("text\n").verify([&other]), Err(NoteError::Unsigned));
    // The same name with another key is another key.
    let namesake = SignerKey::from_seed(log.verifier().name().clone(), Algorithm::Ed25519, [8; 32]);
    assert_eq!(signed("text\n").verify([namesake.verifier()]), Err(NoteError::Unsigned));
}

#[test]
fn checkpoints_are_three_lines_of_one_spelling() {
    let root = Hash::EMPTY.to_base64();
    let parse = |text: &str| Checkpoint::parse(text).map(|checkpoint| checkpoint.to_string());
    let good = format!("a.example\n0\n{root}\n");
    assert_eq!(parse(&good).as_ref(), Ok(&good));
    assert_eq!(parse(&format!("{good}more\n")), Ok(format!("{good}more\n")));
    assert_eq!(parse(&format!("{good}\n")), Err(CheckpointError::Extension(4)));
    assert_eq!(parse(good.trim_end()), Err(CheckpointError::Cut));
    for size in ["00", "+1", "-1", "", " 1", "18446744073709551616", "1.0"] {
        assert_eq!(
            parse(&format!("a.example\n{size}\n{root}\n")),
            Err(CheckpointError::Size(size.to_owned())),
            "{size}"
        );
    }
    let other = Hash([1; 32]);
    assert_eq!(parse(&format!("a.example\n0\n{other}\n")), Err(CheckpointError::NotEmpty(other)));
    assert!(matches!(parse(&format!("\n1\n{root}\n")), Err(CheckpointError::Origin(_))));
    assert!(matches!(parse("a.example\n1\nroot\n"), Err(CheckpointError::Root(_))));
}

#[test]
fn a_log_cannot_sign_for_another() {
    let head = Checkpoint::new("victim.example".parse().expect("a name"), 0, Hash::EMPTY);
    let note = signed(&head.to_string());
    assert!(matches!(
        SignedCheckpoint::open(note.to_string().as_bytes(), log_key().verifier()),
        Err(OpenError::Origin { .. })
    ));
}

#[test]
fn cosignatures_of_both_kinds_are_verified_and_bind_time_and_tree() {
    for algorithm in [Algorithm::CosignatureEd25519, Algorithm::CosignatureMlDsa44] {
        let witness = witness_key(1, algorithm);
        let log = MemoryLog::numbered(5);
        let head = log.head();
        let line = witness.cosign(&head, 1_700_000_000);
        let verify = |head: &Checkpoint, line: &Signature| witness.verifier().verify(&head.to_string(), &line.bytes);
        assert_eq!(verify(&head, &line), Ok(Some(1_700_000_000)));
        let mut later = line.clone();
        later.bytes[7] ^= 1;
        assert_eq!(verify(&head, &later), Err(BadSignature::Mismatch), "time changed");
        assert_eq!(verify(&MemoryLog::numbered(6).head(), &line), Err(BadSignature::Mismatch), "another tree");
        let mut timeless = line.clone();
        timeless.bytes[..8].fill(0);
        assert_eq!(verify(&head, &timeless), Err(BadSignature::Time));
        timeless.bytes[..8].fill(0xff);
        assert_eq!(verify(&head, &timeless), Err(BadSignature::Time));
        assert!(matches!(witness.verifier().verify("text\n", &line.bytes), Err(BadSignature::NoCheckpoint)));
        assert!(matches!(
            witness.verifier().verify(&head.to_string(), &line.bytes[1..]),
            Err(BadSignature::Length { .. })
        ));
    }
}

fn policy(text: &str) -> Result<TrustPolicy, String> {
    let key = |number, algorithm| witness_key(number, algorithm).verifier().to_string();
    let text = text
        .replace("LOG", &log_key().verifier().to_string())
        .replace("W1", &key(1, Algorithm::CosignatureEd25519))
        .replace("W2", &key(2, Algorithm::CosignatureEd25519))
        .replace("W3", &key(3, Algorithm::CosignatureMlDsa44));
    TrustPolicy::parse(&text).map_err(|error| error.to_string())
}

const THREE: &str = "log LOG https://log.example/\nwitness a W1\nwitness b W2\nwitness c W3\n";

#[test]
fn policies_are_refused_in_words() {
    let message = |text: &str| policy(text).expect_err("refused");
    insta::assert_snapshot!(
        [
            message("log LOG"),
            message("logs LOG"),
            message("log\nquorum none"),
            message("log LOG\nlog LOG\nquorum none"),
            message("log W1\nquorum none"),
            message("witness a LOG\nquorum a"),
            message("witness a W1\nwitness b W1\nquorum a"),
            message("witness none W1\nquorum none"),
            message("witness a W1\nwitness a W2\nquorum a"),
            message("quorum a"),
            message("quorum none\nquorum none"),
            message("witness a W1\ngroup g any\nquorum g"),
            message("witness a W1\ngroup g 0 a\nquorum g"),
            message("witness a W1\ngroup g 2 a\nquorum g"),
            message("witness a W1\ngroup g 01 a\nquorum g"),
            message("witness a W1\ngroup g all a a\nquorum g"),
            message("witness a W1\ngroup g all a none\nquorum g"),
            message("group g all g\nquorum g"),
            message("log LOG\r\nquorum none"),
        ]
        .join("\n")
        .replace(&log_key().verifier().to_string(), "LOG"),
        @r"
    line 1 of the policy is missing: `quorum NAME` or `quorum none`
    line 1 of the policy begins with `logs`; expected `log`, `witness`, `group` or `quorum`
    line 1 of the policy is not of the form `log KEY [URL]`
    line 2 of the policy repeats the key of `operator.example/accesses`
    line 1 of the policy names `witness1.example`, whose key is not of the kind that a log has
    line 1 of the policy names `operator.example/accesses`, whose key is not of the kind that a witness has
    line 2 of the policy repeats the key of `witness1.example`
    line 1 of the policy defines `none` a second time
    line 2 of the policy defines `a` a second time
    line 1 of the policy uses `a`, which no line before defines
    line 2 of the policy says the quorum a second time
    line 2 of the policy is not of the form `group NAME all|any|K NAME…`
    line 2 of the policy asks for `0` of 1 members
    line 2 of the policy asks for `2` of 1 members
    line 2 of the policy asks for `01` of 1 members
    line 2 of the policy makes `a` a member a second time
    line 2 of the policy uses `none`, which no line before defines
    line 1 of the policy uses `g`, which no line before defines
    line 1 of the policy contains a control character
    "
    );
}

#[test]
fn a_quorum_is_counted_as_the_policy_says() {
    let keys: Vec<_> = [
        witness_key(1, Algorithm::CosignatureEd25519),
        witness_key(2, Algorithm::CosignatureEd25519),
        witness_key(3, Algorithm::CosignatureMlDsa44),
    ]
    .iter()
    .map(|key| key.verifier().clone())
    .collect();
    for (quorum, enough) in [
        ("quorum none", "0 1 2 3 12 13 23 123"),
        ("quorum a", "1 12 13 123"),
        ("group g any a b c\nquorum g", "1 2 3 12 13 23 123"),
        ("group g all a b c\nquorum g", "123"),
        ("group g 2 a b c\nquorum g", "12 13 23 123"),
        ("# comment\n\n\tgroup\tx  any a b \ngroup g all x c\nquorum g", "13 23 123"),
    ] {
        let policy = policy(&format!("{THREE}{quorum}")).expect("a policy");
        let found: Vec<_> = ["0", "1", "2", "3", "12", "13", "23", "123"]
            .into_iter()
            .filter(|seen| {
                policy.is_quorum(
                    keys.iter().enumerate().filter(|(at, _)| seen.contains(&(at + 1).to_string())).map(|(_, key)| key),
                )
            })
            .collect();
        assert_eq!(found.join(" "), enough, "{quorum}");
    }
}

fn witnessed_log() -> (MemoryLog, TrustPolicy) {
    let (one, three) = (witness_key(1, Algorithm::CosignatureEd25519), witness_key(3, Algorithm::CosignatureMlDsa44));
    let mut log = MemoryLog::numbered(300);
    log.publish(&[(&one, 1_700_000_000), (&three, 1_700_000_005)]);
    (log, policy(&format!("{THREE}group g 2 a b c\nquorum g")).expect("a policy"))
}

#[test]
fn a_receipt_is_checked_offline_and_tells_who_saw_it_and_when() {
    let (log, policy) = witnessed_log();
    let proof =
        Tiles::new(&log, 300, 10).prove_inclusion(7, Hash::leaf(b"entry 7"), log.head().root()).expect("in the tree");
    let receipt =
        Receipt { extra: Some(b"opening".to_vec()), index: 7, proof, checkpoint: log.files["checkpoint"].clone() };
    let bytes = receipt.to_bytes();
    assert_eq!(Receipt::parse(&bytes).as_ref(), Ok(&receipt));

    let attested = receipt.verify(b"entry 7", &policy).expect("proved");
    assert_eq!(
        attested.witnesses.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["witness1.example", "witness3.example"]
    );
    assert_eq!(attested.latest(), Some(1_700_000_005));
    assert_eq!(
        receipt.verify(b"entry 8", &policy),
        Err(Unproven::Proof(ProofError::NotIncluded { index: 7, size: 300 }))
    );
    let elsewhere = Receipt { index: 8, ..receipt.clone() };
    assert!(matches!(elsewhere.verify(b"entry 7", &policy), Err(Unproven::Proof(_))));
    let strict = self::policy(&format!("{THREE}group g all a b c\nquorum g")).expect("a policy");
    let refused = receipt.verify(b"entry 7", &strict).expect_err("b did not see it").to_string();
    assert_eq!(
        refused,
        "checkpoint of `operator.example/accesses` is cosigned by `witness1.example`, `witness3.example`, which is not the \
         quorum that the policy asks for"
    );
    let stranger = TrustPolicy::of_log(
        SignerKey::from_seed("x.example".parse().expect("a name"), Algorithm::Ed25519, [5; 32]).verifier().clone(),
    );
    assert!(matches!(receipt.verify(b"entry 7", &stranger), Err(Unproven::Checkpoint(Refusal::UnknownLog(_)))));
    let namesake = SignerKey::from_seed(log_key().verifier().name().clone(), Algorithm::Ed25519, [5; 32]);
    let namesake = TrustPolicy::of_log(namesake.verifier().clone());
    assert!(matches!(receipt.verify(b"entry 7", &namesake), Err(Unproven::Checkpoint(Refusal::Unsigned(_)))));
}

#[test]
fn texts_that_are_no_receipt_are_refused() {
    let hash = Hash::EMPTY.to_base64();
    for (text, expected) in [
        (String::new(), ReceiptError::Header),
        ("c2sp.org/tlog-proof@v2\n".to_owned(), ReceiptError::Header),
        ("c2sp.org/tlog-proof@v1\nextra ?\nindex 0\n\nx".to_owned(), ReceiptError::Extra),
        ("c2sp.org/tlog-proof@v1\nindex 01\n\nx".to_owned(), ReceiptError::Index),
        ("c2sp.org/tlog-proof@v1\nindex 1\nextra AA==\n\nx".to_owned(), ReceiptError::Hash(1)),
        ("c2sp.org/tlog-proof@v1\nindex 1\n\n".to_owned(), ReceiptError::Cut),
        ("c2sp.org/tlog-proof@v1\nindex 1\n".to_owned(), ReceiptError::Cut),
        (format!("c2sp.org/tlog-proof@v1\nindex 1\n{}\nx", format!("{hash}\n").repeat(66)), ReceiptError::TooLong),
    ] {
        assert_eq!(Receipt::parse(text.as_bytes()), Err(expected), "{text}");
    }
}

fn request(log: &MemoryLog, old: u64) -> AddCheckpoint {
    let head = log.head();
    let note = Note::parse(&log.files["checkpoint"]).expect("a note");
    let proof =
        crate::proof::consistency_proof(&mut Tiles::new(log, head.size(), 100), old, head.size()).expect("a proof");
    AddCheckpoint { old, proof, note }
}

#[test]
fn a_witness_answers_as_the_protocol_says() {
    let keys = [log_key().verifier().clone()];
    let mut log = MemoryLog::numbered(300);
    let first = request(&log, 0);
    let seen = Seen { size: 300, root: log.head().root() };
    assert!(matches!(answer(&first, &keys, Seen::NOTHING), Answer::Cosign(_)));
    assert_eq!(answer(&first, &keys, seen), Answer::Conflict(300));
    assert!(matches!(answer(&request(&log, 300), &keys, seen), Answer::Cosign(_)), "the same head again");
    log.extend([b"more".to_vec()]);
    let next = request(&log, 300);
    assert!(matches!(answer(&next, &keys, seen), Answer::Cosign(_)));
    assert_eq!(answer(&next, &keys, Seen { size: 299, ..seen }), Answer::Conflict(299));
    assert_eq!(answer(&next, &keys, Seen { root: Hash::EMPTY, ..seen }), Answer::NotConsistent);
    assert_eq!(answer(&AddCheckpoint { proof: vec![], ..next.clone() }, &keys, seen), Answer::NotConsistent);
    assert_eq!(
        answer(&AddCheckpoint { proof: vec![Hash::EMPTY], ..first.clone() }, &keys, Seen::NOTHING),
        Answer::NotConsistent
    );
    assert_eq!(answer(&next, &[], seen), Answer::UnknownLog);
    let namesake = SignerKey::from_seed(log_key().verifier().name().clone(), Algorithm::Ed25519, [5; 32]);
    assert_eq!(answer(&next, &[namesake.verifier().clone()], seen), Answer::NotSigned);
    assert!(matches!(answer(&AddCheckpoint { old: 302, ..next.clone() }, &keys, seen), Answer::Malformed(_)));
    // Equal sizes with unequal roots: the log has forked.
    let fork = MemoryLog::new(log.entries[..299].iter().cloned().chain([b"fork".to_vec()]));
    assert_eq!(answer(&request(&fork, 300), &keys, seen), Answer::NotConsistent);
}

#[test]
fn requests_to_a_witness_are_read_as_written() {
    let mut log = MemoryLog::numbered(300);
    log.extend([b"more".to_vec()]);
    let request = request(&log, 300);
    let body = request.to_body();
    assert_eq!(AddCheckpoint::parse(body.as_bytes()).as_ref(), Ok(&request));
    for broken in [
        body.replace("old ", "Old "),
        body.replace("old 300", "old 0300"),
        body.replacen("\n\n", "\n", 1),
        body.replacen('\n', &format!("\n{}", format!("{}\n", Hash::EMPTY).repeat(63)), 1),
        body.replacen('=', "", 1),
        String::new(),
    ] {
        assert!(AddCheckpoint::parse(broken.as_bytes()).is_err(), "{broken}");
    }
}

proptest! {
    #[test]
    fn nothing_foreign_makes_a_parser_stumble(bytes: Vec<u8>, text in "\\PC{0,200}", lines in "(log|witness|group|quorum|old|item|index|extra|[a-z0-9 +=\n—])*") {
        for bytes in [bytes.as_slice(), text.as_bytes(), lines.as_bytes()] {
            let _ = Note::parse(bytes);
            let _ = Receipt::parse(bytes);
            let _ = AddCheckpoint::parse(bytes);
            let _ = crate::answer::Answer::parse(bytes);
            let _ = crate::opening::Shown::parse(bytes);
            let _ = crate::row::CanonicalRow::parse(bytes);
        }
        let _ = TrustPolicy::parse(&text);
        let _ = TrustPolicy::parse(&lines);
        let _ = Checkpoint::parse(&lines);
    }
}
