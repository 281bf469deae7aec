//! tokio-postgres, over TLS by rustls with SCRAM bound to the channel: pipelining, portals with row limits, COPY, cancel.

use super::{Endpoint, Outcome, Seen};
use futures_util::TryStreamExt as _;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::{
    fs,
    future::{Future, poll_fn},
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::{
    AsyncMessage, Client, Config, Error, SimpleQueryMessage,
    config::{ChannelBinding as Binding, SslMode},
    tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream},
};
use tokio_rustls::TlsConnector;

const HEAVY: &str = "SELECT a.code FROM countries a, countries b, countries c, countries d, countries e, countries f, countries g \
    WHERE length(a.name) + length(b.name) + length(c.name) + length(d.name) + length(e.name) + length(f.name) \
    + length(g.name) = 0";

/// Runs the steps.
pub(super) fn run(endpoint: &Endpoint) -> Vec<Outcome> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let tls = Tls::trusting(&fs::read_to_string(&endpoint.authority).unwrap());
        let mut outcomes = Vec::new();
        let mut add = |step: &str, seen: Result<Value, Error>| {
            let seen = seen.map_or_else(|error| Seen::Error(state(&error)), Seen::Value);
            outcomes.push(Outcome { client: "tokio-postgres", step: step.to_owned(), seen });
        };
        let (mut client, notices) = match connect(endpoint, tls.clone()).await {
            Ok(connected) => connected,
            Err(error) => {
                add("connect", Err(error));
                return outcomes;
            }
        };
        add("connect", Ok(json!({ "tls": true, "channel binding": "required" })));
        add("purpose", purpose(&client, &endpoint.purpose).await);
        add("public rows", public_rows(&client).await);
        add("one person", one_person(&client).await);
        add("parameters", parameters(&client).await);
        add("prepared and used again", prepared(&client).await);
        add("rows in parts", parts(&mut client).await);
        add("pipeline", pipeline(&client).await);
        add("copy", copy(&client, "COPY (SELECT id, country FROM users WHERE id <= 100) TO STDOUT").await);
        add(
            "copy of public rows",
            copy(&client, "COPY (SELECT code, name FROM countries) TO STDOUT (FORMAT binary)").await,
        );
        add("rollback", rollback(&mut client).await);
        add("an error and on", error_and_on(&client).await);
        add("an error in a transaction", error_in_transaction(&client).await);
        add("savepoint", savepoint(&mut client).await);
        add("cancel", cancel(&client, tls).await);
        add("many rows", many_rows(&client).await);
        add("nulls", nulls(&client).await);
        add("arrays", arrays(&client).await);
        add("two statements at once", two_statements(&client).await);
        add("notice", notice(&client, &notices).await);
        add("set and show", set_and_show(&client).await);
        add("a write", client.execute("UPDATE users SET display_name = 'x' WHERE id = 2", &[]).await.map(Value::from));
        outcomes
    })
}

fn state(error: &Error) -> String {
    error.code().map_or_else(|| error.to_string(), |state| state.code().to_owned())
}

type Notices = Arc<Mutex<Vec<String>>>;

async fn connect(endpoint: &Endpoint, tls: Tls) -> Result<(Client, Notices), Error> {
    let mut config = Config::new();
    config.host(&endpoint.host).port(endpoint.port).user(&endpoint.user).password(&endpoint.password);
    config.dbname(&endpoint.database).ssl_mode(SslMode::Require).channel_binding(Binding::Require);
    config.options(format!("-c vigie.purpose={}", endpoint.purpose)).connect_timeout(Duration::from_secs(60));
    let (client, mut connection) = config.connect(tls).await?;
    let notices = Notices::default();
    let heard = Arc::clone(&notices);
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notice(notice) = message {
                heard.lock().unwrap().push(notice.code().code().to_owned());
            }
        }
    });
    Ok((client, notices))
}

async fn purpose(client: &Client, wanted: &str) -> Result<Value, Error> {
    let row = client.query_one("SHOW vigie.purpose", &[]).await?;
    Ok(json!(row.get::<_, &str>(0) == wanted))
}

async fn public_rows(client: &Client) -> Result<Value, Error> {
    let rows = client.query("SELECT code, name FROM countries WHERE code = 'FR'", &[]).await?;
    Ok(rows.iter().map(|row| json!([row.get::<_, &str>(0), row.get::<_, &str>(1)])).collect())
}

