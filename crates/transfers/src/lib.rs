//! Hand-overs to other controllers: only declared fields, only of people who agreed, only what no order stops; each batch
//! accounted for before it leaves, and provable afterwards.
//!
//! Out of scope: recording choices (`choices`), keeping records and answering samples (`accounting`), the command line.
//!
//! In reading order: [`flow`] and [`field`] (what may leave), [`source`], [`choice`] and [`order`] (what does), [`encode`],
//! [`wire`] and [`deliver`] (how), [`progress`] and [`run`] (step by step); then the other side, [`receive`];
//! [`linkage`] measures what two sides could join.

pub mod field;
pub mod flow;

pub mod choice;
pub mod order;
pub mod source;

pub mod deliver;
pub mod encode;
pub mod wire;

pub mod progress;
pub mod run;

pub mod receive;

pub mod linkage;
