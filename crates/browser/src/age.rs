//! A profile made older, as if the visitor came back after days or months.
//!
//! The jar is aged and the page's clock moved on; the network's clock stays, so a server that keeps the time of a
//! choice itself still sees today. That is stated wherever a finding rests on it.

use crate::{
    BrowserError, Visit,
    recorder::{list, text},
};
use serde_json::{Value, json};
use std::time::Duration;
use vigie_domain::record::EventKind;

/// Moves on what a page reads of the time, by as many milliseconds as stand for `SHIFT`. Several add up.
const CLOCK: &str = r"(() => {
  const Was = Date, shift = SHIFT;
  const Now = new Proxy(Was, {
    construct: (target, given, newTarget) =>
      Reflect.construct(target, given.length ? given : [Was.now() + shift], newTarget === Now ? target : newTarget),
    apply: () => new Was(Was.now() + shift).toString(),
    get: (target, key) => key === 'now' ? () => Was.now() + shift : Reflect.get(target, key),
  });
  Was.prototype.constructor = Now;
  globalThis.Date = Now;
})()";

impl Visit {
    /// Makes the profile older by `by`: cookies live that much shorter and are gone where that is less than nothing,
    /// those of the session and the session storage of the page are gone, and pages loaded from now on read a clock
    /// that is that much further.
    ///
    /// # Errors
    ///
    /// If the browser or the page is gone.
    pub async fn age(&self, by: Duration) -> Result<(), BrowserError> {
        self.evaluate("try { sessionStorage.clear() } catch {}").await?;
        let context = json!({"browserContextId": self.context()});
        let jar = self.wire.call("", "Storage.getCookies", context.clone()).await?;
        let now = self.started_at().as_second() as f64 + self.now_ms() as f64 / 1000.0;
        let aged: Vec<Value> = list(&jar["cookies"]).iter().filter_map(|cookie| older(cookie, by, now)).collect();
        self.wire.call("", "Storage.clearCookies", context).await?;
        let restored = json!({"cookies": aged, "browserContextId": self.context()});
        self.wire.call("", "Storage.setCookies", restored).await?;
        let script = CLOCK.replace("SHIFT", &by.as_millis().to_string());
        self.wire.call(&self.main(), "Page.addScriptToEvaluateOnNewDocument", json!({"source": script})).await?;
        self.note(EventKind::Step { what: format!("the profile is made {} days older", by.as_secs() / 86_400) });
        Ok(())
    }
}

/// Returns a cookie as it is to be set again; `None` if it is no more by then.
fn older(cookie: &Value, by: Duration, now: f64) -> Option<Value> {
    let expires = cookie["expires"].as_f64().filter(|expires| *expires > 0.0)? - by.as_secs_f64();
    if expires <= now {
        return None;
    }
    let mut again = json!({"name": cookie["name"], "value": cookie["value"], "path": cookie["path"],
        "secure": cookie["secure"], "httpOnly": cookie["httpOnly"], "expires": expires});
    for key in ["sameSite", "priority", "sourceScheme", "sourcePort", "partitionKey"] {
        if !cookie[key].is_null() {
            again[key] = cookie[key].clone();
        }
    }
    let domain = text(&cookie["domain"]);
    if domain.starts_with('.') {
        again["domain"] = json!(domain);
    } else {
        // Named by its address, it stays that very host's; with a domain it would become its subdomains' too.
        let scheme = if cookie["secure"] == true { "https" } else { "http" };
        again["url"] = json!(format!("{scheme}://{domain}{}", text(&cookie["path"])));
    }
    Some(again)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_that_would_be_gone_by_then_is_gone() {
        let cookie = |expires: f64, domain: &str| json!({"name": "c", "value": "1", "path": "/", "domain": domain, "secure": true, "expires": expires});
        let day = Duration::from_hours(24);
        assert_eq!(older(&cookie(1_000_000.0, "a.test"), day, 950_000.0), None);
        assert_eq!(older(&cookie(-1.0, "a.test"), day, 0.0), None, "one of the session");
        let kept = older(&cookie(1_000_000.0, ".a.test"), day, 0.0).expect("is kept");
        assert_eq!((&kept["expires"], &kept["domain"]), (&json!(913_600.0), &json!(".a.test")));
        let own = older(&cookie(1_000_000.0, "a.test"), day, 0.0).expect("is kept");
        assert_eq!((&own["url"], own["domain"].is_null()), (&json!("https://a.test/"), true));
    }
}
