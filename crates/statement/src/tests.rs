//! Statements and what is read in them, one line each.

use crate::{
    edit::{self, Edit},
    read,
    reading::{CopySource, MAX_STATEMENT_BYTES, Place, Read, Relation, Shape, Statement, Unreadable, Write},
    skeleton::{carry, skeleton},
};

/// Says in one line what was read.
fn told(sql: &str) -> String {
    match read(sql) {
        Ok(reading) => reading.statements.iter().map(told_statement).collect::<Vec<_>>().join("; "),
        Err(Unreadable::Syntax { .. }) => "unreadable: syntax".to_owned(),
        Err(error) => format!("unreadable: {error}"),
    }
}

fn told_statement(it: &Statement) -> String {
    match it {
        Statement::Read(it) => told_read(it),
        Statement::Write(it) => told_write(it),
        Statement::Transaction(it) => format!("{it:?}"),
        Statement::Set { name, value, local } => {
            format!("set {name} = {}{}", value.as_deref().unwrap_or("default"), if *local { " local" } else { "" })
        }
        Statement::SetTransaction { modes, session } => format!("set transaction {modes:?} session={session}"),
        Statement::Reset { name } => format!("reset {}", name.as_deref().unwrap_or("all")),
        Statement::Show { name } => format!("show {name}"),
        Statement::Declare { cursor, hold, scroll, binary, read } => {
            format!("declare {cursor} hold={hold} scroll={scroll} binary={binary}: {}", told_read(read))
        }
        Statement::Fetch { cursor, moves, count, forward } => {
            format!("fetch {cursor} moves={moves} count={count:?} forward={forward}")
        }
        Statement::CloseCursor { name } => format!("close {}", name.as_deref().unwrap_or("all")),
        Statement::Prepare { name, n_types, statement } => {
            format!("prepare {name}({n_types}): {}", told_statement(statement))
        }
        Statement::Execute { name, n_arguments } => format!("execute {name}({n_arguments})"),
        Statement::Deallocate { name } => format!("deallocate {}", name.as_deref().unwrap_or("all")),
        Statement::Explain { analyze, verbose, statement } => {
            format!("explain analyze={analyze} verbose={verbose}: {}", told_statement(statement))
        }
        Statement::CopyOut { source: CopySource::Query { read, .. }, format } => {
            format!("copy out {:?}: {}", format.encoding, told_read(read))
        }
        Statement::CopyOut { source: CopySource::Table { relation, columns }, format } => {
            format!("copy out {:?}: {} ({})", format.encoding, told_relation(relation), columns.join(","))
        }
        Statement::CopyIn { relation, columns, format } => {
            format!("copy in {:?}: {} ({})", format.encoding, told_relation(relation), columns.join(","))
        }
        Statement::Refused { what, .. } => format!("refused {what}"),
    }
}

fn told_read(it: &Read) -> String {
    let shape = match it.shape {
        Shape::Rows { appendable: true } => "rows+",
        Shape::Rows { appendable: false } => "rows",
        Shape::Distinct => "distinct",
        Shape::Aggregate => "aggregate",
        Shape::SetOperation => "set",
        Shape::Constant => "constant",
    };
    let whole_row = if it.names.whole_row { " whole-row" } else { "" };
    let dependent = if it.literal_dependent { " literals" } else { "" };
    let functions: Vec<_> = it.names.functions.iter().map(|it| it.name.as_str()).collect();
    let functions = if functions.is_empty() { String::new() } else { format!(" calls {}", functions.join(",")) };
    format!("{shape} of {}{functions}{whole_row}{dependent}", told_relations(&it.relations))
}

fn told_write(it: &Write) -> String {
    let conflict = if it.on_conflict { " on-conflict" } else { "" };
    format!("{:?} {} -> {}{conflict}", it.kind, told_relations(&it.relations), it.outputs.len())
}

fn told_relations(relations: &[Relation]) -> String {
    if relations.is_empty() {
        "nothing".to_owned()
    } else {
        relations.iter().map(told_relation).collect::<Vec<_>>().join(",")
    }
}

fn told_relation(it: &Relation) -> String {
    let schema = it.schema.as_ref().map(|it| format!("{it}.")).unwrap_or_default();
    let place = match it.place {
        Place::From => "",
        Place::Hidden => "@hidden",
        Place::Subquery => "@sub",
        Place::With => "@with",
        Place::Expression => "@expr",
        Place::SetOperation => "@set",
        Place::Target => "@target",
    };
    format!("{schema}{}{place}", it.name)
}

fn check(sql: &str, expected: &str) {
    assert_eq!(told(sql), expected, "{sql}");
}

