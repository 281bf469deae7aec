//! Observes a site and prints the evidence as JSON, without judging it.

use std::{sync::Arc, time::Duration};
use vigie_browser::{Browser, LaunchOptions, Patience, VisitOptions};
use vigie_domain::Scenario;
use vigie_inspection::inspect::{Plan, inspect, plan::Silent};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (arguments, addresses): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|arg| arg.starts_with("--"));
    let arguments = arguments.iter().filter_map(|arg| arg.strip_prefix("--chromium-arg=")).map(str::to_owned).collect();
    let options = LaunchOptions { arguments, ignore_certificate_errors: true, ..LaunchOptions::default() };
    let url = addresses.first().ok_or("name the address")?.parse()?;
    let browser = Arc::new(Browser::launch(&options).await?);
    let plan = Plan {
        url,
        scenarios: Scenario::BY_DEFAULT.to_vec(),
        visit: VisitOptions::default(),
        patience: Patience::Standard,
        timeout: Duration::from_mins(1),
        visits_at_once: 3,
        browser_arguments: Vec::new(),
        certificates_ignored: true,
        observed_by: "automatic".to_owned(),
        pictures: true,
        spool: None,
    };
    let observed = inspect(Arc::clone(&browser), plan, Arc::new(Silent)).await?;
    println!("{}", serde_json::to_string(&observed.evidence)?);
    if let Some(browser) = Arc::into_inner(browser) {
        browser.close().await;
    }
    Ok(())
}
