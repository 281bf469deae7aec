//! The command line: `vigie inspect`, `campaign`, `judge`, `verify`, `export`, `timestamp`, `timeline`, `compare`,
//! `key`, `ledger`, `witness`, `policy`, `choices`, `gateway`, `access-report`, `demo`,
//! `doctor`.
//!
//! Standard output carries the answer, standard error everything else. Exit codes are those of CONTRACTS.md:
//! 0 answered and nothing to report, 1 answered with a finding, 2 could not answer.

mod arguments;
mod campaign;
mod choices;
mod demo;
mod doctor;
mod editions;
mod export;
mod fault;
mod gateway;
mod inspect;
mod judge;
mod keep;
mod ledger;
mod policy;
mod progress;
mod timeline;
mod timestamp;
mod verify;

use arguments::{Arguments, Command};
use clap::Parser;
use fault::Fault;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are answers; anything else could not be understood.
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let threads = match &arguments.command {
        // Before any thread is started: it bounds its own memory.
        Command::StatementReader => return gateway::read_statements(),
        Command::Gateway(_) => std::thread::available_parallelism().map_or(2, |n| n.get().max(2)),
        _ => 2,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let answer = match runtime {
        Ok(runtime) => {
            let answer = runtime.block_on(run(&arguments));
            // What was given up is dropped meanwhile, and with it the folders of spools; on a busy machine that takes a
            // while. A thread that waits for a browser that is gone must not keep us longer.
            runtime.shutdown_timeout(std::time::Duration::from_secs(3));
            answer
        }
        Err(error) => Err(Fault::Runtime { why: error.to_string() }),
    };
    match answer {
        Ok(code) => ExitCode::from(code),
        Err(fault) => {
            fault.print();
            ExitCode::from(2)
        }
    }
}

async fn run(arguments: &Arguments) -> Result<u8, Fault> {
    match &arguments.command {
        Command::Inspect(options) => inspect::run(options, &arguments.common).await,
        Command::Judge(options) => judge::run(options, &arguments.common),
        Command::Verify(options) => verify::run(options, &arguments.common),
        Command::Timestamp(options) => timestamp::run(options, &arguments.common),
        Command::Export(options) => export::run(options).await,
        Command::Timeline(options) => timeline::run(options, &arguments.common),
        Command::Compare(options) => timeline::compare(options, &arguments.common),
        Command::Key => verify::key(&arguments.common),
        Command::Campaign(options) => campaign::run(options, &arguments.common).await,
        Command::Ledger(options) => ledger::run(options, &arguments.common).await,
        Command::Witness(options) => ledger::witness(options, &arguments.common).await,
        Command::Policy(options) => policy::run(options, &arguments.common).await,
        Command::Choices(options) => choices::run(options, &arguments.common).await,
        Command::Gateway(options) => gateway::run(options, &arguments.common).await,
        Command::AccessReport(options) => gateway::access_report(options, &arguments.common).await,
        // Answered before there were threads.
        Command::StatementReader => Ok(2),
        Command::Demo(options) => demo::run(options, &arguments.common).await,
        Command::Doctor(options) => doctor::run(options, &arguments.common).await,
    }
}
