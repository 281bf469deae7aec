//! Random statements, compared row for row with what the database says to somebody who may see everything, and who asks
//! only for what the purpose allows. Nothing more may come through; of plain reads, nothing less either; and the accounts
//! have exactly the people whose rows came.
//!
//! `VIGIE_ORACLE_CASES` is how many statements (200 by default), `VIGIE_ORACLE_SEED` repeats a run.

use crate::{
    raw::{Came, Raw},
    stage::{Stage, runtime, server},
};
use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};
use vigie_gateway::wire::{self, BindMessage};
use vigie_ledger::{Checkpoint, Entry, Note, reader::fetch_entry};
use vigie_sequencer::{files::SystemFiles, publish_source};

/// Few enough that joins stay small.
const PEOPLE: u32 = 150;

/// What a purpose may see of a table, as the policy's author would say it: not computed by the policy.
struct Table {
    name: &'static str,
    /// Whose rows; empty for those of nobody.
    subject: &'static str,
    key: &'static str,
    columns: &'static [(&'static str, Kind)],
    hidden: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Text,
    Time,
}
use Kind::{Number, Text, Time};

/// Purpose, bit, who, tables.
struct Purpose {
    name: &'static str,
    bit: u8,
    tables: &'static [Table],
}

const COUNTRIES: Table = Table {
    name: "countries",
    subject: "",
    key: "code",
    columns: &[("code", Text), ("name", Text)],
    hidden: &["population"],
};

static PURPOSES: [Purpose; 2] = [
    Purpose {
        name: "analytics",
        bit: 1,
        tables: &[
            Table {
                name: "users",
                subject: "id",
                key: "id",
                columns: &[("id", Number), ("country", Text), ("created_at", Time)],
                hidden: &["email", "phone", "display_name", "birth_year", "ip", "pmask"],
            },
            Table {
                name: "videos",
                subject: "author",
                key: "id",
                columns: &[
                    ("id", Number),
                    ("author", Number),
                    ("visibility", Text),
                    ("views", Number),
                    ("created_at", Time),
                ],
                hidden: &["title", "pmask"],
            },
            Table {
                name: "events",
                subject: "subject",
                key: "id",
                columns: &[("id", Number), ("subject", Number), ("kind", Text), ("amount_minor", Number), ("ts", Time)],
                hidden: &["device", "pmask"],
            },
            Table {
                name: "messages",
                subject: "sender",
                key: "id",
                columns: &[("id", Number), ("sender", Number), ("sent_at", Time)],
                hidden: &["recipient", "body", "pmask"],
            },
            Table {
                name: "payments",
                subject: "subject",
                key: "id",
                columns: &[("id", Number), ("subject", Number), ("currency", Text), ("paid_at", Time)],
                hidden: &["iban", "amount_minor", "pmask"],
            },
            COUNTRIES,
        ],
    },
    Purpose {
        name: "service-provision",
        bit: 0,
        tables: &[
            Table {
                name: "users",
                subject: "id",
                key: "id",
                columns: &[
                    ("id", Number),
                    ("display_name", Text),
                    ("country", Text),
                    ("birth_year", Number),
                    ("created_at", Time),
                ],
                hidden: &["email", "phone", "ip", "pmask"],
            },
            Table {
                name: "videos",
                subject: "author",
                key: "id",
                columns: &[
                    ("id", Number),
                    ("author", Number),
                    ("title", Text),
                    ("visibility", Text),
                    ("views", Number),
                    ("created_at", Time),
                ],
                hidden: &["pmask"],
            },
            Table {
                name: "events",
                subject: "subject",
                key: "id",
                columns: &[
                    ("id", Number),
                    ("subject", Number),
                    ("kind", Text),
                    ("amount_minor", Number),
                    ("device", Text),
                    ("ts", Time),
                ],
                hidden: &["pmask"],
            },
            Table {
                name: "messages",
                subject: "sender",
                key: "id",
                columns: &[("id", Number), ("sender", Number), ("recipient", Number), ("sent_at", Time)],
                hidden: &["body", "pmask"],
            },
            Table {
                name: "payments",
                subject: "subject",
                key: "id",
                columns: &[
                    ("id", Number),
                    ("subject", Number),
                    ("amount_minor", Number),
                    ("currency", Text),
                    ("paid_at", Time),
                ],
                hidden: &["iban", "pmask"],
            },
            COUNTRIES,
        ],
    },
];

