//! A PostgreSQL wire proxy: decides who asks, from where and for what, lets the server enforce it, and accounts for every row before it leaves.

pub mod accounting;
