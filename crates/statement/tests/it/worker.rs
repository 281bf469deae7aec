//! A pool of readers, with statements that are hard on them.

use std::{
    io::{Read as _, Write as _},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use vigie_statement::{
    Reading, Statement, Unreadable, read,
    worker::{MAX_DURATION, MAX_MEMORY_BYTES, Pool},
};

fn pool(n: usize) -> Pool {
    Pool::new(Command::new(env!("CARGO_BIN_EXE_vigie-statement-reader")), n).expect("the readers start")
}

/// A reader that does something else, in the shell's words. The shell itself holds the output open while `cat` reads.
fn strange_pool(script: &str) -> Pool {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    Pool::new(command, 1).expect("the shell starts")
}

#[test]
fn a_pool_reads_as_this_process_does() {
    let pool = pool(2);
    for sql in
        ["SELECT u.a, 'é' FROM users u WHERE b LIKE 'x%'", "SET ROLE a", "nonsense", "", "SELECT 1; DELETE FROM a"]
    {
        assert_eq!(pool.read(sql), read(sql), "{sql}");
    }
    let sql = "SELECT country, count(*) FROM users GROUP BY 1";
    assert_eq!(pool.read_aggregate(sql), vigie_statement::aggregate::read(sql));
    assert!(pool.read_aggregate("SELECT id FROM users").is_err());
}

#[test]
fn hostile_texts_are_answered_and_the_pool_lives_on() {
    let pool = pool(1);
    let n = 21_000;
    for sql in [
        format!("SELECT 1{}", "+1".repeat(32_000)),
        format!("SELECT {}1{}", "(".repeat(n), ")".repeat(n)),
        format!("SELECT {}1", "- ".repeat(n)),
        format!("SELECT {}true", "NOT ".repeat(16_000)),
        format!("SELECT 1{}", "::int".repeat(12_000)),
        format!("SELECT a{}", "[1]".repeat(n)),
        format!("SELECT {}1{}", "f(".repeat(n), ")".repeat(n)),
        format!("SELECT * FROM {}a{}", "(".repeat(n), ")".repeat(n)),
        format!("{}SELECT 1{}", "(".repeat(n), ")".repeat(n)),
        format!("SELECT 1{}", " UNION SELECT 1".repeat(4_000)),
        format!("SELECT 1 FROM a{}", " JOIN a ON true".repeat(4_000)),
        format!("{}SELECT 1", "EXPLAIN ".repeat(8_000)),
        format!("SELECT {}", "/*".repeat(32_000)),
        "SELECT 1;".repeat(7_000),
        format!("SELECT {}", "a,".repeat(32_000) + "a"),
        format!("SELECT a FROM b WHERE {}", "c LIKE 'x%' OR ".repeat(4_000) + "d"),
    ] {
        let start = Instant::now();
        let answer = pool.read(&sql);
        let head = &sql[..40];
        eprintln!("{head}: {:?} in {:?}", answer.as_ref().map(|it| it.statements.len()), start.elapsed());
        if let Ok(Reading { statements, .. }) = answer {
            assert!(!statements.is_empty(), "{head}");
        }
        assert!(matches!(pool.read("SELECT 1").unwrap().statements.as_slice(), [Statement::Read(_)]), "after {head}");
    }
}

#[test]
fn a_reader_that_dies_costs_one_statement() {
    let pool = strange_pool("read x; exit 3");
    assert_eq!(pool.read("SELECT 1"), Err(Unreadable::Crashed));
    assert_eq!(pool.read("SELECT 1"), Err(Unreadable::Crashed));
}

#[test]
fn a_reader_that_answers_nonsense_is_not_believed() {
    let pool = strange_pool("printf '\\000\\000\\000\\002{}'; cat >/dev/null; :");
    assert_eq!(pool.read("SELECT 1"), Err(Unreadable::Crashed));
    let pool = strange_pool("printf '\\377\\377\\377\\377'; cat >/dev/null; :");
    assert_eq!(pool.read("SELECT 1"), Err(Unreadable::Crashed));
}

#[test]
fn a_reader_that_hangs_is_ended_in_time() {
    let pool = strange_pool("cat >/dev/null; :");
    let start = Instant::now();
    assert_eq!(pool.read("SELECT 1"), Err(Unreadable::Crashed));
    let took = start.elapsed();
    assert!(took >= MAX_DURATION && took < MAX_DURATION + Duration::from_secs(3), "{took:?}");
}

#[test]
fn dropping_a_pool_ends_its_readers_even_at_work() {
    let pool = Arc::new(strange_pool("cat >/dev/null; :"));
    let start = Instant::now();
    let n_answers = Arc::new(AtomicUsize::new(0));
    for _ in 0..3 {
        let n_answers = n_answers.clone();
        pool.read_then("SELECT 1", move |answer| {
            assert_eq!(answer, Err(Unreadable::Crashed));
            n_answers.fetch_add(1, Ordering::SeqCst);
        });
    }
    drop(pool);
    assert_eq!(n_answers.load(Ordering::SeqCst), 3);
    assert!(start.elapsed() < MAX_DURATION);
}

#[test]
fn a_command_that_cannot_be_started_is_an_error() {
    assert!(Pool::new(Command::new("/no/such/program"), 2).is_err());
}

#[test]
fn a_reader_starts_with_an_empty_environment() {
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some(), "this process has one");
    let pool = strange_pool(
        "[ -z \"$CARGO_MANIFEST_DIR\" ] && printf '\\000\\000\\000\\016{\"Err\":\"Busy\"}'; cat >/dev/null; :",
    );
    assert_eq!(pool.read("SELECT 1"), Err(Unreadable::Busy));
}

#[test]
#[cfg(target_os = "linux")]
fn a_reader_binds_itself_and_ends_with_its_input() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vigie-statement-reader"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let question = br#"{"Read":"SELECT 1"}"#;
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&(question.len() as u32).to_be_bytes()).unwrap();
    stdin.write_all(question).unwrap();
    let mut length = [0; 4];
    child.stdout.as_mut().unwrap().read_exact(&mut length).unwrap();

    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let soft = |name: &str| {
        let line = limits.lines().find(|it| it.starts_with(name)).unwrap();
        line[name.len()..].split_whitespace().next().unwrap().to_owned()
    };
    assert_eq!(soft("Max core file size"), "0");
    assert_eq!(soft("Max file size"), "0");
    assert_eq!(soft("Max address space"), MAX_MEMORY_BYTES.to_string());

    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn many_threads_share_a_pool() {
    let pool = pool(2);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let pool = &pool;
            scope.spawn(move || {
                for number in 0..50 {
                    let sql = format!("SELECT a{number} FROM t{thread}");
                    assert_eq!(pool.read(&sql), read(&sql));
                }
            });
        }
    });
}
