//! Judging: to come.
