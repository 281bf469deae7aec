//! Whether any bytes make the reader of an opening, an answer, a row stumble, or read what it would not write.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(shown) = vigie_ledger::opening::Shown::parse(data) {
        assert_eq!(shown.to_bytes(), data);
        let _ = shown.check_header();
    }
    let _ = vigie_ledger::answer::Answer::parse(data);
    let _ = vigie_ledger::row::CanonicalRow::parse(data);
});
