//! Bundles from end to end: what is written is read again, what is changed is noticed, and what others wrote agrees.

mod hostile;
mod judges;
mod roundtrip;
mod samples;
mod tampering;
mod timestamps;
