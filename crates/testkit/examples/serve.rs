//! Serves folders of sites until interrupted: `cargo run -p vigie-testkit --example serve -- fixtures/sites`.
//!
//! Prints the browser arguments, one to a line, to be pasted behind `chromium`.

use vigie_testkit::SiteServer;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut builder = vigie_testkit::hostile::add_to(SiteServer::builder().demo());
    for argument in std::env::args().skip(1) {
        builder = match argument.strip_prefix("--port=") {
            Some(port) => builder.port(port.parse()?),
            None => builder.folder_of_sites(argument),
        };
    }
    let server = builder.start()?;
    for argument in server.chromium_args() {
        println!("{argument:?}");
    }
    loop {
        std::thread::park();
    }
}
