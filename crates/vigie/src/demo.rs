//! `vigie demo`: the sample platform, served on this machine and inspected.

use crate::{
    arguments::{BuildArguments, Common, DemoOptions, InspectOptions},
    fault::Fault,
    inspect,
};
use vigie_testkit::SiteServer;

/// The sample platform's address; only browsers started with our arguments find it.
const ADDRESS: &str = vigie_testkit::demo::URL;

/// Serves the sample platform and inspects it, or only serves it.
pub async fn run(options: &DemoOptions, common: &Common) -> Result<u8, Fault> {
    let server = SiteServer::builder().demo().start().map_err(|error| Fault::Demo { why: error.to_string() })?;
    let mut visit = options.visit.clone();
    visit.chromium_arguments.extend(server.chromium_args());
    visit.ignore_certificate_errors = true;
    if options.serve {
        let arguments: Vec<String> = server.chromium_args().iter().map(|argument| format!("'{argument}'")).collect();
        println!("serving {ADDRESS} on {}; open it with", server.address());
        println!("  chromium --user-data-dir=$(mktemp -d) {} {ADDRESS}", arguments.join(" "));
        println!("and end with Ctrl-C");
        inspect::interrupted().await;
        return Ok(0);
    }
    if !common.quiet && !common.json {
        eprintln!("Inspecting the sample platform, a made-up site served on this machine at {ADDRESS}");
    }
    inspect::run(
        &InspectOptions {
            urls: vec![ADDRESS.to_owned()],
            jobs: 1,
            timestamp: Vec::new(),
            ledger: None,
            token_file: None,
            build: BuildArguments::default(),
            visit,
        },
        common,
    )
    .await
}
