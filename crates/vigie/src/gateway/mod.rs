//! `vigie gateway` and `vigie access-report`: setting a gateway up, running it, and asking it afterwards.
//!
//! Only `init` and `seal-key` write files, `erase` and `answer` change the vault and the ledger, `ticket` and `seal` the
//! database.

pub mod arguments;
mod asking;
pub mod private;
mod sealing;
mod serving;
mod setting_up;
mod tickets;

pub use asking::access_report;
pub use private::file as write_private;

use crate::{arguments::Common, fault::Fault};
use arguments::{ConfigOptions, GatewayCommand, GatewayOptions};
use std::{io, process::ExitCode};
use vigie_gateway::{GatewayError, config::Config};
use vigie_statement::worker::Worker;

/// Returns what is told of an error of a gateway.
pub fn fault(error: &GatewayError) -> Fault {
    Fault::Gateway { why: vigie_gateway::in_full(error), help: error.help() }
}

fn config_of(options: &ConfigOptions) -> Result<Config, Fault> {
    Config::read(&options.config).map_err(|error| Fault::Gateway {
        why: vigie_gateway::in_full(&error),
        help: Some("write one to begin with by `vigie gateway init`; docs/gateway.md explains each line".to_owned()),
    })
}

/// Carries out `vigie gateway …`.
pub async fn run(options: &GatewayOptions, common: &Common) -> Result<u8, Fault> {
    let command = match (&options.command, &options.config) {
        (Some(command), _) => command,
        (None, Some(config)) => return serving::serve(&ConfigOptions { config: config.clone() }, common).await,
        (None, None) => {
            return Err(Fault::Gateway {
                why: "what is to be done with the gateway was not said".to_owned(),
                help: Some("run it with `vigie gateway --config FILE`, or see `vigie gateway --help`".to_owned()),
            });
        }
    };
    match command {
        GatewayCommand::Init(options) => setting_up::init(options, common),
        GatewayCommand::Check(options) => setting_up::check(options, common).await,
        GatewayCommand::Serve(options) => serving::serve(options, common).await,
        GatewayCommand::Verifier => setting_up::verifier(common),
        GatewayCommand::Explain(options) => asking::explain(options, common).await,
        GatewayCommand::Erase(options) => asking::erase(options, common).await,
        GatewayCommand::Answer(options) => asking::answer(options, common),
        GatewayCommand::SealKey(options) => sealing::new_key(options, common),
        GatewayCommand::Seal(options) => sealing::seal(options, common).await,
        GatewayCommand::Ticket(options) => tickets::run(options, common).await,
    }
}

/// Reads statements for a gateway until it ends; nothing else runs in this process.
pub fn read_statements() -> ExitCode {
    match Worker::serve(io::stdin(), io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        // The gateway sees that it ended; there is nobody to tell why.
        Err(_) => ExitCode::from(2),
    }
}