/// Steps of SplitMix64 (Steele, Lea, Flood 2014), which is enough to draw statements.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// A statement, in the parts that the oracle needs.
struct Asked {
    sql: String,
    /// The same people, by their ids: asked of the oracle only.
    subjects: Option<String>,
    /// Whether it must come through whole; others may be refused.
    plain: bool,
    parameter: Option<String>,
}

/// One table in `FROM`.
struct Instance {
    alias: String,
    table: &'static Table,
}

struct Author<'a> {
    draw: &'a mut Draw,
    purpose: &'static Purpose,
    instances: Vec<Instance>,
    parameter: Option<String>,
}

impl Author<'_> {
    fn column(&mut self, kind: Kind) -> Option<String> {
        let all: Vec<String> = self
            .instances
            .iter()
            .flat_map(|it| {
                it.table.columns.iter().filter(|(_, is)| *is == kind).map(|(name, _)| format!("{}.{name}", it.alias))
            })
            .collect();
        (!all.is_empty()).then(|| self.draw.one(&all).clone())
    }

    fn any(&mut self) -> (String, Kind) {
        loop {
            let kind = *self.draw.one(&[Number, Text, Time]);
            if let Some(column) = self.column(kind) {
                return (column, kind);
            }
        }
    }

    fn value(&mut self) -> String {
        let (column, kind) = self.any();
        if self.draw.percent(50) {
            return column;
        }
        let choices: &[&str] = match kind {
            Number => &["{} + 1", "coalesce({}, 0)", "abs({})", "{}::text", "{} % 7", "CASE WHEN {} > 20 THEN 'x' END"],
            Text => &["upper({})", "length({})", "{} || '!'", "left({}, 2)", "coalesce({}, 'none')", "{} LIKE 'a%'"],
            Time => &["extract(year FROM {})", "date_trunc('month', {})", "{} > '2024-01-01'", "{}::date"],
        };
        self.draw.one(choices).replace("{}", &column)
    }

    fn condition(&mut self, depth: u32) -> String {
        if depth > 0 && self.draw.percent(40) {
            let (one, other) = (self.condition(depth - 1), self.condition(depth - 1));
            return match self.draw.below(3) {
                0 => format!("({one} AND {other})"),
                1 => format!("({one} OR {other})"),
                _ => format!("NOT ({one})"),
            };
        }
        let (column, kind) = self.any();
        let number = self.draw.below(PEOPLE as usize + 20);
        match kind {
            Number if self.parameter.is_none() && self.draw.percent(20) => {
                self.parameter = Some(number.to_string());
                format!("{column} >= $1")
            }
            Number => match self.draw.below(5) {
                0 => format!("{column} < {number}"),
                1 => format!("{column} IN ({number}, {}, {})", number + 1, number + 5),
                2 => format!("{column} BETWEEN {number} AND {}", number + 40),
                3 => format!("{column} IS NOT NULL"),
                _ => format!("{column} % 3 = {}", number % 3),
            },
            Text => match self.draw.below(5) {
                0 => format!("{column} LIKE '{}%'", self.draw.one(&["a", "M", "F", "p", "l", "D"])),
                1 => format!("{column} IN ('FR', 'DE', 'public', 'EUR', 'watch', 'login')"),
                2 => format!("{column} IS NULL"),
                3 => format!("length({column}) > {}", number % 12),
                _ => format!("EXISTS (SELECT 1 FROM countries x WHERE x.code = {column} OR x.name > {column})"),
            },
            Time => format!("{column} > '20{}-0{}-01'", 20 + number % 6, 1 + number % 9),
        }
    }

    /// Writes `FROM`: tables joined on whose rows they are.
    fn from(&mut self) -> String {
        let tables = self.purpose.tables;
        let first: &'static Table = self.draw.one(tables);
        self.instances.push(Instance { alias: "a".to_owned(), table: first });
        let mut from = format!("{} a", first.name);
        for at in 0..self.draw.below(3) {
            let table: &'static Table = self.draw.one(tables);
            let alias = ["b", "c"][at].to_owned();
            let (other, on) = {
                let other = &self.instances[self.draw.below(self.instances.len())];
                let on = match (table.subject, other.table.subject) {
                    ("", _) if other.table.name == "users" => format!("{alias}.code = {}.country", other.alias),
                    (_, "") if table.name == "users" => format!("{alias}.country = {}.code", other.alias),
                    ("", _) | (_, "") => continue,
                    (mine, theirs) => format!("{alias}.{mine} = {}.{theirs}", other.alias),
                };
                (other.alias.clone(), on)
            };
            let _ = other;
            let kind = self.draw.one(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "INNER JOIN"]);
            let _ = write!(from, " {kind} {} {alias} ON {on}", table.name);
            self.instances.push(Instance { alias, table });
        }
        from
    }

    fn statement(mut self) -> Asked {
        let from = self.from();
        let mut plain = true;
        let mut outputs: Vec<String> = Vec::new();
        if self.draw.percent(12) {
            outputs.push("*".to_owned());
        } else {
            for _ in 0..=self.draw.below(4) {
                outputs.push(self.value());
            }
            if self.draw.percent(10) {
                let alias = self.draw.one(&self.instances).alias.clone();
                outputs.push(format!("{alias}.*"));
            }
        }
        if self.draw.percent(5) {
            let instance = self.draw.one(&self.instances);
            outputs.push(format!("{}.{}", instance.alias, self.draw.one(instance.table.hidden)));
        }
        let mut tail = format!("FROM {from}");
        if self.draw.percent(75) {
            let condition = self.condition(2);
            let _ = write!(tail, " WHERE {condition}");
        }
        let keys: Vec<String> = self.instances.iter().map(|it| format!("{}.{}", it.alias, it.table.key)).collect();
        if self.draw.percent(40) {
            let down = self.draw.one(&["", " DESC"]);
            let _ = write!(tail, " ORDER BY {}{down}", keys.join(", "));
            if self.draw.percent(60) {
                let (limit, offset) = (1 + self.draw.below(40), self.draw.below(4));
                let _ = write!(tail, " LIMIT {limit} OFFSET {offset}");
            }
        } else if self.draw.percent(20) {
            let value = self.value();
            let _ = write!(tail, " ORDER BY {value}");
        }
        let list = outputs.join(", ");
        let mut sql = format!("SELECT {list} {tail}");
        let mut subjects: Vec<String> = Vec::new();
        for it in self.instances.iter().filter(|it| !it.table.subject.is_empty()) {
            subjects.push(format!("{}.{}", it.alias, it.table.subject));
        }
        let about_people = !subjects.is_empty();
        let mut subjects = about_people.then(|| format!("SELECT {} {tail}", subjects.join(", ")));
        // What says more than its rows, or hides whose they are.
        if self.draw.percent(25) {
            plain = false;
            let users = "(SELECT u.id FROM users u WHERE u.country = 'FR')";
            let wrapped = match self.draw.below(9) {
                0 => format!("SELECT DISTINCT {list} {tail}"),
                1 => format!("WITH q AS ({sql}) SELECT * FROM q"),
                2 => format!("SELECT * FROM ({sql}) AS q"),
                3 => format!("({sql}) UNION ALL ({sql})"),
                4 => format!("({sql}) EXCEPT (SELECT {list} FROM {from})"),
                5 => format!("SELECT {list}, row_number() OVER (ORDER BY {}) {tail}", keys.join(", ")),
                6 => format!("SELECT {list} FROM {from} WHERE {} IN {users}", keys[0].replace("code", "name")),
                7 => format!("SELECT a, {list} {tail}"),
                _ => format!("SELECT {list}, (SELECT max(u.id) FROM users u) {tail}"),
            };
            sql = wrapped;
            subjects = None;
        }
        Asked { sql, subjects, plain, parameter: self.parameter }
    }
}

