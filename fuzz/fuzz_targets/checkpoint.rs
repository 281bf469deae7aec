//! Whether any bytes make the reader of the text of a checkpoint stumble, or read what it would not write.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(checkpoint) = vigie_ledger::Checkpoint::parse(text)
    {
        assert_eq!(checkpoint.to_string(), text);
    }
});
