//! The database of the sample platform "Pixelle", in any size: made-up people and what they do, the same at every run.
//!
//! The tables are files (`demo/database/`); the rows are drawn here, each person from a stream of numbers of its own, and
//! leave as a script for `psql` ([`PlatformDatabase::write_script`]) that tests load into a server of theirs
//! ([`PlatformDatabase::create`]).
//!
//! `pmask` is what was drawn, until choices are kept in the database and rebuild it.

mod draw;
mod people;
mod script;

use crate::postgres::{PostgresServer, SUPERUSER};
use std::{
    io::{self, BufWriter, Write},
    process::{Command, Stdio},
};

pub use people::Person;

/// Who is planted: somebody whose traces can be searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planted {
    /// The person's id.
    pub id: i64,
    /// What the e-mail address, the name, a message, a title and the account of the person contain, and nobody else's do.
    pub marker: &'static str,
    /// The e-mail address.
    pub email: &'static str,
}

/// Refuses everything, for every purpose: `pmask` is 0 on every row of this person.
pub const HIDDEN: Planted =
    Planted { id: 1, marker: "planted-hidden-8f21c7", email: "planted-hidden-8f21c7@example.org" };

/// Refuses nothing: every bit of `pmask` is 1.
pub const SHOWN: Planted = Planted { id: 2, marker: "planted-shown-4be09d", email: "planted-shown-4be09d@example.org" };

/// Every decision that a mask holds: bits 0 to 62.
pub const ALL_PURPOSES: i64 = i64::MAX;

/// A database of the sample platform, of a size, drawn from a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlatformDatabase {
    people: i64,
    seed: u64,
}

impl PlatformDatabase {
    /// A database of so many people, at least the two that are planted, drawn from seed 1.
    pub fn new(people: u32) -> Self {
        Self { people: i64::from(people.max(2)), seed: 1 }
    }

    /// The same, drawn from another seed.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Makes a database of so many people in a server, and returns its name.
    ///
    /// # Panics
    ///
    /// If the server does not take it.
    pub fn create(server: &PostgresServer, people: u32) -> String {
        let name = server.new_database();
        Self::new(people).load(server, &name);
        name
    }

    /// Loads the tables and their rows into an empty database.
    ///
    /// # Panics
    ///
    /// If the server does not take them.
    pub fn load(&self, server: &PostgresServer, database: &str) {
        let mut psql = Command::new(server.program("psql"));
        psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", SUPERUSER, "-f", "-"]);
        psql.args(["-p", &server.port().to_string(), "-d", database]);
        // A few lines at most, so nobody has to read while rows are written.
        psql.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = psql.spawn().expect("psql is installed with the server");
        let input = child.stdin.take().expect("it is piped");
        let written = self.write_script(BufWriter::with_capacity(1 << 16, input));
        let output = child.wait_with_output().expect("psql ends");
        assert!(output.status.success(), "psql: {}", String::from_utf8_lossy(&output.stderr));
        written.expect("psql read all of it");
    }

    /// Writes the script that makes the tables, fills and indexes them, for `psql` in an empty database.
    ///
    /// # Errors
    ///
    /// If `out` takes no more; what was written by then is no whole script.
    pub fn write_script(&self, out: impl Write) -> io::Result<()> {
        script::write(*self, out)
    }

    /// Returns a person by id, 1 to the number of people.
    pub fn person(&self, id: i64) -> Person {
        Person::draw(*self, id)
    }

