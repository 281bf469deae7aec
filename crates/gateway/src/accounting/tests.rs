//! Accounts kept, proved, erased, sampled, and broken.
