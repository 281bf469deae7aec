//! Whether any bytes make the reader of a signed note stumble, or read what it would not write.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(note) = vigie_ledger::Note::parse(data) {
        let written = note.to_string();
        assert_eq!(vigie_ledger::Note::parse(written.as_bytes()).unwrap(), note);
    }
});
