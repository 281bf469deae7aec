//! Whether any bytes make the reader of what a log sends to a witness stumble, or read what it would not write.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(request) = vigie_ledger::witness::AddCheckpoint::parse(data) {
        let body = request.to_body();
        assert_eq!(vigie_ledger::witness::AddCheckpoint::parse(body.as_bytes()).unwrap(), request);
    }
});
