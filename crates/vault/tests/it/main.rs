//! Vaults that are filled, broken, and opened again.
