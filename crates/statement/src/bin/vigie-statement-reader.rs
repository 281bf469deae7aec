//! A process that reads statements for a [`vigie_statement::worker::Pool`], and does nothing else.

use std::{io, process::ExitCode};

use vigie_statement::worker::Worker;

fn main() -> ExitCode {
    match Worker::serve(io::stdin(), io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        // The pool sees that it ended; there is nobody to tell why.
        Err(_) => ExitCode::from(2),
    }
}
