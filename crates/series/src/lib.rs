//! Releases scheduled aggregate series with differential privacy, and keeps the budget that they use up.
