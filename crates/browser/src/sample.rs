//! The state of a profile: its cookie jar and everything in its storages.

use crate::{
    BrowserError, Visit,
    recorder::{cut, list, text},
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};
use vigie_domain::record::{EventKind, JarCookie, Sample, StorageItem, StorageKind};

/// How long one storage may take to answer.
const STORAGE_TIMEOUT: Duration = Duration::from_secs(2);

/// Reads the consent signals that a page gives to its tags, without changing any.
const SIGNALS: &str = r"new Promise(done => {
  const out = [];
  try {
    for (const entry of globalThis.dataLayer || []) {
      if (entry && entry[0] === 'consent' && (entry[1] === 'default' || entry[1] === 'update'))
        out.push(['gtag-' + entry[1], JSON.stringify(entry[2])]);
      if (out.length > 50) break;
    }
  } catch {}
  const finish = () => done(out);
  setTimeout(finish, 400);
  let waiting = 0;
  const one = () => { if (--waiting <= 0) finish(); };
  try {
    if (typeof globalThis.__tcfapi === 'function') {
      waiting++;
      globalThis.__tcfapi('addEventListener', 2, (data, ok) => {
        if (ok && data) {
          if (data.tcString) out.push(['tcf', String(data.tcString)]);
          if (data.listenerId) try { globalThis.__tcfapi('removeEventListener', 2, () => {}, data.listenerId); } catch {}
        }
        one();
      });
    }
  } catch { one(); }
  try {
    if (typeof globalThis.__gpp === 'function') {
      waiting++;
      globalThis.__gpp('ping', data => { if (data && data.gppString) out.push(['gpp', String(data.gppString)]); one(); });
    }
  } catch { one(); }
  if (!waiting) finish();
})";

impl Visit {
    /// Samples the profile: all its cookies, and all storage of the origins seen so far. The page's consent signals
    /// are written into the stream.
    ///
    /// # Errors
    ///
    /// If the browser is gone. A storage that does not answer is a gap, not an error.
    pub async fn sample(&self, moment: &str) -> Result<Sample, BrowserError> {
        self.read_signals().await;
        let params = json!({"browserContextId": self.context()});
        let jar = self.wire.call("", "Storage.getCookies", params).await?;
        let mut cookies: Vec<JarCookie> = list(&jar["cookies"]).iter().map(jar_cookie).collect();
        cookies.sort_by(|a, b| (&a.domain, &a.name, &a.path).cmp(&(&b.domain, &b.name, &b.path)));
        let origins: BTreeSet<_> = self.lock().origins.clone();
        let mut storage = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for (origin, session) in origins {
            if seen.insert(origin.clone()) {
                self.read_origin(&session, &origin, &mut storage).await;
            }
        }
        let (at_ms, events) = {
            let state = self.lock();
            (state.now_ms(), state.events.len() as u64)
        };
        Ok(Sample { moment: moment.to_owned(), at_ms, events, cookies, storage: storage.into_iter().collect() })
    }

    async fn read_signals(&self) {
        let Ok(answer) = self.evaluate(SIGNALS).await else { return };
        for signal in list(&answer) {
            let (kind, value) = (text(&signal[0]).to_owned(), cut(text(&signal[1]), 16_384));
            self.note(EventKind::ConsentSignal { kind, value });
        }
    }

    async fn read_origin(&self, session: &str, origin: &str, storage: &mut BTreeSet<StorageItem>) {
        let key = format!("{origin}/");
        let call =
            |method: &'static str, params: Value| self.wire.call_within(session, method, params, STORAGE_TIMEOUT);
        let items = |local: bool| json!({"storageId": {"storageKey": key, "isLocalStorage": local}});
        let (local, volatile, databases, caches) = tokio::join!(
            call("DOMStorage.getDOMStorageItems", items(true)),
            call("DOMStorage.getDOMStorageItems", items(false)),
            call("IndexedDB.requestDatabaseNames", json!({"storageKey": key})),
            call("CacheStorage.requestCacheNames", json!({"storageKey": key})),
        );
        let mut keep = |kind: StorageKind, key: &str, value: &str| {
            storage.insert(StorageItem {
                kind,
                origin: origin.to_owned(),
                key: key.to_owned(),
                value: cut(value, 4096),
            });
        };
        for (kind, answer) in [(StorageKind::Local, &local), (StorageKind::Session, &volatile)] {
            if let Ok(answer) = answer {
                list(&answer["entries"]).iter().for_each(|entry| keep(kind, text(&entry[0]), text(&entry[1])));
            }
        }
        if let Ok(answer) = &databases {
            list(&answer["databaseNames"]).iter().for_each(|name| keep(StorageKind::IndexedDb, text(name), ""));
        }
        if let Ok(answer) = &caches {
            list(&answer["caches"]).iter().for_each(|cache| keep(StorageKind::CacheApi, text(&cache["cacheName"]), ""));
        }
        if local.is_err() {
            self.gap(format!("the storage of {origin} could not be read"));
        }
    }
}

fn jar_cookie(cookie: &Value) -> JarCookie {
    let domain = text(&cookie["domain"]);
    JarCookie {
        name: text(&cookie["name"]).to_owned(),
        value: cut(text(&cookie["value"]), 4096),
        domain: domain.trim_start_matches('.').to_owned(),
        host_only: !domain.starts_with('.'),
        path: text(&cookie["path"]).to_owned(),
        expires_s: cookie["expires"].as_f64().filter(|at| *at > 0.0),
        http_only: cookie["httpOnly"] == true,
        secure: cookie["secure"] == true,
        same_site: cookie["sameSite"].as_str().map(str::to_owned),
        partition: cookie["partitionKey"]["topLevelSite"].as_str().map(str::to_owned),
    }
}