#[test]
fn plain_reads_are_rows_to_which_columns_can_be_added() {
    check("SELECT id FROM users WHERE id = $1", "rows+ of users");
    check(
        "select u.*, v.day from public.users u left join visits v on v.subject = u.id",
        "rows+ of public.users,visits",
    );
    check("TABLE users", "rows of users");
    check("SELECT extract(year from born) FROM users", "rows+ of users calls extract");
    check("SELECT id FROM users ORDER BY 1", "rows+ of users literals");
    check("SELECT id, rank() OVER (ORDER BY age) FROM users", "rows+ of users calls rank");
    check("VALUES (1), (2)", "constant of nothing");
    check("SELECT 1", "constant of nothing");
    check("", "");
    check("-- nothing", "");
}

#[test]
fn queries_of_other_shapes_are_told_apart() {
    check("SELECT DISTINCT country FROM users", "distinct of users");
    check("SELECT DISTINCT ON (1) country FROM users", "distinct of users literals");
    check("SELECT country, count(*) FROM users GROUP BY 1", "aggregate of users calls count literals");
    check("SELECT max(id) FROM users", "aggregate of users calls max");
    check("SELECT pg_catalog.max(id) FROM users", "aggregate of users calls max");
    check("SELECT 1 FROM users HAVING true", "aggregate of users");
    check("SELECT mine(id) FILTER (WHERE true) FROM users", "aggregate of users calls mine");
    check("SELECT GROUPING(a) FROM users GROUP BY CUBE (a, (b, c))", "aggregate of users calls grouping");
    check("SELECT id FROM users UNION ALL SELECT id FROM visits", "set of users@set,visits@set");
    check(
        "SELECT (SELECT max(day) FROM visits v WHERE v.id = u.id) FROM users u",
        "rows+ of visits@expr,users calls max",
    );
    check("SELECT id FROM users LIMIT 5 OFFSET 2", "rows+ of users");
    check("SELECT FROM users", "rows of users");
    check("SELECT g FROM generate_series(1, 3) g", "rows of nothing calls generate_series whole-row");
    check("SELECT x FROM ROWS FROM (unnest($1::int[]), f()) AS t(x, y)", "rows of nothing calls f,unnest");
    check("SELECT id FROM users TABLESAMPLE system (10)", "rows+ of users calls system");
}

#[test]
fn names_of_with_queries_are_not_relations() {
    check("WITH u AS (SELECT * FROM users) SELECT * FROM u", "rows of users@with");
    // Inside of itself the name means a table, unless it is recursive.
    check("WITH users AS (SELECT * FROM users) SELECT * FROM users", "rows of users@with");
    check("WITH RECURSIVE users AS (SELECT * FROM users) SELECT * FROM users", "rows of nothing");
    check("WITH RECURSIVE b AS (SELECT * FROM a), a AS (SELECT 1) SELECT * FROM b", "rows of nothing");
    check("WITH b AS (SELECT * FROM a), a AS (SELECT 1) SELECT * FROM b", "rows of a@with");
    // A schema makes it a table, and so does standing outside.
    check("WITH u AS (SELECT 1) SELECT * FROM public.u", "rows+ of public.u");
    check("SELECT (WITH u AS (SELECT 1) SELECT * FROM u), id FROM u", "rows+ of u");
    check("SELECT * FROM (WITH u AS (TABLE a) TABLE u) x, u", "rows+ of a@sub,u");
}

#[test]
fn every_relation_is_found_wherever_it_stands() {
    check(
        "SELECT CASE WHEN EXISTS (TABLE a) THEN (TABLE b) ELSE array(TABLE c) END FROM d JOIN (e JOIN f USING (id)) AS g ON \
         g.x IN (TABLE h) CROSS JOIN LATERAL (SELECT * FROM i WHERE row(1, 2) = ANY (TABLE j)) k ORDER BY (TABLE l)",
        "rows+ of a@expr,b@expr,c@expr,d,e@hidden,f@hidden,h@expr,i@sub,j@expr,l@expr",
    );
    check(
        "SELECT sum(x) FILTER (WHERE x > (TABLE a)) OVER (PARTITION BY (TABLE b) ORDER BY (TABLE c)) FROM d LIMIT (TABLE e)",
        "rows+ of a@expr,b@expr,c@expr,d,e@expr calls sum",
    );
    check("SELECT x[(TABLE a)] FROM f((TABLE b)) x(x)", "rows of a@expr,b@expr calls f whole-row");
    check(
        "SELECT 1 FROM xmltable('/r' PASSING (TABLE a) COLUMNS c int PATH 'c' DEFAULT (TABLE b))",
        "rows of a@expr,b@expr calls xmltable",
    );
    check("SELECT 1 GROUP BY GROUPING SETS ((a, (TABLE b)), ())", "aggregate of b@expr");
    check("VALUES ((TABLE a))", "constant of a@expr");
    check("SELECT xmlelement(name n, xmlattributes((TABLE a) AS b), (TABLE c))", "constant of a@expr,c@expr calls xml");
}

