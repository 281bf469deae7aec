//! The room from outside: vectors that any program can reproduce.

mod vectors;
