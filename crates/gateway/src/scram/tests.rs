//! SCRAM against the vectors of RFC 7677 and itself.

use super::{
    client::{Binding, Client, Secret},
    server::{Credential, Server},
    *,
};

const SECRET: [u8; 32] = [7; 32];

/// RFC 7677 §3.
#[test]
fn both_sides_say_what_the_rfc_says() {
    let salt = BASE64_STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let (first, client) = Client::begin(
        Secret::Password("pencil".to_owned()),
        "user",
        Binding::Impossible,
        Nonce::of("rOprNGfwEbeRWgbNEkqO"),
    );
    assert_eq!(first, "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    let server = Server::new(Credential::Known(Verifier::new("pencil", &salt, 4096)), None);
    let (challenge, challenged) =
        server.challenge(SCRAM_SHA_256, first.as_bytes(), &Nonce::of("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")).unwrap();
    assert_eq!(challenge, "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
    let (proof, proved) = client.prove(challenge.as_bytes()).unwrap();
    assert_eq!(
        proof,
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
         p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    );
    let last = challenged.finish(proof.as_bytes()).unwrap();
    assert_eq!(last, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    let used = proved.finish(last.as_bytes()).unwrap();
    assert!(matches!(used, Secret::Keys { iterations: 4096, .. }));
}

fn exchange(credential: Credential, secret: Secret, server: Option<&[u8]>, client: Binding) -> Result<(), ScramError> {
    let mechanism = if matches!(client, Binding::EndPoint(_)) { SCRAM_SHA_256_PLUS } else { SCRAM_SHA_256 };
    let server = Server::new(credential, server.map(<[u8]>::to_vec));
    let (first, client) = Client::begin(secret, "", client, Nonce::random());
    let (challenge, server) = server.challenge(mechanism, first.as_bytes(), &Nonce::random())?;
    let (proof, client) = client.prove(challenge.as_bytes())?;
    client.finish(server.finish(proof.as_bytes())?.as_bytes())?;
    Ok(())
}

fn known(password: &str) -> Credential {
    Credential::Known(Verifier::new(password, b"0123456789abcdef", 4096))
}

fn password(text: &str) -> Secret {
    Secret::Password(text.to_owned())
}

#[test]
fn only_the_right_password_is_accepted() {
    assert_eq!(exchange(known("right"), password("right"), None, Binding::Impossible), Ok(()));
    assert_eq!(exchange(known("right"), password("wrong"), None, Binding::Impossible), Err(ScramError::WrongProof));
    let prepared = exchange(known("I\u{ad}X"), password("IX"), None, Binding::Impossible);
    assert_eq!(prepared, Ok(()), "RFC 4013: a soft hyphen is nothing");
    let raw = exchange(known("\u{7}bell"), password("\u{7}bell"), None, Binding::Impossible);
    assert_eq!(raw, Ok(()), "what cannot be prepared is used as it is");
}

#[test]
fn someone_unknown_fails_like_someone_with_a_wrong_password() {
    let unknown = || Credential::Unknown { name: "nobody".to_owned(), secret: SECRET };
    assert_eq!(exchange(unknown(), password("x"), None, Binding::Impossible), Err(ScramError::WrongProof));
    let challenge = |credential| {
        let server = Server::new(credential, None);
        server.challenge(SCRAM_SHA_256, b"n,,n=,r=abc", &Nonce::of("def")).unwrap().0
    };
    assert_eq!(challenge(unknown()), challenge(unknown()), "a salt that changed would give it away");
    let other = Credential::Unknown { name: "noone".to_owned(), secret: SECRET };
    assert_ne!(challenge(unknown()), challenge(other));
    assert_eq!(challenge(unknown()).len(), challenge(known("x")).len());
}

#[test]
fn a_client_bound_to_another_certificate_is_refused() {
    let bound = |hash: &[u8]| Binding::EndPoint(hash.to_vec());
    assert_eq!(exchange(known("x"), password("x"), Some(b"ours"), bound(b"ours")), Ok(()));
    let other = exchange(known("x"), password("x"), Some(b"ours"), bound(b"theirs"));
    assert_eq!(other, Err(ScramError::WrongBinding));
    assert_eq!(exchange(known("x"), password("x"), None, bound(b"ours")), Err(ScramError::Mechanism));
}

#[test]
fn a_client_that_was_talked_out_of_binding_is_refused() {
    let answer = exchange(known("x"), password("x"), Some(b"ours"), Binding::NotOffered);
    assert_eq!(answer, Err(ScramError::Downgraded));
    assert_eq!(exchange(known("x"), password("x"), None, Binding::NotOffered), Ok(()));
    let plain = exchange(known("x"), password("x"), Some(b"ours"), Binding::Impossible);
    assert_eq!(plain, Ok(()), "a client without channel binding says so, and may");
}

#[test]
fn the_binding_chosen_follows_the_offer() {
    let offer = |names: &'static [&'static str]| names.iter().map(|name| name.as_bytes());
    let hash = || Some(vec![1]);
    let both = Client::choose(offer(&[SCRAM_SHA_256_PLUS, SCRAM_SHA_256]), hash());
    assert_eq!(both, Ok((SCRAM_SHA_256_PLUS, Binding::EndPoint(vec![1]))));
    assert_eq!(Client::choose(offer(&[SCRAM_SHA_256]), hash()), Ok((SCRAM_SHA_256, Binding::NotOffered)));
    assert_eq!(Client::choose(offer(&[SCRAM_SHA_256]), None), Ok((SCRAM_SHA_256, Binding::Impossible)));
    assert_eq!(Client::choose(offer(&["OAUTHBEARER"]), hash()), Err(ScramError::Mechanism));
}

#[test]
fn what_is_not_scram_is_refused() {
    let first = |message: &str| {
        let server = Server::new(known("x"), Some(b"ours".to_vec()));
        server.challenge(SCRAM_SHA_256, message.as_bytes(), &Nonce::of("n")).map(|_| ())
    };
    for message in [
        "",
        "n",
        "n,,",
        "n,a=root,n=,r=abc",
        "n,,m=x,n=,r=abc",
        "n,,n=",
        "n,,n=,r=",
        "n,,n=,r=\u{e9}",
        "p=tls-server-end-point,,n=,r=abc",
        "p=tls-unique,,n=,r=abc",
        "z,,n=,r=abc",
    ] {
        assert!(matches!(first(message), Err(ScramError::Malformed(_))), "{message:?}");
    }
    let last = |message: &str| {
        let server = Server::new(known("x"), None);
        server.challenge(SCRAM_SHA_256, b"n,,n=,r=abc", &Nonce::of("n")).unwrap().1.finish(message.as_bytes())
    };
    for message in
        ["", "c=biws,r=abcn", "c=biws,p=AAAA", "r=abcn,p=AAAA", "c=biws,r=abc,p=AAAA", "c=biws,r=abcn,p=AAAA"]
    {
        assert!(matches!(last(message), Err(ScramError::Malformed(_))), "{message:?}");
    }
    let challenge = |message: &str| {
        let (_, client) = Client::begin(password("x"), "", Binding::Impossible, Nonce::of("abc"));
        client.prove(message.as_bytes()).map(|_| ())
    };
    for message in ["", "r=abc,s=AAAA,i=4096", "r=xyzabc,s=AAAA,i=4096", "r=abcd,s=!,i=4096", "r=abcd,s=AAAA,i=many"] {
        assert!(matches!(challenge(message), Err(ScramError::Malformed(_))), "{message:?}");
    }
    assert_eq!(challenge("r=abcd,s=AAAA,i=4000000000"), Err(ScramError::Iterations(4_000_000_000)));
    assert_eq!(challenge("r=abcd,s=AAAA,i=0"), Err(ScramError::Iterations(0)));
}

#[test]
fn a_server_that_lacks_the_verifier_is_noticed() {
    let (first, client) = Client::begin(password("x"), "", Binding::Impossible, Nonce::random());
    let server = Server::new(known("x"), None);
    let (challenge, _) = server.challenge(SCRAM_SHA_256, first.as_bytes(), &Nonce::random()).unwrap();
    let (_, proved) = client.prove(challenge.as_bytes()).unwrap();
    let forged = format!("v={}", BASE64_STANDARD.encode([0; 32]));
    assert_eq!(proved.finish(forged.as_bytes()).map(|_| ()), Err(ScramError::WrongSignature));
}

#[test]
fn kept_keys_log_in_without_the_password() {
    let keys = Keys::derive("x", b"0123456789abcdef", 4096);
    let kept = |salt: &[u8], password: Option<&str>| Secret::Keys {
        salt: salt.to_vec(),
        iterations: 4096,
        keys: keys.clone(),
        password: password.map(str::to_owned),
    };
    assert_eq!(exchange(known("x"), kept(b"0123456789abcdef", None), None, Binding::Impossible), Ok(()));
    let stale = exchange(known("x"), kept(b"an older salt", None), None, Binding::Impossible);
    assert_eq!(stale, Err(ScramError::Refused));
    assert_eq!(exchange(known("x"), kept(b"an older salt", Some("x")), None, Binding::Impossible), Ok(()));
}

#[test]
fn verifiers_are_read_as_they_are_printed() {
    let text = verifier("pencil", b"0123456789abcdef", 4096);
    assert_eq!(text.parse::<Verifier>().unwrap().to_string(), text);
    let key = BASE64_STANDARD.encode([0; 32]);
    for wrong in [
        String::new(),
        "md5abc".to_owned(),
        format!("SCRAM-SHA-256$1:AAAA${key}:{key}"),
        format!("SCRAM-SHA-256$4096:${key}:{key}"),
        format!("SCRAM-SHA-256$4096:AAAA${key}"),
        format!("SCRAM-SHA-256$4096:AAAA${key}:AAAA"),
        format!("SCRAM-SHA-256$4096:AAAA${key}:{key}$"),
    ] {
        assert!(wrong.parse::<Verifier>().is_err(), "{wrong}");
    }
    assert!(!format!("{:?}", text.parse::<Verifier>().unwrap()).contains('='), "nothing secret is printed");
}
