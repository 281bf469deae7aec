//! `vigie doctor`: what is missing on this machine, and how to get it.

use crate::{
    arguments::{Common, DoctorOptions},
    fault::Fault,
    keep,
};
use serde::Serialize;
use std::path::PathBuf;
use vigie_browser::{Browser, LaunchOptions, VisitOptions, find_chromium};

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    what: &'static str,
    good: bool,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

/// Looks at everything an inspection needs. Exit code 0 if all is there, 1 if something is missing.
pub async fn run(options: &DoctorOptions, common: &Common) -> Result<u8, Fault> {
    let mut checks = vec![chromium(options.chromium.clone())];
    if checks[0].good {
        checks.push(page(options.chromium.clone()).await);
    }
    checks.push(fonts());
    checks.push(home(common));
    let good = checks.iter().all(|check| check.good);
    if common.json {
        let document = serde_json::json!({"schema": "vigie-doctor/1", "good": good, "checks": checks});
        println!("{document}");
    } else {
        for check in &checks {
            println!("{} {}: {}", if check.good { "ok     " } else { "missing" }, check.what, check.found);
            if let Some(help) = &check.help {
                println!("        {help}");
            }
        }
    }
    Ok(u8::from(!good))
}

const GET_CHROMIUM: &str =
    "get it with `make setup`, or on Debian with `apt-get install chromium`; or name one with `--chromium PATH`";

fn chromium(named: Option<PathBuf>) -> Check {
    let what = "a Chromium";
    match named.clone().or_else(find_chromium) {
        Some(path) if path.is_file() => Check { what, good: true, found: path.display().to_string(), help: None },
        Some(path) => {
            let found = format!("there is none at `{}`", path.display());
            Check { what, good: false, found, help: Some(GET_CHROMIUM.to_owned()) }
        }
        None => {
            let found = "there is none on the search path".to_owned();
            Check { what, good: false, found, help: Some(GET_CHROMIUM.to_owned()) }
        }
    }
}

/// Starts the browser and opens a page: the only proof that it works here.
async fn page(program: Option<PathBuf>) -> Check {
    let what = "a page opens in it";
    let opened = async {
        let browser = Browser::launch(&LaunchOptions { program, ..LaunchOptions::default() }).await?;
        let visit = browser.open_visit(VisitOptions::default()).await?;
        let answer = visit.evaluate("navigator.webdriver === true ? 'detectable' : 'fine'").await?;
        let product = browser.version().product.clone();
        visit.close().await;
        browser.close().await;
        Ok::<_, vigie_browser::BrowserError>((product, answer))
    };
    match opened.await {
        Ok((product, answer)) if answer == "fine" => Check { what, good: true, found: product, help: None },
        Ok((product, _)) => Check {
            what,
            good: false,
            found: format!("{product} tells sites that it is automated"),
            help: Some("use Debian's own package".to_owned()),
        },
        Err(error) => Check {
            what,
            good: false,
            found: error.to_string(),
            help: Some("the package may be incomplete: `apt-get install --reinstall chromium`".to_owned()),
        },
    }
}

fn fonts() -> Check {
    let what = "fonts";
    let folders = ["/usr/share/fonts", "/usr/local/share/fonts"];
    let found =
        folders.iter().any(|folder| std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()));
    if found {
        Check { what, good: true, found: "installed".to_owned(), help: None }
    } else {
        let help = "without any, text has no size and banners look empty: `apt-get install fonts-liberation`";
        Check { what, good: false, found: "none are installed".to_owned(), help: Some(help.to_owned()) }
    }
}

fn home(common: &Common) -> Check {
    let what = "a place to keep evidence";
    match keep::home(common).and_then(|home| keep::prepare(&home).map(|()| home)) {
        Ok(home) => Check { what, good: true, found: home.display().to_string(), help: None },
        Err(fault) => {
            let help = miette::Diagnostic::help(&fault).map(|help| help.to_string());
            Check { what, good: false, found: fault.to_string(), help }
        }
    }
}
