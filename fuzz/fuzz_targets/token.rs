//! Any bytes as a timestamp authority's answer: refusing them ends, and does not panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vigie_evidence::timestamp::Token;

fuzz_target!(|bytes: &[u8]| {
    let _ = Token::from_response(bytes.to_vec(), &[7; 32]);
});
