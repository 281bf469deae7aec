//! Whether any bytes make the reader of a demand for a sample stumble, or read what it would not write.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(demand) = vigie_ledger::sampling::Demand::parse(text)
    {
        assert_eq!(demand.to_string(), text);
    }
});
