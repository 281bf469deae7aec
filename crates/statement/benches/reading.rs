//! What reading costs, side by side in one run: the skeleton, PostgreSQL's parser, the whole reading, and asking a process.
//!
//!     cargo bench -p vigie-statement
//!
//! Trust the ratios; absolute figures are of the machine.

use std::{hint::black_box, process::Command, time::Instant};

use pg_query::FingerprintOptions;
use vigie_statement::{read, skeleton, worker::Pool};

const POINT: &str = "SELECT id, country, age, display_name FROM users WHERE id = 123456";
const JOIN: &str = "SELECT u.country, e.amount, e.kind FROM users u JOIN events e ON u.id = e.subject WHERE u.email = \
                    'somebody@example.org' AND e.ts BETWEEN '2026-01-01' AND '2026-02-01' ORDER BY e.ts DESC LIMIT 100";
const REPORT: &str = "WITH recent AS (SELECT subject, kind, sum(amount) AS total, count(*) AS n FROM events WHERE ts > now() - \
                      interval '30 days' GROUP BY subject, kind), ranked AS (SELECT r.*, rank() OVER (PARTITION BY kind ORDER BY \
                      total DESC) AS place FROM recent r WHERE n > 3) SELECT u.country, k.kind, k.place, CASE WHEN u.age < 18 THEN \
                      'minor' WHEN u.age BETWEEN 18 AND 64 THEN 'adult' ELSE 'senior' END AS age_class, k.total / 100.0 AS euros FROM \
                      ranked k JOIN users u ON u.id = k.subject WHERE k.place <= 10 AND u.country IN ('DE', 'FR', 'IE', 'NO')";

/// Returns nanoseconds per call, the least of some rounds.
fn measure(mut call: impl FnMut()) -> f64 {
    let mut least = f64::MAX;
    let mut n = 1_u32;
    for _ in 0..12 {
        let start = Instant::now();
        for _ in 0..n {
            call();
        }
        let took = start.elapsed();
        least = least.min(took.as_nanos() as f64 / f64::from(n));
        // Rounds of about 20 ms.
        n = (20_000_000.0 / least).clamp(1.0, 1e6) as u32;
    }
    least
}

fn main() {
    let pool = Pool::new(Command::new(env!("CARGO_BIN_EXE_vigie-statement-reader")), 1).expect("the reader starts");
    println!(
        "{:<8} {:>6} {:>12} {:>8} {:>12} {:>10} {:>10} {:>10}",
        "", "bytes", "skeleton ns", "MB/s", "fingerprint", "parse", "read", "pool"
    );
    let long = format!("SELECT a FROM users WHERE b IN ({})", "'something or other', 12345, ".repeat(1_000) + "1");
    for (name, sql) in [("point", POINT), ("join", JOIN), ("report", REPORT), ("long", long.as_str())] {
        let skeleton = measure(|| drop(black_box(skeleton(black_box(sql)))));
        let fingerprint =
            measure(|| drop(black_box(pg_query::fingerprint(black_box(sql), 0, FingerprintOptions::default()))));
        let parse = measure(|| drop(black_box(pg_query::parse(black_box(sql), 0))));
        let reading = measure(|| drop(black_box(read(black_box(sql)))));
        let asked = measure(|| drop(black_box(pool.read(black_box(sql)))));
        let speed = sql.len() as f64 * 1000.0 / skeleton;
        let ratio = |it: f64| format!("{:.1}x", it / skeleton);
        println!(
            "{name:<8} {:>6} {skeleton:>12.0} {speed:>8.0} {:>12} {:>10} {:>10} {:>10}",
            sql.len(),
            ratio(fingerprint),
            ratio(parse),
            ratio(reading),
            ratio(asked)
        );
    }
}