#[test]
fn rows_used_as_values_are_noticed() {
    for sql in [
        "SELECT u FROM users u",
        "SELECT users FROM public.users",
        "SELECT row_to_json(u) FROM users u",
        "SELECT row_to_json(u.*) FROM users u",
        "SELECT (u).email FROM users u",
        "SELECT (u.*)::text FROM users u",
        "SELECT id FROM users u WHERE u IS NOT NULL",
        "SELECT array(SELECT u FROM users u)",
        "SELECT x FROM (SELECT 1) x",
    ] {
        assert!(told(sql).contains("whole-row"), "{sql}: {}", told(sql));
    }
    for sql in ["SELECT u.* FROM users u", "SELECT *, email FROM users u", "SELECT count(*) FROM users u"] {
        assert!(!told(sql).contains("whole-row"), "{sql}");
    }
}

#[track_caller]
fn check_uses(sql: &str, expected: &str) {
    let reading = read(sql).expect("it can be read");
    let [Statement::Read(read)] = reading.statements.as_slice() else { panic!("not a read: {sql}") };
    let values: Vec<String> = read.uses.values.iter().map(|parts| parts.join(".")).collect();
    let pair = |(one, other): &(Vec<String>, Vec<String>)| format!("{}={}", one.join("."), other.join("."));
    let equalities: Vec<String> = read.uses.equalities.iter().map(pair).collect();
    let mut told = format!("[{}] [{}]", values.join(" "), equalities.join(" "));
    told.push_str(if read.uses.positions { " positions" } else { "" });
    told.push_str(if read.uses.natural { " natural" } else { "" });
    assert_eq!(told, expected, "{sql}");
}

#[test]
fn what_columns_are_used_for_is_told_from_showing_them() {
    check_uses("SELECT a, u.b, u.* FROM u", "[] []");
    check_uses("SELECT a AS x FROM u ORDER BY x", "[x] []");
    check_uses("SELECT a FROM u ORDER BY 1", "[] [] positions");
    check_uses("SELECT a + 1, b::text, f(c) FROM u", "[a b c] []");
    check_uses("SELECT a FROM u WHERE a = 17", "[a] []");
    check_uses("SELECT a FROM u WHERE 17 = a", "[a] []");
    check_uses("SELECT a FROM u WHERE a IS NULL", "[] []");
    check_uses("SELECT a FROM u WHERE (a + 1) IS NULL", "[a] []");
    check_uses("SELECT u.a FROM u JOIN v ON u.a = v.b", "[] [u.a=v.b]");
    check_uses("SELECT u.a FROM u JOIN v ON u.a < v.b", "[u.a v.b] []");
    check_uses("SELECT u.a FROM u JOIN v ON u.a OPERATOR(x.=) v.b", "[u.a v.b] []");
    check_uses("SELECT u.a FROM u JOIN v USING (a)", "[a] []");
    check_uses("SELECT u.a FROM u NATURAL JOIN v", "[] [] natural");
    check_uses("SELECT a FROM u WHERE a IN (1) AND b = ANY ('{1}')", "[a b] []");
    check_uses("SELECT a, rank() OVER (PARTITION BY b ORDER BY c) FROM u", "[b c] []");
    check_uses("SELECT a FROM u WHERE EXISTS (SELECT 1 FROM v WHERE v.x = u.a)", "[] [v.x=u.a]");
}

#[test]
fn whatever_changes_or_locks_rows_is_a_write() {
    check("INSERT INTO users (id) VALUES ($1) RETURNING *", "Insert users@target -> 1");
    check("INSERT INTO a SELECT * FROM b ON CONFLICT (id) DO NOTHING", "Insert a@target,b@sub -> 0 on-conflict");
    check("INSERT INTO a DEFAULT VALUES ON CONFLICT DO NOTHING", "Insert a@target -> 0 on-conflict");
    check("UPDATE a SET x = b.x FROM b WHERE a.id = b.id AND EXISTS (TABLE c)", "Update a@target,b,c@expr -> 0");
    check("UPDATE a SET (x, y) = (SELECT 1, 2 FROM b), z[1] = 2", "Update a@target,b@expr -> 0");
    check("DELETE FROM a USING b WHERE a.id = b.id RETURNING a.id, b.x", "Delete a@target,b -> 2");
    check(
        "MERGE INTO a USING b ON a.id = b.id WHEN MATCHED AND EXISTS (TABLE c) THEN UPDATE SET x = 1 WHEN NOT MATCHED THEN \
         INSERT VALUES (b.id)",
        "Merge a@target,b,c@expr -> 0",
    );
    check("SELECT * FROM a FOR UPDATE", "Lock a -> 1");
    check("SELECT * FROM (SELECT * FROM a FOR KEY SHARE) b", "Lock a@sub -> 1");
    check("WITH x AS (DELETE FROM a RETURNING *) SELECT * FROM x", "With a@target -> 1");
    check("WITH x AS (INSERT INTO a VALUES (1)) SELECT 1 FOR UPDATE", "With a@target -> 1");
    check(
        "DELETE FROM a WHERE CURRENT OF c",
        "unreadable: the statement uses `CurrentOfExpr`, which the gate does not know",
    );
}

