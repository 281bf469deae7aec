//! Sites made of files: a folder on disk or files compiled in, with optional settings in `site.json`.
//!
//! A path that no file answers and that has no extension gets a small plain page with a link home, so that a visitor
//! who follows any link stays on the site.

use crate::{
    answer::{Answer, Request},
    server::StartError,
};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// One site: where its files are, and how it answers.
#[derive(Debug)]
pub(crate) struct Site {
    files: Files,
    settings: Settings,
}

#[derive(Debug)]
enum Files {
    Folder(PathBuf),
    Embedded(&'static [(&'static str, &'static [u8])]),
}

/// What `site.json` may say; other keys are for people and other programs.
#[derive(Debug, Default, Deserialize)]
struct SiteFile {
    #[serde(default)]
    server: Settings,
}

/// How a site answers beyond its files.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// `Set-Cookie` values that go with every page until the browser has the cookie.
    set_cookie: Vec<String>,
    /// Files for paths that have none of their own name.
    pages: BTreeMap<String, String>,
    /// Whether every other path without extension is `index.html`.
    fallback: bool,
    /// A back end that keeps the choice in a cookie which scripts cannot read.
    consent_api: Option<ConsentApi>,
}

/// `GET` tells the choice, `POST` keeps the body as the choice.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsentApi {
    path: String,
    cookie: String,
}

/// Files that belong to the fixture, not to the site.
const PRIVATE: [&str; 3] = ["site.json", "expected.json", "_hosts"];

/// Returns the sites of a folder by host.
pub(crate) fn read_folder(folder: &Path) -> Result<HashMap<String, Arc<Site>>, StartError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| StartError::Sites { path, source }
    };
    let mut sites = HashMap::new();
    for entry in fs::read_dir(folder).map_err(failed(folder))? {
        let path = entry.map_err(failed(folder))?.path();
        let Some(id) = path.file_name().and_then(|name| name.to_str()).map(str::to_owned) else { continue };
        if !path.join("index.html").is_file() {
            continue;
        }
        let site = Arc::new(Site { settings: read_settings(&path)?, files: Files::Folder(path.clone()) });
        sites.insert(format!("www.{id}.test"), Arc::clone(&site));
        sites.insert(format!("{id}.test"), site);
        let other_hosts = path.join("_hosts");
        if other_hosts.is_dir() {
            for entry in fs::read_dir(&other_hosts).map_err(failed(&other_hosts))? {
                let path = entry.map_err(failed(&other_hosts))?.path();
                let Some(host) = path.file_name().and_then(|name| name.to_str()).map(str::to_owned) else { continue };
                sites.insert(host, Arc::new(Site { settings: read_settings(&path)?, files: Files::Folder(path) }));
            }
        }
    }
    Ok(sites)
}

fn read_settings(folder: &Path) -> Result<Settings, StartError> {
    let path = folder.join("site.json");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Settings::default()),
        Err(source) => return Err(StartError::Sites { path, source }),
    };
    let file: SiteFile = serde_json::from_str(&text).map_err(|source| StartError::SiteFile { path, source })?;
    Ok(file.server)
}

impl Site {
    /// Returns a site of files compiled in.
    pub(crate) fn embedded(files: &'static [(&'static str, &'static [u8])]) -> Self {
        let settings = files
            .iter()
            .find(|(path, _)| *path == "site.json")
            .and_then(|(_, bytes)| serde_json::from_slice::<SiteFile>(bytes).ok())
            .map(|file| file.server)
            .unwrap_or_default();
        Self { files: Files::Embedded(files), settings }
    }

    /// Answers a request for this site's host.
    pub(crate) fn answer(&self, request: &Request) -> Answer {
        if let Some(api) = &self.settings.consent_api
            && api.path == request.path
        {
            return api.answer(request);
        }
        let path = decode(&request.path);
        if path == "/favicon.ico" {
            return Answer::new(204, "image/x-icon", "");
        }
        let Some((name, bytes)) = self.find(&path) else { return self.without_file(&path, request) };
        self.with_cookies(Answer::new(200, mime(&name), bytes), &name, request)
    }

    /// Tries the path itself, then with `index.html`, then with `.html`.
    fn find(&self, path: &str) -> Option<(String, Vec<u8>)> {
        let path = path.trim_start_matches('/');
        let candidates = match path.strip_suffix('/') {
            _ if path.is_empty() => vec!["index.html".to_owned()],
            Some(folder) => vec![format!("{folder}/index.html"), format!("{folder}.html")],
            None => vec![path.to_owned(), format!("{path}/index.html"), format!("{path}.html")],
        };
        candidates.into_iter().find_map(|name| self.read(&name).map(|bytes| (name, bytes)))
    }

    fn without_file(&self, path: &str, request: &Request) -> Answer {
        let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let fallback = (self.settings.fallback && !last.contains('.')).then_some("index.html");
        let page = self.settings.pages.get(path).map(String::as_str).or(fallback);
        if let Some(name) = page
            && let Some(bytes) = self.read(name)
        {
            return self.with_cookies(Answer::new(200, mime(name), bytes), name, request);
        }
        if last.contains('.') {
            return Answer::text(404, "no such file\n");
        }
        let title = escape(if last.is_empty() { "page" } else { last });
        let page = format!(
            "<!doctype html><html><head><meta charset=\"utf-8\"><title>{title}</title></head>\
             <body><h1>{title}</h1><p><a href=\"/\">Home</a></p></body></html>"
        );
        self.with_cookies(Answer::html(page), "page.html", request)
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        let mut parts = name.split('/');
        let first = parts.next().unwrap_or_default();
        if PRIVATE.contains(&first) || name.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return None;
        }
        match &self.files {
            Files::Folder(folder) => fs::read(folder.join(name)).ok(),
            Files::Embedded(files) => files.iter().find(|(path, _)| *path == name).map(|(_, bytes)| bytes.to_vec()),
        }
    }

    fn with_cookies(&self, mut answer: Answer, name: &str, request: &Request) -> Answer {
        if !is_page(name) {
            return answer;
        }
        for cookie in &self.settings.set_cookie {
            let key = cookie.split('=').next().unwrap_or_default();
            if request.cookie(key).is_none() {
                answer = answer.with_cookie(cookie);
            }
        }
        answer
    }
}

impl ConsentApi {
    fn answer(&self, request: &Request) -> Answer {
        if request.method != "POST" {
            let choice = request.cookie(&self.cookie).map(decode).unwrap_or_default();
            return Answer::json(serde_json::json!({ "choice": choice }).to_string());
        }
        let choice = String::from_utf8_lossy(&request.body).chars().take(2_000).collect::<String>();
        let cookie = format!("{}={}; Path=/; Max-Age=15552000; SameSite=Lax; HttpOnly", self.cookie, encode(&choice));
        Answer::json("{\"kept\":true}").with_cookie(cookie)
    }
}

fn mime(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html" | "htm") => "text/html; charset=utf-8",
        Some("js" | "mjs" | "cjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("gif") => "image/gif",
        Some("webp") => "image/webp",
        Some("woff2") => "font/woff2",
        Some("txt" | "md") => "text/plain; charset=utf-8",
        Some("pdf") => "application/pdf",
        _ => "application/octet-stream",
    }
}

fn is_page(name: &str) -> bool {
    mime(name).starts_with("text/html")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Decodes `%41`; a percent sign that starts no escape stays.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Encodes everything that a cookie value may not hold.
fn encode(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}
