//! TLS to a server with a certificate of its own.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::{fs, os::unix::fs::PermissionsExt as _};
use vigie_database::{DatabaseError, TlsRoots, connect, parse_address};
use vigie_testkit::postgres::{PostgresServer, Settings};

#[tokio::test]
async fn a_server_is_known_by_its_authority_and_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, authority_key) = authority();
    let key = KeyPair::generate().unwrap();
    let params = authority_params();
    let issuer = Issuer::from_params(&params, &authority_key);
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let place = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let certificate = place("server.crt", &certificate.pem());
    let key = place("server.key", &key.serialize_pem());
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    if nix::unistd::Uid::effective().is_root() {
        let user = nix::unistd::User::from_name("postgres").unwrap().unwrap();
        nix::unistd::chown(&key, Some(user.uid), Some(user.gid)).unwrap();
    }
    let server = PostgresServer::start_with(&Settings {
        configuration: vec![
            "ssl = on".to_owned(),
            format!("ssl_cert_file = '{}'", certificate.display()),
            format!("ssl_key_file = '{}'", key.display()),
        ],
        access: vec![
            "hostssl all secured 127.0.0.1/32 scram-sha-256".to_owned(),
            "hostnossl all secured all reject".to_owned(),
        ],
        ..Settings::default()
    })
    .unwrap();
    server.run_sql("postgres", "CREATE ROLE secured LOGIN PASSWORD 'correct horse'");
    let address = |host: &str| {
        let text = format!(
            "host={host} hostaddr=127.0.0.1 port={} user=secured dbname=postgres channel_binding=require",
            server.port()
        );
        parse_address(&text, Some("correct horse")).unwrap()
    };
    let roots = TlsRoots::read(&place("authority.crt", &authority)).unwrap();
    let client = connect(&address("localhost"), &roots).await.unwrap_or_else(|error| panic!("{error:?}"));
    let sql = "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let row = client.query_one(sql, &[]).await.unwrap();
    assert_eq!((row.get::<_, bool>(0), row.get::<_, &str>(1)), (true, "TLSv1.3"));

    let other_name = connect(&address("db.platform.example"), &roots).await.unwrap_err();
    assert!(matches!(other_name, DatabaseError::Connect { .. }), "{other_name:?}");
    let (stranger, _) = self::authority();
    let strangers = TlsRoots::read(&place("stranger.crt", &stranger)).unwrap();
    let unknown = connect(&address("localhost"), &strangers).await.unwrap_err();
    assert!(matches!(unknown, DatabaseError::Connect { .. }), "{unknown:?}");
    let plain = connect(&address("db.platform.example"), &TlsRoots::default()).await.unwrap_err();
    assert!(matches!(plain, DatabaseError::Untrusted(_)), "{plain:?}");
    let empty = TlsRoots::read(&place("empty.crt", "")).unwrap_err();
    assert!(matches!(empty, DatabaseError::Roots { .. }), "{empty:?}");
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn authority() -> (String, KeyPair) {
    let key = KeyPair::generate().unwrap();
    (authority_params().self_signed(&key).unwrap().pem(), key)
}
