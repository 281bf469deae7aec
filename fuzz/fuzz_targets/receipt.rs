//! Whether any bytes make the reader of a receipt stumble, or read what it would not write.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(receipt) = vigie_ledger::Receipt::parse(data) {
        assert_eq!(receipt.to_bytes(), data);
    }
});
