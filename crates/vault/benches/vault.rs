//! What a row costs.
fn main() {}
