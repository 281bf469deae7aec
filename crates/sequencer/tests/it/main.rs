//! Logs that are written, broken, and opened again.

mod crash;
mod damage;
mod disk;
mod doors;
mod killed;
mod queued;
mod witnessed;

use vigie_ledger::{Entry, EventId, Hash, Kind, entry::Flags};
use vigie_sequencer::{Home, Stream};

/// An event of a number: the same number gives the same event.
fn event(number: u64) -> [u8; 148] {
    let mut id = [7; 16];
    id[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    let mut entry = Entry::new(Kind::Access, 1_700_000_000 + number, EventId(id), Hash::of(&number.to_be_bytes()));
    entry.row_count = number % 3;
    entry.flags = Flags::NONE;
    entry.to_bytes()
}

/// A new log in a folder of its own.
fn new_home(stream: Stream, policy: Option<&str>) -> (tempfile::TempDir, Home) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path().join("log"));
    home.init(&"operator.example/log".parse().unwrap(), stream, policy).unwrap();
    (folder, home)
}