async fn one_person(client: &Client) -> Result<Value, Error> {
    let rows = client.query("SELECT id, country, birth_year, created_at FROM users WHERE id = 2", &[]).await?;
    let person = |row: &tokio_postgres::Row| {
        let since = row.get::<_, SystemTime>(3).duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        json!([row.get::<_, i64>(0), row.get::<_, &str>(1), row.get::<_, Option<i32>>(2), since])
    };
    Ok(rows.iter().map(person).collect())
}

async fn parameters(client: &Client) -> Result<Value, Error> {
    let sql = "SELECT $1::bigint, $2::text, $3::bool, $4::float8, $5::bigint[], $6::text";
    let none: Option<&str> = None;
    let row = client.query_one(sql, &[&(1i64 << 40), &"žluťoučký 👏", &true, &1.5f64, &vec![1i64, 3], &none]).await?;
    Ok(json!([
        row.get::<_, i64>(0),
        row.get::<_, &str>(1),
        row.get::<_, bool>(2),
        row.get::<_, f64>(3),
        row.get::<_, Vec<i64>>(4),
        row.get::<_, Option<&str>>(5)
    ]))
}

async fn prepared(client: &Client) -> Result<Value, Error> {
    let statement = client.prepare("SELECT id, country FROM users WHERE id = $1").await?;
    let mut found = vec![json!(statement.columns().iter().map(tokio_postgres::Column::name).collect::<Vec<_>>())];
    for _ in 0..3 {
        let rows = client.query(&statement, &[&2i64]).await?;
        found.extend(rows.iter().map(|row| json!([row.get::<_, i64>(0), row.get::<_, &str>(1)])));
    }
    Ok(Value::Array(found))
}

async fn parts(client: &mut Client) -> Result<Value, Error> {
    let transaction = client.transaction().await?;
    let portal = transaction.bind("SELECT id, country FROM users WHERE id <= $1 ORDER BY id", &[&1000i64]).await?;
    let (mut ids, mut n_parts) = (Vec::new(), 0);
    loop {
        let rows = transaction.query_portal(&portal, 300).await?;
        n_parts += 1;
        ids.extend(rows.iter().map(|row| row.get::<_, i64>(0)));
        if rows.len() < 300 {
            break;
        }
    }
    transaction.commit().await?;
    Ok(json!({ "rows": ids.len(), "ordered": ids.is_sorted(), "parts": n_parts }))
}

async fn pipeline(client: &Client) -> Result<Value, Error> {
    // Sent one after the other without waiting: one refused in between hurts none of the others.
    let (first, refused, person, last) = tokio::join!(
        client.query("SELECT code FROM countries WHERE code = 'AT'", &[]),
        client.query("SELECT nothing FROM countries", &[]),
        client.query("SELECT id, country FROM users WHERE id = $1", &[&2i64]),
        client.query("SELECT code FROM countries WHERE code = 'CY'", &[]),
    );
    let refused = refused.map_or_else(|error| state(&error), |_| "none".to_owned());
    let (first, last) = (first?[0].get::<_, String>(0), last?[0].get::<_, String>(0));
    Ok(json!([first, refused, person?.iter().map(|row| row.get::<_, i64>(0)).collect::<Vec<_>>(), last]))
}

async fn copy(client: &Client, sql: &str) -> Result<Value, Error> {
    let mut parts = std::pin::pin!(client.copy_out(sql).await?);
    let (mut n_parts, mut n_bytes) = (0, 0);
    while let Some(part) = parts.try_next().await? {
        n_parts += 1;
        n_bytes += part.len();
    }
    Ok(json!({ "parts": n_parts, "bytes": n_bytes }))
}

async fn rollback(client: &mut Client) -> Result<Value, Error> {
    let transaction = client.transaction().await?;
    transaction.query("SELECT id, country FROM users WHERE id = 2", &[]).await?;
    transaction.rollback().await?;
    one(client).await
}

async fn one(client: &Client) -> Result<Value, Error> {
    Ok(json!(client.query_one("SELECT 1", &[]).await?.get::<_, i32>(0)))
}

async fn error_and_on(client: &Client) -> Result<Value, Error> {
    let error = client.query("SELECT nothing FROM countries", &[]).await.err();
    Ok(json!([error.as_ref().map(state), one(client).await?]))
}

async fn error_in_transaction(client: &Client) -> Result<Value, Error> {
    client.batch_execute("BEGIN").await?;
    let first = client.batch_execute("SELECT nothing FROM countries").await.err();
    let second = client.batch_execute("SELECT 1").await.err();
    client.batch_execute("ROLLBACK").await?;
    Ok(json!([first.as_ref().map(state), second.as_ref().map(state), one(client).await?]))
}

