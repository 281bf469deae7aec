//! Whether any text makes the reader of statements stumble, or what it adds to one comes out other than last.
//!
//! The parser is C: a crash found here may be its own, which is why it runs in processes of its own.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vigie_statement::{Place, Statement, read};

fuzz_target!(|sql: &str| {
    let Ok(reading) = read(sql) else { return };
    let [Statement::Read(before)] = reading.statements.as_slice() else { return };
    let Some(index) = before.relations.iter().position(|it| it.place == Place::From) else { return };
    let Some(appended) = before.with_columns_appended(sql, &[(index, "id")]) else { return };
    // It may have become too long.
    let Ok(after) = read(&appended.sql) else { return };
    let [Statement::Read(after)] = after.statements.as_slice() else { panic!("another statement") };
    assert_eq!(after.outputs.len(), before.outputs.len() + 1);
    assert_eq!(after.relations, before.relations);
});
