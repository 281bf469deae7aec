//! Whether any bytes make the reader of a bundle of entries, and each entry stumble, or read what it would not write.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((width, bytes)) = data.split_first() else { return };
    let width = u16::from(*width) + 1;
    if let Ok(entries) = vigie_ledger::tile::entries(bytes, width) {
        let mut again = Vec::new();
        for entry in entries {
            let _ = vigie_ledger::Entry::parse(entry).map(|read| assert_eq!(read.to_bytes(), entry));
            vigie_ledger::tile::push_entry(&mut again, entry).unwrap();
        }
        assert_eq!(again, bytes);
    }
});
