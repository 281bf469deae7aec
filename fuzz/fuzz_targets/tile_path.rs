//! Whether any bytes make the reader of the path of a tile stumble, or read what it would not write.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(resource) = text.parse::<vigie_ledger::tile::Resource>()
    {
        assert_eq!(resource.to_string(), text);
    }
});