#[test]
fn transactions_cursors_and_prepared_statements_are_read() {
    check(
        "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
        "Begin(TransactionModes { isolation: Some(\"repeatable read\"), read_only: Some(true), deferrable: None })",
    );
    check("START TRANSACTION", "Begin(TransactionModes { isolation: None, read_only: None, deferrable: None })");
    check("END; ABORT; COMMIT AND CHAIN", "Commit { chain: false }; Rollback { chain: false }; Commit { chain: true }");
    check("SAVEPOINT a; RELEASE a; ROLLBACK TO a", "Savepoint(\"a\"); Release(\"a\"); RollbackTo(\"a\")");
    check("PREPARE TRANSACTION 'x'", "refused two-phase commit");
    check("COMMIT PREPARED 'x'", "refused two-phase commit");
    check("DECLARE c CURSOR WITH HOLD FOR TABLE a", "declare c hold=true scroll=false binary=false: rows of a");
    check(
        "DECLARE c BINARY SCROLL CURSOR FOR SELECT x FROM a",
        "declare c hold=false scroll=true binary=true: rows+ of a",
    );
    check("DECLARE c CURSOR FOR SELECT * FROM a FOR UPDATE", "refused DECLARE");
    check("FETCH c", "fetch c moves=false count=Some(1) forward=true");
    check("FETCH ALL FROM c", "fetch c moves=false count=None forward=true");
    check("MOVE BACKWARD 5 IN c", "fetch c moves=true count=Some(5) forward=false");
    check("FETCH ABSOLUTE 7 c", "fetch c moves=false count=Some(7) forward=false");
    check("CLOSE c; CLOSE ALL", "close c; close all");
    check("PREPARE p(int) AS SELECT x FROM a WHERE y = $1", "prepare p(1): rows+ of a");
    check("PREPARE p AS DELETE FROM a", "prepare p(0): Delete a@target -> 0");
    check("EXECUTE p(1, '2'::text, -3, NULL, $1)", "execute p(5)");
    check("EXECUTE p(query_to_xml('TABLE a', true, true, ''))", "refused EXECUTE");
    check("DEALLOCATE p; DEALLOCATE ALL", "deallocate p; deallocate all");
}

#[test]
fn settings_are_read_by_a_name_in_lower_case() {
    check("SET Search_Path = a, 'b c'", "set search_path = a, b c");
    check("SET LOCAL statement_timeout TO 100", "set statement_timeout = 100 local");
    check("SET \"VIGIE.Purpose\" = 'fraud'", "set vigie.purpose = fraud");
    check("SET x TO DEFAULT", "set x = default");
    check("SET TIME ZONE 'UTC'", "set timezone = UTC");
    check("SET TIME ZONE INTERVAL '1' HOUR TO MINUTE", "refused SET");
    check("SET NAMES 'latin1'", "set client_encoding = latin1");
    check("RESET ALL; RESET Work_Mem", "reset all; reset work_mem");
    check("SHOW Work_Mem; SHOW ALL", "show work_mem; show all");
    check(
        "SET TRANSACTION READ WRITE",
        "set transaction TransactionModes { isolation: None, read_only: Some(false), deferrable: None } session=false",
    );
    check(
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "set transaction TransactionModes { isolation: Some(\"serializable\"), read_only: None, deferrable: None } session=true",
    );
    check("SET TRANSACTION SNAPSHOT '1'", "refused SET TRANSACTION SNAPSHOT");
}

/// Row 8 of the bypass list.
#[test]
fn nobody_becomes_somebody_else() {
    for sql in
        ["SET ROLE a", "SET LOCAL ROLE a", "RESET ROLE", "SET ROLE NONE", "SET role = 'a'", "SET \"ROLE\" TO 'a'"]
    {
        check(sql, "refused SET ROLE");
    }
    for sql in ["SET SESSION AUTHORIZATION a", "RESET SESSION AUTHORIZATION", "SET Session_Authorization = 'a'"] {
        check(sql, "refused SET SESSION AUTHORIZATION");
    }
}

