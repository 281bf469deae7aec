//! One Chromium, spoken to over the DevTools protocol: isolated profiles, recording, real input, snapshots.
//!
//! Nothing here judges: it carries out steps and writes down what happened. In reading order: [`launch`] starts the
//! browser and makes sure it ends; [`wire`] speaks the protocol over a pipe, so that no port is opened; [`visit`] is a
//! clean profile with one page, attached to every frame, worker and pop-up before it runs; [`mod@snapshot`] turns what
//! is on the screen into a [`vigie_domain::PageSnapshot`]; [`input`] clicks and types as a person does; [`quiet`]
//! waits until nothing is going on any more; [`spool`] keeps bodies on disk.
//!
//! The surprise: Chromium's own defaults hide part of what sites do. It blocks third-party cookies in every profile,
//! and it tells sites that it is headless. Both are switched off here, and both are stated in the evidence.

mod age;
pub mod error;
mod hooks;
pub mod input;
pub mod launch;
pub mod quiet;
mod recorder;
pub mod sample;
pub mod snapshot;
pub mod spool;
pub mod visit;
pub mod wire;

pub use error::BrowserError;
pub use launch::{Browser, LaunchOptions, find_chromium};
pub use quiet::{Patience, Quiet};
pub use spool::Spool;
pub use visit::{Visit, VisitOptions};
