//! `vigie ledger`: making, writing, serving, reading and checking ledgers.
//!
//! Each command says what it does to the world: only `init`, `add`, `serve` and `mirror` write anything.

pub mod arguments;
mod open;
mod reading;
mod receipt;
mod serving;
mod writing;

pub use arguments::TrustArguments;
pub use open::{in_words, open, policy_of, random, token_of};
pub use receipt::{PrintedReceipt, capture_in_words, is_receipt, verify_receipt};
pub use serving::witness;
pub use writing::{Capture, LedgerTarget, beside_of};

use crate::{arguments::Common, fault::Fault};
use arguments::{LedgerCommand, LedgerOptions};

/// Carries out `vigie ledger …`.
pub async fn run(options: &LedgerOptions, common: &Common) -> Result<u8, Fault> {
    match &options.command {
        LedgerCommand::Init(options) => writing::init(options, common),
        LedgerCommand::Add(options) => tokio::task::block_in_place(|| writing::add(options, common)),
        LedgerCommand::Serve(options) => serving::ledger(options, common).await,
        LedgerCommand::Key(options) => open::print_key(options, common),
        LedgerCommand::Proof(options) => tokio::task::block_in_place(|| reading::proof(options)),
        LedgerCommand::Check(options) => tokio::task::block_in_place(|| reading::check(options, common)),
        LedgerCommand::Tail(options) => reading::tail(options, common).await,
        LedgerCommand::Mirror(options) => serving::mirror(options, common).await,
    }
}
