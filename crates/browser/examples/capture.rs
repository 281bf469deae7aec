//! Writes what a person sees of an address, as a page snapshot in JSON, on standard output.
//!
//! `cargo run -p vigie-browser --example capture -- URL [--chromium-arg=ARG]…`

use std::time::Duration;
use vigie_browser::{Browser, LaunchOptions, VisitOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (arguments, addresses): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|arg| arg.starts_with("--"));
    let arguments = arguments.iter().filter_map(|arg| arg.strip_prefix("--chromium-arg=")).map(str::to_owned).collect();
    let options = LaunchOptions { arguments, ignore_certificate_errors: true, ..LaunchOptions::default() };
    let url = addresses.first().ok_or("name the address to capture")?;
    let browser = Browser::launch(&options).await?;
    let visit = browser.open_visit(VisitOptions::default()).await?;
    let opened = visit.goto(url, Duration::from_secs(20)).await?;
    let quiet = visit.wait_quiet(Duration::from_millis(400), Duration::from_secs(12)).await?;
    let mut seen = visit.snapshot().await?;
    let clickable: Vec<_> = seen
        .page
        .ids()
        .filter(|&id| {
            seen.page.node(id).layout.is_some() && {
                let node = seen.page.node(id);
                node.clickable || ["a", "button", "input", "label", "span"].contains(&&*node.name)
            }
        })
        .collect();
    visit.hit_test(&mut seen, &clickable).await?;
    eprintln!("{opened:?} {quiet:?} {} nodes", seen.page.nodes.len());
    println!("{}", serde_json::to_string(&seen.page)?);
    let sample = visit.sample("before").await?;
    eprintln!("cookies {:?}", sample.cookies.iter().map(|c| format!("{} ({})", c.name, c.domain)).collect::<Vec<_>>());
    eprintln!("storage {:?}", sample.storage);
    let (events, gaps) = visit.close().await;
    eprintln!("{} events, gaps {gaps:?}", events.len());
    if std::env::var_os("VIGIE_EVENTS").is_some() {
        for event in events {
            eprintln!("{}", serde_json::to_string(&event)?);
        }
    }
    browser.close().await;
    Ok(())
}
