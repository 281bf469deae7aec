//! stub
use libtest_mimic::Trial;
pub fn trials() -> Vec<Trial> {
    vec![]
}
pub fn play(_: &str, _: &str, _: &str) {}