/// Rows 4, 5, 6, 23 and 24 of the bypass list.
#[test]
fn what_is_never_let_through_is_refused_by_name() {
    check("DO $$ BEGIN RAISE NOTICE 'x'; END $$", "refused DO");
    check("CALL p()", "refused CALL");
    check("LISTEN a; NOTIFY a, 'x'; UNLISTEN *", "refused LISTEN; refused NOTIFY; refused UNLISTEN");
    check("COPY a TO PROGRAM 'cat'", "refused COPY PROGRAM");
    check("COPY a FROM '/etc/passwd'", "refused COPY with a file");
    check("COPY (SELECT 1) TO '/tmp/x'", "refused COPY with a file");
    check("COPY (DELETE FROM a RETURNING *) TO STDOUT", "refused COPY");
    check("LOAD 'x'", "refused LOAD");
    check("LOCK TABLE a", "refused LOCK");
    check("DISCARD ALL", "refused DISCARD ALL");
    check("CREATE TEMP TABLE a AS TABLE b", "refused CREATE TABLE AS");
    check("SELECT * INTO a FROM b", "refused SELECT INTO");
    check("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "refused CREATE FUNCTION");
    check(
        "CREATE OPERATOR <<< (leftarg = text, rightarg = text, function = f)",
        "refused CREATE AGGREGATE, OPERATOR or TYPE",
    );
    check("TRUNCATE a", "refused TRUNCATE");
    check("ALTER USER a SUPERUSER", "refused ALTER ROLE");
    check("GRANT SELECT ON a TO b", "refused GRANT or REVOKE");
    check("IMPORT FOREIGN SCHEMA a FROM SERVER b INTO c", "refused ImportForeignSchema");
    check("EXPLAIN CREATE TABLE a AS TABLE b", "refused EXPLAIN … CREATE TABLE AS");
    check("PREPARE p AS SELECT * INTO a FROM b", "refused PREPARE … SELECT INTO");
    check("EXPLAIN DECLARE c CURSOR FOR TABLE a", "refused EXPLAIN");
    check("EXPLAIN (SETTINGS) SELECT 1", "refused EXPLAIN");
}

/// Row 7 of the bypass list.
#[test]
fn an_explanation_that_runs_is_told_from_one_that_does_not() {
    check("EXPLAIN SELECT x FROM a", "explain analyze=false verbose=false: rows+ of a");
    check("EXPLAIN ANALYZE SELECT x FROM a", "explain analyze=true verbose=false: rows+ of a");
    check("EXPLAIN (ANALYZE, VERBOSE off) SELECT x FROM a", "explain analyze=true verbose=false: rows+ of a");
    check("EXPLAIN (ANALYZE false, VERBOSE 1) SELECT x FROM a", "explain analyze=false verbose=true: rows+ of a");
    check("EXPLAIN (ANALYZE true, ANALYZE false) SELECT x FROM a", "explain analyze=true verbose=false: rows+ of a");
    check("EXPLAIN ANALYZE EXECUTE p", "explain analyze=true verbose=false: execute p(0)");
}

/// Row 24 of the bypass list.
#[test]
fn copies_to_and_from_the_client_are_read() {
    check("COPY a (x, y) TO STDOUT", "copy out Text: a (x,y)");
    check("COPY a TO STDOUT (FORMAT csv, HEADER, DELIMITER ';', FORCE_QUOTE (x))", "copy out Csv: a ()");
    check("COPY (SELECT x FROM a) TO STDOUT WITH BINARY", "copy out Binary: rows+ of a");
    check("COPY a FROM STDIN WITH CSV HEADER", "copy in Csv: a@target ()");
    check("COPY a TO STDOUT (FORMAT 'json')", "refused COPY");
    check("COPY a TO STDOUT (ENCODING 'latin1')", "refused COPY");
    check("COPY a FROM STDIN WHERE x > 1", "refused COPY … WHERE");

    let sql = "COPY /* ( */ (SELECT ')' FROM (VALUES (1)) x) TO STDOUT (FORMAT csv)";
    let Statement::CopyOut { source: CopySource::Query { span, .. }, .. } = &read(sql).unwrap().statements[0] else {
        panic!("{sql}")
    };
    assert_eq!(&sql[span.start as usize..span.end as usize], "SELECT ')' FROM (VALUES (1)) x");
}

/// Rows 6, 10, 17, 19, 21 and 22 of the bypass list: what the gate needs to know to refuse them.
#[test]
fn what_the_gate_refuses_by_name_is_named() {
    let names = |sql: &str| match &read(sql).unwrap().statements[0] {
        Statement::Read(it) => it.names.clone(),
        other => panic!("{other:?}"),
    };
    let called = |sql: &str| names(sql).functions.iter().map(|it| it.name.clone()).collect::<Vec<_>>().join(" ");
    assert_eq!(called("SELECT query_to_xml('TABLE a', true, true, '')"), "query_to_xml");
    assert_eq!(called("SELECT * FROM pg_catalog.ts_stat('TABLE a')"), "ts_stat");
    assert_eq!(called("SELECT set_config('app.purpose', email, false) FROM users"), "set_config");
    assert_eq!(called("SELECT 1 WHERE 1 < ALL (SELECT lo_from_bytea(0, 'x'))"), "lo_from_bytea");
    assert_eq!(called("SELECT 1 FROM a ORDER BY pg_sleep(1) USING <"), "pg_sleep");
    assert_eq!(
        called("SELECT current_user, CURRENT_TIMESTAMP(3), least(a.b, c.d)"),
        "current_timestamp current_user least"
    );
    assert_eq!(called("SELECT (email).upper FROM users"), "upper");
    // `u.row_to_json` calls a function; only the catalog knows, so that the name is among the columns.
    assert!(
        names("SELECT u.row_to_json FROM users u").columns.contains(&vec!["u".to_owned(), "row_to_json".to_owned()])
    );
    let found = names("SELECT 1 OPERATOR(evil.+) 2, 'users'::regclass, a <-> b FROM t WHERE c BETWEEN 1 AND 2");
    let operators: Vec<_> =
        found.operators.iter().map(|it| (it.schema.as_deref().unwrap_or(""), it.name.as_str())).collect();
    assert_eq!(operators, [("", "<->"), ("", "<="), ("", ">="), ("evil", "+")]);
    assert_eq!(found.types.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["regclass"]);
    assert!(names("SELECT 1 FROM a JOIN b USING (secret)").columns.contains(&vec!["secret".to_owned()]));
    // A self-join names the relation twice.
    check("SELECT a.id, b.name FROM users a, users b", "rows+ of users,users");
}

#[test]
fn odd_statements_are_read_as_postgresql_reads_them() {
    check("SELECT 'a'\n'b'", "constant of nothing");
    check("SELECT 'a' 'b'", "unreadable: syntax");
    check("SELECT 1 OPERATOR(pg_catalog.+) 1", "constant of nothing");
    check("SECURITY LABEL ON TABLE a IS 'x'", "refused SECURITY LABEL");
    check("SELECT U&'d\\0061t' FROM U&\"us!0065rs\" UESCAPE '!'", "rows+ of users");
    check("SELECT $tag$ FROM a; DROP TABLE b $tag$ FROM c", "rows+ of c");
    check("SELECT 1;;SELECT 2;", "constant of nothing; constant of nothing");
    check(
        "SELECT * FROM other.public.users",
        "unreadable: the statement uses `a relation of a named database`, which the gate does not know",
    );
    check("SELECT $65536", "unreadable: the statement uses `a parameter above $65535`, which the gate does not know");
    check(
        "SELECT json_object('a': (TABLE b))",
        "unreadable: the statement uses `JsonObjectConstructor`, which the gate does not know",
    );
    check("SELECT x FROM a\0; DROP TABLE b", "unreadable: syntax");
}

#[test]
fn long_and_deep_texts_are_unreadable_rather_than_fatal() {
    let long = format!("SELECT {}", "x".repeat(MAX_STATEMENT_BYTES));
    assert_eq!(read(&long), Err(Unreadable::TooLong { n_bytes: 7 + MAX_STATEMENT_BYTES as u64 }));
    assert_eq!(read(&format!("SELECT 1{}", "+1".repeat(30_000))), Err(Unreadable::TooDeep));
    assert_eq!(read(&format!("SELECT 1 {}", "/*".repeat(30_000))), Err(Unreadable::TooDeep));
    assert!(read(&"SELECT /* x */ 1;".repeat(200)).is_ok());
    let Err(Unreadable::Syntax { message }) = read(&format!("SELECT '{}", "é".repeat(10_000))) else {
        panic!("it is open")
    };
    assert!(message.len() <= 200, "{message}");
    assert!(read(&format!("SELECT 1{}", "+1".repeat(40))).is_ok());
    assert!(read(&format!("SELECT 1 WHERE true{}", " AND true".repeat(5_000))).is_ok());
    assert!(read(&format!("SELECT {}1{}", "(".repeat(2_000), ")".repeat(2_000))).is_ok());
}

#[test]
fn spans_show_where_each_statement_stands() {
    let sql = "SELECT 1; /* x */ BEGIN ;";
    let spans: Vec<&str> =
        read(sql).unwrap().spans.iter().map(|it| sql[it.start as usize..it.end as usize].trim()).collect();
    assert_eq!(spans, ["SELECT 1", "BEGIN"]);
}

fn appended(sql: &str, columns: &[(usize, &str)]) -> Option<String> {
    match &read(sql).unwrap().statements[0] {
        Statement::Read(it) => it.with_columns_appended(sql, columns).map(|it| it.sql),
        Statement::Declare { read, .. } => read.with_columns_appended(sql, columns).map(|it| it.sql),
        other => panic!("{other:?}"),
    }
}

fn check_appended(sql: &str, expected: &str) {
    let id = [(0, "id")];
    assert_eq!(appended(sql, &id).as_deref(), Some(expected), "{sql}");
}

#[test]
fn columns_are_added_before_the_from_of_the_outermost_query() {
    check_appended("SELECT a FROM users", "SELECT a , \"users\".\"id\" AS \"vigie 1\" FROM users");
    check_appended(
        "select a from s.users order by 1 limit 2",
        "select a , \"s\".\"users\".\"id\" AS \"vigie 1\" from s.users order by 1 limit 2",
    );
    check_appended(
        "SELECT * FROM users AS \"U \"\"x\"",
        "SELECT * , \"U \"\"x\".\"id\" AS \"vigie 1\" FROM users AS \"U \"\"x\"",
    );
    check_appended(
        "SELECT 'x FROM y', extract(year FROM d), trim(both FROM e), a IS DISTINCT FROM b FROM u",
        "SELECT 'x FROM y', extract(year FROM d), trim(both FROM e), a IS DISTINCT FROM b , \"u\".\"id\" AS \"vigie 1\" FROM u",
    );
    check_appended(
        "SELECT a IS NOT DISTINCT FROM b FROM u",
        "SELECT a IS NOT DISTINCT FROM b , \"u\".\"id\" AS \"vigie 1\" FROM u",
    );
    check_appended("SELECT a AS \"from\" FROM u", "SELECT a AS \"from\" , \"u\".\"id\" AS \"vigie 1\" FROM u");
    check_appended("SELECT a AS from FROM u", "SELECT a AS from , \"u\".\"id\" AS \"vigie 1\" FROM u");
    check_appended("SELECT a AS as FROM u", "SELECT a AS as , \"u\".\"id\" AS \"vigie 1\" FROM u");
    check_appended("SELECT u.from FROM u", "SELECT u.from , \"u\".\"id\" AS \"vigie 1\" FROM u");
    check_appended("SELECT a AS distinct FROM u", "SELECT a AS distinct , \"u\".\"id\" AS \"vigie 1\" FROM u");
    check_appended("SELECT a is FROM u", "SELECT a is , \"u\".\"id\" AS \"vigie 1\" FROM u");
    check_appended("SELECT a -- FROM x\nFROM u", "SELECT a -- FROM x\n, \"u\".\"id\" AS \"vigie 1\" FROM u");
    check_appended("SELECT a/* FROM x */FROM u", "SELECT a/* FROM x */, \"u\".\"id\" AS \"vigie 1\" FROM u");
    check_appended(
        "(SELECT x[1], substring(a from 2) FROM u)",
        "(SELECT x[1], substring(a from 2) , \"u\".\"id\" AS \"vigie 1\" FROM u)",
    );
    check_appended("SELECT é, 'ü' FROM u", "SELECT é, 'ü' , \"u\".\"id\" AS \"vigie 1\" FROM u");
    check_appended(
        "DECLARE c CURSOR FOR SELECT a FROM u",
        "DECLARE c CURSOR FOR SELECT a , \"u\".\"id\" AS \"vigie 1\" FROM u",
    );
    assert_eq!(
        appended("WITH x AS (SELECT a FROM b) SELECT u.a, v.b FROM u JOIN v USING (id), x", &[(1, "id"), (2, "su\"b")])
            .as_deref(),
        Some(
            "WITH x AS (SELECT a FROM b) SELECT u.a, v.b , \"u\".\"id\" AS \"vigie 1\" , \"v\".\"su\"\"b\" AS \"vigie 2\" FROM u \
             JOIN v USING (id), x"
        )
    );
}

#[test]
fn columns_are_not_added_where_they_could_mean_something_else() {
    for sql in [
        "SELECT DISTINCT a FROM users",
        "SELECT count(*) FROM users",
        "SELECT a FROM users UNION SELECT a FROM users",
        "TABLE users",
        "SELECT FROM users",
        "SELECT a FROM (SELECT * FROM users) users",
        "SELECT a FROM users u(b, c)",
        "SELECT a FROM (users JOIN visits USING (id)) AS x",
        "SELECT a FROM users, other.users",
        "WITH x AS (SELECT * FROM users) SELECT a FROM x",
        "SELECT (SELECT a FROM users)",
    ] {
        assert_eq!(appended(sql, &[(0, "id")]), None, "{sql}");
    }
    assert_eq!(appended("SELECT a FROM users", &[(1, "id")]), None);
}

fn with_prefixes(sql: &str) -> Option<String> {
    match &read(sql).unwrap().statements[0] {
        Statement::Read(it) => it.with_prefix_operators(sql),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_like_of_a_plain_prefix_becomes_the_operator_for_it() {
    for (sql, expected) in [
        ("SELECT a FROM u WHERE b LIKE 'abc%'", Some("SELECT a FROM u WHERE b  ^@  'abc'")),
        ("SELECT a FROM u WHERE b like'it''s%'AND c", Some("SELECT a FROM u WHERE b  ^@ 'it''s'AND c")),
        (
            "SELECT a FROM u WHERE b||c LIKE 'a%' OR NOT d = e LIKE 'x%'",
            Some("SELECT a FROM u WHERE b||c  ^@  'a' OR NOT d = e  ^@  'x'"),
        ),
        ("SELECT a FROM u WHERE b NOT LIKE 'abc%'", None),
        ("SELECT a FROM u WHERE b ILIKE 'abc%'", None),
        ("SELECT a FROM u WHERE b LIKE '%'", None),
        ("SELECT a FROM u WHERE b LIKE 'abc'", None),
        ("SELECT a FROM u WHERE b LIKE 'a_c%'", None),
        ("SELECT a FROM u WHERE b LIKE 'a%c%'", None),
        ("SELECT a FROM u WHERE b LIKE 'a\\%'", None),
        ("SELECT a FROM u WHERE b LIKE 'abc %'", None),
        ("SELECT a FROM u WHERE b LIKE E'abc%'", None),
        ("SELECT a FROM u WHERE b LIKE 'abc%' ESCAPE 'b'", None),
        ("SELECT a FROM u WHERE b LIKE $1", None),
        ("SELECT a FROM u WHERE b LIKE ANY (array['abc%'])", None),
    ] {
        assert_eq!(with_prefixes(sql).as_deref(), expected, "{sql}");
    }
}

/// Shows a skeleton with a letter in braces for each literal.
fn shown(sql: &str) -> String {
    let key = String::from_utf8(skeleton(sql).unwrap().key).unwrap();
    let mut parts = key.split('\0');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| format!("{all}{{{}}}{}", &part[..1], &part[1..]))
}

#[test]
fn a_skeleton_leaves_out_plain_literals_only() {
    for (sql, expected) in [
        ("SELECT a1 FROM t2 WHERE b=12 AND c>'x''y'AND d<1.5", "SELECT a1 FROM t2 WHERE b={i} AND c>{s}AND d<{f}"),
        ("SELECT -1, $1, a[2], 1234567890", "SELECT -{i}, $1, a[{i}], {l}"),
        ("SELECT date'2026-01-01', 'a'\n'b'", "SELECT date{s}, {s}\n{s}"),
        (
            "SELECT \"5 ' 5\", 5 -- 5 '\n, 6 /* 7 /* ' */ 8 */, 9",
            "SELECT \"5 ' 5\", {i} -- 5 '\n, {i} /* 7 /* ' */ 8 */, {i}",
        ),
        ("SELECT é1, 1", "SELECT é1, {i}"),
        ("SELECT 1*--2\n3", "SELECT {i}*--2\n{i}"),
        // From what takes thought on, all stays.
        ("SELECT 1, E'2', 3", "SELECT {i}, E'2', 3"),
        ("SELECT 1, U&\"d!0061t\" UESCAPE '!', 3", "SELECT {i}, U&\"d!0061t\" UESCAPE '!', 3"),
        ("SELECT 1, '\\', 3", "SELECT {i}, '\\', 3"),
        ("SELECT 1, $$2$$, 3", "SELECT {i}, $$2$$, 3"),
        ("SELECT 1, $a$ ' $a$, 3", "SELECT {i}, $a$ ' $a$, 3"),
        ("SELECT 1, 2e3, 4", "SELECT {i}, 2e3, 4"),
        ("SELECT 1, 0x2, 3", "SELECT {i}, 0x2, 3"),
        ("SELECT 1, 2_000, 3", "SELECT {i}, 2_000, 3"),
        ("SELECT 1, .2, 3", "SELECT {i}, .2, 3"),
        ("SELECT 1, 2., 3", "SELECT {i}, 2., 3"),
        ("SELECT 1, x'2', 3", "SELECT {i}, x'2', 3"),
        ("SELECT 1, 'open", "SELECT {i}, 'open"),
        ("SELECT 1, \"open", "SELECT {i}, \"open"),
    ] {
        assert_eq!(shown(sql), expected, "{sql}");
    }
    for sql in ["a\0", "'\0'", "\"\0", "--\0", "/*\0", "E'\0'", "$$\0"] {
        assert_eq!(skeleton(sql), None, "{sql:?}");
    }
}

#[test]
fn a_change_is_carried_to_another_text_of_the_same_skeleton() {
    let (one, other) = ("SELECT 'x', a FROM u WHERE b = 1", "SELECT 'longer', a FROM u WHERE b = 100");
    let (one_skeleton, other_skeleton) = (skeleton(one).unwrap(), skeleton(other).unwrap());
    let Statement::Read(it) = &read(one).unwrap().statements[0] else { panic!("{one}") };
    let edits = it.with_columns_appended(one, &[(0, "id")]).unwrap().edits;
    let carried = carry(&edits, &one_skeleton, &other_skeleton).unwrap();
    let expected = "SELECT 'longer', a , \"u\".\"id\" AS \"vigie 1\" FROM u WHERE b = 100";
    assert_eq!(edit::apply(other, &carried).as_deref(), Some(expected));

    let inside = Edit { at: 9, n_removed: 1, inserted: String::new() };
    assert_eq!(carry(&[inside], &one_skeleton, &other_skeleton), None);
    assert_eq!(carry(&edits, &one_skeleton, &skeleton("SELECT 1").unwrap()), None);
}