async fn savepoint(client: &mut Client) -> Result<Value, Error> {
    let mut transaction = client.transaction().await?;
    let inner = transaction.savepoint("a").await?;
    let error = inner.query("SELECT nothing FROM countries", &[]).await.err();
    inner.rollback().await?;
    let row = transaction.query_one("SELECT code FROM countries WHERE code = 'FR'", &[]).await?;
    transaction.commit().await?;
    Ok(json!([error.as_ref().map(state), row.get::<_, &str>(0)]))
}

async fn cancel(client: &Client, tls: Tls) -> Result<Value, Error> {
    let token = client.cancel_token();
    let running = client.query(HEAVY, &[]);
    let mut running = std::pin::pin!(running);
    // Repeated: a cancel that comes before its query is lost.
    let ended = loop {
        match tokio::time::timeout(Duration::from_millis(100), &mut running).await {
            Ok(ended) => break ended,
            Err(_) => token.cancel_query(tls.clone()).await?,
        }
    };
    // tokio-postgres does not wait until a cancel has arrived, so the last one may still end what comes next.
    let next = match one(client).await {
        Err(error) if state(&error) == "57014" => one(client).await?,
        next => next?,
    };
    Ok(json!([ended.err().as_ref().map(state), next]))
}

async fn many_rows(client: &Client) -> Result<Value, Error> {
    let rows = client.query("SELECT id, subject, kind, ts FROM events ORDER BY id LIMIT 20000", &[]).await?;
    Ok(json!({ "rows": rows.len(), "columns": rows.first().map(tokio_postgres::Row::len) }))
}

async fn nulls(client: &Client) -> Result<Value, Error> {
    let sql = "SELECT id, subject, amount_minor FROM events WHERE subject = 2 ORDER BY id LIMIT 2";
    let rows = client.query(sql, &[]).await?;
    Ok(rows.iter().map(|row| json!([row.get::<_, i64>(1), row.get::<_, Option<i64>>(2)])).collect())
}

async fn arrays(client: &Client) -> Result<Value, Error> {
    let sql = "SELECT code FROM countries WHERE code = ANY($1) ORDER BY code";
    let rows = client.query(sql, &[&vec!["SE", "DK"]]).await?;
    Ok(rows.iter().map(|row| json!(row.get::<_, &str>(0))).collect())
}

async fn two_statements(client: &Client) -> Result<Value, Error> {
    let sql = "SELECT code FROM countries WHERE code = 'AT'; SELECT code FROM countries WHERE code = 'BE'";
    let messages = client.simple_query(sql).await?;
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(json!(row.get(0))),
        _ => None,
    });
    Ok(rows.collect())
}

async fn notice(client: &Client, notices: &Notices) -> Result<Value, Error> {
    notices.lock().unwrap().clear();
    client.batch_execute("ROLLBACK").await?;
    // The answer to the next statement comes after the notice.
    one(client).await?;
    Ok(json!(*notices.lock().unwrap()))
}

async fn set_and_show(client: &Client) -> Result<Value, Error> {
    client.batch_execute("SET statement_timeout = '30s'").await?;
    Ok(json!(client.query_one("SHOW statement_timeout", &[]).await?.get::<_, &str>(0)))
}

/// TLS by rustls for tokio-postgres.
#[derive(Clone)]
pub(crate) struct Tls(Arc<ClientConfig>);

impl Tls {
    /// Trusts what the authority of this certificate (PEM) signed.
    pub(crate) fn trusting(authority: &str) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        Self(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for Tls {
    type Stream = Encrypted<S>;
    type TlsConnect = Connect;
    type Error = io::Error;

    fn make_tls_connect(&mut self, domain: &str) -> io::Result<Connect> {
        let name = ServerName::try_from(domain.to_owned()).map_err(io::Error::other)?;
        Ok(Connect { tls: TlsConnector::from(Arc::clone(&self.0)), name })
    }
}

/// A handshake to be made.
pub(crate) struct Connect {
    tls: TlsConnector,
    name: ServerName<'static>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for Connect {
    type Stream = Encrypted<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move { self.tls.connect(self.name, stream).await.map(Encrypted) })
    }
}

/// An encrypted stream.
pub(crate) struct Encrypted<S>(tokio_rustls::client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Encrypted<S> {
    fn channel_binding(&self) -> ChannelBinding {
        // RFC 5929, 4.1: the hash of the certificate's signature, which the test authority's ECDSA makes SHA-256.
        let certificates = self.0.get_ref().1.peer_certificates();
        certificates.and_then(<[_]>::first).map_or_else(ChannelBinding::none, |certificate| {
            ChannelBinding::tls_server_end_point(Sha256::digest(certificate).to_vec())
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Encrypted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Encrypted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
