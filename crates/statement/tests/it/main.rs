//! Reading in processes of their own, from outside: what they answer, and what is left when they are ended.

mod aggregate;
mod generator;
mod properties;
mod worker;
