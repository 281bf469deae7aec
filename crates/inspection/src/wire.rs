//! Wire: to come.