    /// Returns how many people there are.
    pub fn people(&self) -> i64 {
        self.people
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn script(database: PlatformDatabase) -> String {
        let mut out = Vec::new();
        database.write_script(&mut out).expect("memory takes it");
        String::from_utf8(out).expect("it is text")
    }

    #[test]
    fn two_runs_do_not_differ_and_two_seeds_do() {
        let database = PlatformDatabase::new(300);
        assert_eq!(script(database), script(database));
        assert_ne!(script(database), script(database.with_seed(2)));
    }

    #[test]
    fn the_database_is_what_was_asked_for() {
        let server = PostgresServer::shared();
        let database = PlatformDatabase::create(server, 4_000);
        let ask = |sql: &str| server.run_sql(&database, sql).trim_end().to_owned();
        let number = |sql: &str| ask(sql).parse::<f64>().expect("a number");
        assert_eq!(ask("SELECT count(*), min(id), max(id), count(DISTINCT email) FROM users"), "4000|1|4000|4000");
        let events = number("SELECT count(*) / 4000.0 FROM events");
        assert!((4.0..6.0).contains(&events), "about 5 events a person, not {events}");
        let busiest = number(
            "SELECT sum(n) / (SELECT count(*) FROM events) FROM \
             (SELECT count(*) AS n FROM events GROUP BY subject ORDER BY 1 DESC LIMIT 40) AS busiest",
        );
        assert!(busiest > 0.08, "the busiest hundredth does far more than a hundredth: {busiest}");
        let refusing = number("SELECT count(*) FILTER (WHERE pmask = 0) / 4000.0 FROM users");
        assert!((0.02..0.05).contains(&refusing), "a few in a hundred refuse everything, not {refusing}");
        let european = number("SELECT avg(eu::int) FROM users JOIN countries ON code = country");
        assert!((0.5..0.8).contains(&european), "most are in the Union, not {european}");
        for table in ["videos", "messages", "payments"] {
            assert!(number(&format!("SELECT count(*) FROM {table}")) > 100.0, "hardly any {table}");
        }
    }

    #[test]
    fn a_row_has_the_mask_of_its_person() {
        let server = PostgresServer::shared();
        let database = PlatformDatabase::create(server, 500);
        for (table, subject) in
            [("videos", "author"), ("events", "subject"), ("messages", "sender"), ("payments", "subject")]
        {
            let sql = format!(
                "SELECT count(*) FROM {table} AS row JOIN users ON users.id = row.{subject} WHERE row.pmask <> users.pmask"
            );
            assert_eq!(server.run_sql(&database, &sql), "0\n", "{table}");
        }
        let drawn = PlatformDatabase::new(500).person(17);
        assert_eq!(server.run_sql(&database, "SELECT pmask FROM users WHERE id = 17"), format!("{}\n", drawn.mask));
    }

    #[test]
    fn the_planted_are_where_a_leak_would_show_them_and_nobody_else_is_marked() {
        let server = PostgresServer::shared();
        let database = PlatformDatabase::create(server, 200);
        for (planted, mask) in [(HIDDEN, 0), (SHOWN, ALL_PURPOSES)] {
            let Planted { id, marker, email } = planted;
            let sql = format!(
                "SELECT email, pmask FROM users WHERE email LIKE '%{marker}%' AND display_name LIKE '%{marker}%'; \
                 SELECT DISTINCT author FROM videos WHERE title LIKE '%{marker}%'; \
                 SELECT DISTINCT sender FROM messages WHERE body LIKE '%{marker}%'; \
                 SELECT count(*) > 0 FROM payments WHERE subject = {id}; SELECT count(*) > 3 FROM events WHERE subject = {id}"
            );
            assert_eq!(server.run_sql(&database, &sql), format!("{email}|{mask}\n{id}\n{id}\nt\nt\n"));
        }
    }

    #[test]
    fn nothing_here_reaches_anybody() {
        let text = script(PlatformDatabase::new(2_000));
        let users = text.split("COPY public.users").nth(1).expect("there are users").split("\\.").next().expect("some");
        let mut seen = BTreeSet::new();
        for line in users.lines().skip(1).filter(|line| !line.is_empty()) {
            let fields: Vec<&str> = line.split('\t').collect();
            let (_, host) = fields[1].split_once('@').expect("an address");
            assert!(["example.org", "example.com", "example.net"].contains(&host), "{line}");
            assert!(
                fields[6] == "\\N" || fields[6].starts_with("192.0.2.") || fields[6].starts_with("2001:db8:"),
                "{line}"
            );
            let reserved = ["+447700900", "+3363998", "+35320910", "+493023125", "+12025550", "+4670174"];
            assert!(fields[2] == "\\N" || reserved.iter().any(|range| fields[2].starts_with(range)), "{line}");
            assert!(seen.insert(fields[1]), "twice: {line}");
        }
        assert_eq!(seen.len(), 2_000);
    }
}
