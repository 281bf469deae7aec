//! Whether any text makes the lexer of skeletons stumble, or the literals it left out are not where they were.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vigie_statement::skeleton;

fuzz_target!(|sql: &str| {
    let Some(found) = skeleton(sql) else {
        assert!(sql.contains('\0'));
        return;
    };
    let mut left = found.key.len();
    let mut end = 0;
    for literal in &found.literals {
        assert!(end <= literal.start && literal.start < literal.end);
        end = literal.end;
        left = left - 2 + (literal.end - literal.start) as usize;
    }
    assert_eq!(left, sql.len());
});