/// Ways in which a statement is sent.
#[derive(Debug, Clone, Copy)]
enum Way {
    Simple,
    Extended(i16),
    Parts,
    Cursor,
    Copy,
    Prepared,
}

async fn ask(raw: &mut Raw, asked: &Asked, way: Way) -> Came {
    let values: Vec<Option<&[u8]>> = asked.parameter.iter().map(|it| Some(it.as_bytes())).collect();
    // Values are written into the text where they cannot be bound.
    let written = asked.sql.replace("$1", asked.parameter.as_deref().unwrap_or_default());
    match way {
        Way::Simple => raw.query(&written).await,
        Way::Extended(format) => {
            raw.parse("", &asked.sql);
            let result_formats = &[format];
            wire::put_bind(
                &BindMessage { parameters: &values, result_formats, ..BindMessage::default() },
                &mut raw.out,
            );
            raw.describe("").execute("", 0);
            raw.sync().await
        }
        Way::Parts => {
            raw.parse("", &asked.sql);
            wire::put_bind(&BindMessage { parameters: &values, ..BindMessage::default() }, &mut raw.out);
            raw.execute("", 3).execute("", 1).execute("", 0);
            raw.sync().await
        }
        Way::Cursor => {
            let mut all = raw.query("BEGIN").await;
            for sql in [&format!("DECLARE k CURSOR FOR {written}"), "FETCH 4 FROM k", "FETCH ALL FROM k", "COMMIT"] {
                let came = raw.query(sql).await;
                all.rows.extend(came.rows);
                all.errors.extend(came.errors);
                all.ended |= came.ended;
            }
            all
        }
        Way::Copy => raw.query(&format!("COPY ({written}) TO STDOUT")).await,
        Way::Prepared => {
            let mut all = raw.query(&format!("PREPARE s AS {written}")).await;
            for sql in ["EXECUTE s", "DEALLOCATE s"] {
                let came = raw.query(sql).await;
                all.rows.extend(came.rows);
                all.errors.extend(came.errors);
                all.ended |= came.ended;
            }
            all
        }
    }
}

