//! Any bytes as a bundle: verifying and reading them ends, and does not panic.
//!
//! Start from bundles that tests write; put them into `corpus/bundle`.

#![no_main]

use std::io::Write as _;

use libfuzzer_sys::fuzz_target;
use vigie_evidence::{Bundle, Roots, read_http_head, verify};

fuzz_target!(|bytes: &[u8]| {
    let mut file = tempfile::NamedTempFile::new().expect("there is a folder for temporary files");
    file.write_all(bytes).expect("the file takes what is written");
    let _ = verify(file.path(), &Roots::default()).expect("a file that can be read has an answer");
    let Ok(bundle) = Bundle::open(file.path()) else { return };
    let names: Vec<String> = bundle.names().map(str::to_owned).collect();
    for name in names {
        let _ = bundle.read(&name, 1 << 20);
    }
    let Ok(mut records) = bundle.records() else { return };
    while let Ok(Some(_)) = records.next(|_, mut block| Ok(read_http_head(&mut block).is_ok())) {}
});
