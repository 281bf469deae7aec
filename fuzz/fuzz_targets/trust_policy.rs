//! Whether any bytes make the reader of a policy of trust stumble, or read what it would not write.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(policy) = vigie_ledger::TrustPolicy::parse(text)
    {
        // A quorum cannot be broken by more witnesses.
        let all: Vec<_> = policy.witnesses().map(|party| &party.key).collect();
        assert!(!policy.is_quorum([]) || policy.is_quorum(all));
    }
});