type Row = Vec<Option<Vec<u8>>>;

fn sorted(came: &Came) -> (Vec<Row>, Vec<Vec<u8>>) {
    let (mut rows, mut copied) = (came.rows.clone(), came.copied.clone());
    rows.sort();
    copied.sort();
    (rows, copied)
}

/// Tells whether each of some rows, as often as it is there, is among others.
fn is_within<T: Ord>(some: &[T], others: &[T]) -> bool {
    let mut rest = others.iter();
    some.iter().all(|row| rest.any(|other| other == row))
}

fn oracle_of(stage: &Stage, purpose: &Purpose) {
    let schema = format!("oracle_{}", purpose.bit);
    let mut sql = format!("CREATE SCHEMA {schema};");
    for table in purpose.tables {
        let mut columns: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
        // Of a kind that statements are not made of; it shows in whole rows.
        columns.extend((table.name == "countries").then_some("eu"));
        let mask =
            if table.subject.is_empty() { "true".to_owned() } else { format!("pmask & {} <> 0", 1 << purpose.bit) };
        let name = table.name;
        let _ = write!(
            sql,
            "CREATE VIEW {schema}.{name} AS SELECT {} FROM public.{name} WHERE {mask};",
            columns.join(", ")
        );
    }
    stage.raw(&sql);
}

