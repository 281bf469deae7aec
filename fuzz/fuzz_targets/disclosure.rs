//! Any bytes as a vendor list and as a vendor's disclosure: reading them ends, and does not panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vigie_trackers::disclosure;

fuzz_target!(|bytes: &[u8]| {
    let _ = disclosure::vendor_list(bytes);
    for entry in disclosure::disclosure(bytes).unwrap_or_default() {
        let _ = entry.is_of("uid", "vendor.test", "shop.test");
    }
});
