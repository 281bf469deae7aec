//! Prints the sample platform's database as a script for `psql`: `pixelle [--people N] [--seed N]`.

use std::io::{self, BufWriter};
use vigie_testkit::platform_database::PlatformDatabase;

fn main() -> Result<(), String> {
    let (mut people, mut seed) = (200_000, 1);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("`{name}` needs a number"))?;
        let unread = |error| format!("`{name} {value}` is no number: {error}");
        match name.as_str() {
            "--people" => people = value.parse().map_err(unread)?,
            "--seed" => seed = value.parse().map_err(unread)?,
            _ => return Err(format!("unknown argument `{name}`; expected --people or --seed")),
        }
    }
    let out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    PlatformDatabase::new(people).with_seed(seed).write_script(out).map_err(|error| error.to_string())
}