#[test]
fn what_comes_through_is_what_is_allowed_and_is_accounted_for() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let n_cases = number("VIGIE_ORACLE_CASES").unwrap_or(200);
    let seed = number("VIGIE_ORACLE_SEED").unwrap_or_else(|| {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).expect("there are random numbers");
        u64::from_le_bytes(bytes)
    });
    eprintln!("VIGIE_ORACLE_SEED={seed}");
    let stage = Stage::with(PEOPLE, |_| {});
    stage.scatter_masks();
    let seen_by = |bit: u8| stage.raw(&format!("SELECT count(*) FROM users WHERE pmask & {} <> 0", 1 << bit));
    assert!(
        PURPOSES.iter().all(|purpose| seen_by(purpose.bit).trim().parse::<u32>().is_ok_and(|n| (70..130).contains(&n)))
    );
    let mut draw = Draw(seed);
    let mut told: BTreeMap<i64, u64> = BTreeMap::new();
    let (mut n_plain, mut n_refused, mut n_rows) = (0, 0, 0_u64);
    runtime().block_on(async {
        let mut sides = Vec::new();
        for purpose in &PURPOSES {
            oracle_of(&stage, purpose);
            let through = Raw::connect(&stage, "jeanne@pixelle.example", purpose.name).await;
            let schema = format!("oracle_{}", purpose.bit);
            sides.push((through, Raw::direct(server().port(), &stage.database, &schema).await));
        }
        for case in 0..n_cases {
            let at = draw.below(PURPOSES.len());
            let (purpose, (through, oracle)) = (&PURPOSES[at], &mut sides[at]);
            let author = Author { draw: &mut draw, purpose, instances: Vec::new(), parameter: None };
            let asked = author.statement();
            let way = *draw.one(&[
                Way::Simple,
                Way::Simple,
                Way::Extended(0),
                Way::Extended(1),
                Way::Parts,
                Way::Cursor,
                Way::Copy,
                Way::Prepared,
            ]);
            let of = format!("case {case} of seed {seed}, {} {way:?}: {}", purpose.name, asked.sql);
            let before = stage.gateway.metrics.rows.value();
            let came = ask(through, &asked, way).await;
            let accounted = stage.gateway.metrics.rows.value() - before;
            let allowed = ask(oracle, &asked, way).await;
            assert!(!allowed.ended, "{of}");
            let ((rows, copied), (all_rows, all_copied)) = (sorted(&came), sorted(&allowed));
            assert!(is_within(&rows, &all_rows), "more rows came than are allowed: {of}");
            assert!(is_within(&copied, &all_copied), "more lines came than are allowed: {of}");
            if came.errors.is_empty() && !came.ended {
                assert!(allowed.errors.is_empty(), "what fails at the database came through: {of}: {allowed:?}");
                assert_eq!((rows.len(), copied.len()), (all_rows.len(), all_copied.len()), "rows are missing: {of}");
            } else if asked.plain {
                assert!(!allowed.errors.is_empty(), "a plain read failed with {:?}: {of}", came.errors);
            } else {
                n_refused += 1;
            }
            n_plain += u64::from(asked.plain);
            if came.ended {
                assert!(!asked.plain, "the session ended: {of}");
                *through = Raw::connect(&stage, "jeanne@pixelle.example", purpose.name).await;
            }
            n_rows += accounted;
            let mut expected = 0;
            if let Some(subjects) = asked.subjects.filter(|_| came.errors.is_empty()) {
                let whose = subjects.replace("$1", asked.parameter.as_deref().unwrap_or_default());
                for row in oracle.query(&whose).await.texts() {
                    let mut people: Vec<i64> = row.iter().flatten().map(|id| id.parse().expect("an id")).collect();
                    people.sort_unstable();
                    people.dedup();
                    expected += people.len() as u64;
                    people.into_iter().for_each(|person| *told.entry(person).or_default() += 1);
                }
                assert_eq!(accounted, expected, "people were accounted for: {of}");
            } else if !asked.plain && accounted > 0 {
                // Which people these were is not known here, but how many rows came is.
                assert!(accounted >= rows.len() as u64, "rows that are not accounted for: {of}");
                let told_here = "people of a statement that is not plain";
                eprintln!("{told_here}: {of}");
                told.insert(-1, told.get(&-1).copied().unwrap_or(0) + accounted);
            }
        }
    });
    eprintln!("{n_cases} statements, {n_plain} plain, {n_refused} others refused, {n_rows} rows of people");
    let others = told.remove(&-1).unwrap_or(0);
    let log = stage.gateway.log().expect("the ledger is here").clone();
    log.publish_now();
    let head = log.wait_published(log.statistics().durable - 1).expect("it is published");
    let head = Checkpoint::parse(Note::parse(&head.checkpoint).expect("a note").text()).expect("a head");
    let source = publish_source(Arc::new(SystemFiles), log.home());
    let mut n_logged = 0;
    for index in 0..head.size() {
        let entry = fetch_entry(&source, index, head.size()).expect("it is there");
        let entry = Entry::parse(&entry).expect("an entry");
        assert_eq!(entry.row_base, n_logged, "rows are numbered without a gap");
        n_logged += entry.row_count;
    }
    assert_eq!(n_logged, n_rows, "the ledger counts the rows of people that came");
    let mut n_kept = 0;
    for person in 1..=i64::from(PEOPLE) {
        let found = stage.gateway.account.vault().about(person.to_string().as_bytes()).expect("the vault can be read");
        let kept: u64 = found.iter().map(|it| it.rows.len() as u64).sum();
        n_kept += kept;
        if others == 0 {
            assert_eq!(kept, told.get(&person).copied().unwrap_or(0), "what person {person} will be told");
        }
    }
    assert_eq!(n_kept, n_rows, "the vault has the rows of people that came");
}
