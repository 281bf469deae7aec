//! The operator's PostgreSQL, seen as a policy sees it: reads its catalog, applies a compiled policy, says what drifted.
