//! The public beacon of samples: drand's quicknet, a round of which is a signature that nobody could make before its time.
//!
//! # Source
//!
//! drand, chain `quicknet` (scheme `bls-unchained-g1-rfc9380`): one round every 3 s since 23 August 2023.

use crate::sampling::Round;
use drand_verify::{G2PubkeyRfc, Pubkey as _};

/// The chain's hash, by which demands name it.
pub const QUICKNET_CHAIN: &str = "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971";
/// When round 1 was, in seconds since 1970.
const GENESIS: u64 = 1_692_803_367;
/// Seconds between rounds.
const PERIOD: u64 = 3;
/// The chain's public key, 96 bytes of BLS12-381 G2.
const PUBLIC_KEY: [u8; 96] = [
    0x83, 0xcf, 0x0f, 0x28, 0x96, 0xad, 0xee, 0x7e, 0xb8, 0xb5, 0xf0, 0x1f, 0xca, 0xd3, 0x91, 0x22, 0x12, 0xc4, 0x37,
    0xe0, 0x07, 0x3e, 0x91, 0x1f, 0xb9, 0x00, 0x22, 0xd3, 0xe7, 0x60, 0x18, 0x3c, 0x8c, 0x4b, 0x45, 0x0b, 0x6a, 0x0a,
    0x6c, 0x3a, 0xc6, 0xa5, 0x77, 0x6a, 0x2d, 0x10, 0x64, 0x51, 0x0d, 0x1f, 0xec, 0x75, 0x8c, 0x92, 0x1c, 0xc2, 0x2b,
    0x0e, 0x17, 0xe6, 0x3a, 0xaf, 0x4b, 0xcb, 0x5e, 0xd6, 0x63, 0x04, 0xde, 0x9c, 0xf8, 0x09, 0xbd, 0x27, 0x4c, 0xa7,
    0x3b, 0xab, 0x4a, 0xf5, 0xa6, 0xe9, 0xc7, 0x6a, 0x4b, 0xc0, 0x9e, 0x76, 0xea, 0xe8, 0x99, 0x1e, 0xf5, 0xec, 0xe4,
    0x5a,
];

/// A round's signature that is not the chain's.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("the beacon's signature of round {0} was not made by drand's quicknet")]
pub struct NotTheBeacon(pub u64);

impl Round {
    /// Returns the first round that comes out after a time, in seconds since 1970.
    pub const fn after(time: u64) -> Self {
        if time < GENESIS { Self(1) } else { Self((time - GENESIS) / PERIOD + 2) }
    }

    /// Returns when the round comes out, in seconds since 1970.
    pub const fn time(self) -> u64 {
        GENESIS + (self.0.saturating_sub(1)).saturating_mul(PERIOD)
    }
}

/// Checks a round's signature (48 bytes).
///
/// # Errors
///
/// [`NotTheBeacon`].
pub fn verify(round: Round, signature: &[u8]) -> Result<(), NotTheBeacon> {
    let key = G2PubkeyRfc::from_fixed(PUBLIC_KEY).expect("the chain's key is a key");
    match key.verify(round.0, &[], signature) {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(NotTheBeacon(round.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND_1000: &str =
        "b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39";

    #[test]
    fn a_round_is_the_chains_or_it_is_not() {
        let signature: Vec<u8> =
            (0..48).map(|at| u8::from_str_radix(&ROUND_1000[at * 2..at * 2 + 2], 16).expect("hex")).collect();
        assert_eq!(verify(Round(1000), &signature), Ok(()));
        assert_eq!(verify(Round(1001), &signature), Err(NotTheBeacon(1001)));
        assert_eq!(verify(Round(1000), &signature[1..]), Err(NotTheBeacon(1000)));
        assert_eq!(verify(Round(1000), &[]), Err(NotTheBeacon(1000)));
    }

    #[test]
    fn the_round_after_a_time_is_not_out_yet_then() {
        for time in [0, GENESIS - 1, GENESIS, GENESIS + 1, GENESIS + 2, GENESIS + 3, 1_800_000_000] {
            let round = Round::after(time);
            assert!(round.time() > time);
            assert!(round.0 == 1 || round.time() - PERIOD <= time);
        }
    }
}
