//! A client of few words: one request, both protocols, the answer as bytes.

use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use vigie_testkit::SiteServer;

/// An answer, split at the empty line.
#[derive(Debug)]
pub struct Reply {
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Asks for `http://HOST/PATH` or `https://HOST/PATH` and reads until the server closes, at most for two seconds.
pub async fn get(server: &SiteServer, url: &str) -> Outcome<Reply> {
    ask(server, "GET", url, "", "").await
}

/// Asks with a method, one more header line and a body.
pub async fn ask(server: &SiteServer, method: &str, url: &str, header: &str, body: &str) -> Outcome<Reply> {
    let (scheme, rest) = url.split_once("://").ok_or("an address has a scheme")?;
    let (host, path) = rest.split_once('/').ok_or("an address has a path")?;
    let length = body.len();
    let head =
        format!("{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n");
    let request = format!("{head}{header}\r\n{body}");
    let stream = TcpStream::connect(server.address()).await?;
    if scheme == "http" {
        return exchange(stream, &request).await;
    }
    let name = rustls::pki_types::ServerName::try_from(host.to_owned())?;
    exchange(connector(server)?.connect(name, stream).await?, &request).await
}

/// Opens a bare connection.
pub async fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    TcpStream::connect(address).await
}

fn connector(server: &SiteServer) -> Outcome<tokio_rustls::TlsConnector> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(server.certificate_der().to_vec().into())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let settings = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(settings).into())
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, request: &str) -> Outcome<Reply> {
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    // Endless answers are cut here; what a broken connection says at its end is no concern of these tests.
    let _ = tokio::time::timeout(Duration::from_secs(2), async {
        let mut chunk = vec![0; 65_536];
        while let Ok(n) = stream.read(&mut chunk).await {
            if n == 0 || bytes.len() > 4 << 20 {
                break;
            }
            bytes.extend_from_slice(&chunk[..n]);
        }
    })
    .await;
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(bytes.len());
    let body = bytes.get(end + 4..).unwrap_or_default().to_vec();
    Ok(Reply { head: String::from_utf8_lossy(&bytes[..end]).into_owned(), body })
}

/// A result whose error is any error.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
