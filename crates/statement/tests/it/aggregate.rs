//! Questions of statistics: what is allowed and rebuilt, and what is refused with which words.

use vigie_statement::aggregate::{self, AggregateOutput, AggregateQuery, MeasureKind, NotAggregate};

/// Writes a question as a gateway would, without what it adds.
fn rebuilt(it: &AggregateQuery) -> String {
    let output = |output: &AggregateOutput| match output {
        AggregateOutput::Dimension(index) => it.dimensions[*index as usize].expression.clone(),
        AggregateOutput::Measure(index) => {
            let measure = &it.measures[*index as usize];
            let value = measure.argument.clone().unwrap_or_default();
            match measure.kind {
                MeasureKind::Count => "count(*)".to_owned(),
                MeasureKind::CountOf => format!("count({value})"),
                MeasureKind::CountDistinct => format!("count(DISTINCT {value})"),
                MeasureKind::Sum => format!("sum({value})"),
                MeasureKind::Average => format!("avg({value})"),
                MeasureKind::Deviation => format!("stddev({value})"),
                MeasureKind::DeviationOfPopulation => format!("stddev_pop({value})"),
                MeasureKind::Variance => format!("variance({value})"),
                MeasureKind::VarianceOfPopulation => format!("var_pop({value})"),
            }
        }
    };
    let mut sql = format!("SELECT {} FROM {}", it.outputs.iter().map(output).collect::<Vec<_>>().join(", "), it.from);
    let condition = it.condition.as_ref().map(|it| format!(" WHERE {it}"));
    let groups: Vec<_> = it.dimensions.iter().map(|it| it.expression.as_str()).collect();
    let groups = (!groups.is_empty()).then(|| format!(" GROUP BY {}", groups.join(", ")));
    let direction = |descending: bool| if descending { " DESC" } else { "" };
    let terms: Vec<_> = it.order_by.iter().map(|it| format!("{}{}", it.output + 1, direction(it.descending))).collect();
    let order = (!terms.is_empty()).then(|| format!(" ORDER BY {}", terms.join(", ")));
    let limit = it.limit.map(|it| format!(" LIMIT {it}"));
    sql.extend([condition, groups, order, limit].into_iter().flatten());
    sql
}

fn check(sql: &str, expected: &str) {
    let found = aggregate::read(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let sql_again = rebuilt(&found);
    assert_eq!(sql_again, expected, "{sql}");
    // What was rebuilt is allowed, and rebuilt as itself.
    let again = aggregate::read(&sql_again).unwrap_or_else(|error| panic!("{sql_again}: {error}"));
    assert_eq!((again.n_parameters, &again.relations), (found.n_parameters, &found.relations), "{sql_again}");
}

#[test]
fn questions_of_statistics_are_taken_apart_and_rebuilt() {
    check("select count(*) from users", "SELECT count(*) FROM users");
    check("SELECT country, count(*) FROM users GROUP BY 1", "SELECT country, count(*) FROM users GROUP BY country");
    check(
        "SELECT u.country AS c, avg(u.age) a, stddev(u.age) FROM users u WHERE age > 17 AND country IN ('DE', 'FR') GROUP BY c \
         ORDER BY a DESC, 1 LIMIT 10",
        "SELECT u.country, avg(u.age), stddev(u.age) FROM users u WHERE (age > 17 AND country IN ('DE', 'FR')) GROUP BY u.country \
         ORDER BY 2 DESC, 1 LIMIT 10",
    );
    check(
        "SELECT date_trunc('day', at), width_bucket(amount, 0, 100, 10), count(DISTINCT subject) FROM a.visits v LEFT JOIN users \
         u ON u.id = v.subject AND u.x = v.x WHERE at >= $1::date - 7 GROUP BY 1, 2",
        "SELECT (date_trunc('day', at)), (width_bucket(amount, 0, 100, 10)), count(DISTINCT subject) FROM a.visits v LEFT JOIN \
         users u ON u.id = v.subject AND u.x = v.x WHERE (at >= $1::date - 7) GROUP BY (date_trunc('day', at)), \
         (width_bucket(amount, 0, 100, 10))",
    );
    check(
        "SELECT extract(year FROM born), sum(spent / 100) FROM users JOIN visits USING (id) WHERE NOT (a IS NULL OR b BETWEEN 1 \
         AND 2) AND name LIKE 'A%' GROUP BY extract(year FROM born) ORDER BY extract(year FROM born)",
        "SELECT (extract ('year' FROM born)), sum((spent / 100)) FROM users JOIN visits USING (id) WHERE (NOT (a IS NULL OR b \
         BETWEEN 1 AND 2) AND name LIKE 'A%') GROUP BY (extract ('year' FROM born)) ORDER BY 1",
    );
    check(
        "SELECT age / 10 * 10, count(*) FROM users GROUP BY age / 10 * 10",
        "SELECT (age / 10 * 10), count(*) FROM users GROUP BY (age / 10 * 10)",
    );
}

fn refused(sql: &str) -> String {
    match aggregate::read(sql) {
        Ok(found) => panic!("{sql} was allowed: {}", rebuilt(&found)),
        Err(NotAggregate::Refused { what, help }) => {
            assert!(!help.is_empty());
            what
        }
        Err(NotAggregate::Unreadable(error)) => panic!("{sql}: {error}"),
    }
}

/// Row 20 of the bypass list.
#[test]
fn what_could_name_or_single_out_a_person_is_refused() {
    for (sql, what) in [
        ("SELECT id FROM users", "it has no measure"),
        ("SELECT id, count(*) FROM users", "`id` is neither a measure nor in GROUP BY"),
        ("SELECT count(*) FROM users GROUP BY id", "GROUP BY names what does not come out"),
        ("SELECT *, count(*) FROM users GROUP BY 1", "a value is something else than a column"),
        ("SELECT max(age) FROM users", "`max` is not part of it"),
        ("SELECT country, mode() WITHIN GROUP (ORDER BY name) FROM users GROUP BY 1", "`mode` is not part of it"),
        ("SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY age) FROM users", "`percentile_disc` is not part of it"),
        ("SELECT array_agg(name) FROM users", "`array_agg` is not part of it"),
        ("SELECT string_agg(name, ',') FROM users", "`string_agg` is not part of it"),
        ("SELECT public.count(name) FROM users", "a function of a schema"),
        (
            "SELECT count(*) FILTER (WHERE id = 5) FROM users",
            "FILTER tells people apart by the difference of two results",
        ),
        ("SELECT count(*) OVER () FROM users", "window functions return one row per person"),
        ("SELECT sum(DISTINCT age) FROM users", "`sum(DISTINCT …)` weighs people unequally"),
        ("SELECT sum(1 / (age - 41)) FROM users", "arithmetic of something else than a column and a constant"),
        ("SELECT sum(age * weight) FROM users", "arithmetic of something else than a column and a constant"),
        ("SELECT sum(CASE WHEN id = 5 THEN age END) FROM users", "CASE singles out people"),
        ("SELECT sum((SELECT 1)) FROM users", "subqueries are not part of it"),
        ("SELECT sum(email::int) FROM users HAVING count(*) > 1", "HAVING singles out groups"),
        ("SELECT DISTINCT count(*) FROM users", "SELECT DISTINCT is not part of it"),
        ("SELECT count(*) FROM users UNION SELECT 1", "UNION, INTERSECT and EXCEPT are not part of it"),
        ("WITH a AS (TABLE users) SELECT count(*) FROM a", "WITH is not part of it"),
        ("SELECT count(*) FROM (TABLE users) u", "FROM holds something else than views"),
        ("SELECT count(*) FROM users, visits", "it needs one view in FROM, and JOIN … ON for others"),
        ("SELECT count(*) FROM users CROSS JOIN visits", "CROSS JOIN multiplies people"),
        ("SELECT count(*) FROM users NATURAL JOIN visits", "NATURAL joins and names for joins are not part of it"),
        ("SELECT count(*) FROM users u JOIN visits v ON u.id > v.id", "a join is not on equal columns"),
        ("SELECT count(*) FROM users u JOIN visits v ON u.id = 5", "a join is not on equal columns"),
        ("SELECT count(*) FROM users FULL JOIN visits USING (id)", "only inner and left joins"),
        ("SELECT count(*) FROM generate_series(1, 2)", "FROM holds something else than views"),
        ("SELECT count(*) FROM users TABLESAMPLE system (1)", "FROM holds something else than views"),
        ("SELECT count(*) FROM users u(a, b)", "columns are given other names in FROM"),
        (
            "SELECT count(*) FROM users WHERE id IN (SELECT 1)",
            "a condition compares something else than a column and a constant",
        ),
        ("SELECT count(*) FROM users WHERE f(id)", "a condition compares something else than a column and a constant"),
        ("SELECT count(*) FROM users WHERE f(id) = 1", "`f` is not part of it"),
        ("SELECT count(*) FROM users WHERE name ~ 'a'", "a condition compares in a way that is not part of it"),
        ("SELECT count(*) FROM users WHERE name LIKE '%a'", "a condition compares in a way that is not part of it"),
        (
            "SELECT count(*) FROM users WHERE id OPERATOR(evil.=) 5",
            "a condition compares in a way that is not part of it",
        ),
        (
            "SELECT count(*) FROM users WHERE 1 / (id - 5) = 1",
            "arithmetic of something else than a column and a constant",
        ),
        ("SELECT lower(name), count(*) FROM users GROUP BY 1", "`lower` is not part of it"),
        ("SELECT round(a, b), count(*) FROM users GROUP BY 1", "`round` takes one column and constants"),
        ("SELECT a::regclass, count(*) FROM users GROUP BY 1", "a cast to a type that is not part of it"),
        (
            "SELECT country AS age, age AS x, count(*) FROM users GROUP BY age, x",
            "`age` is both a column and the name of another output",
        ),
        (
            "SELECT country, count(*) FROM users GROUP BY ROLLUP (country)",
            "ROLLUP, CUBE and GROUPING SETS are not part of it",
        ),
        ("SELECT country, count(*) FROM users GROUP BY country ORDER BY age", "ORDER BY names what does not come out"),
        ("SELECT country, count(*) FROM users GROUP BY country ORDER BY 3", "ORDER BY names what does not come out"),
        (
            "SELECT country, count(*) FROM users GROUP BY country ORDER BY 1 USING <",
            "ORDER BY … USING is not part of it",
        ),
        ("SELECT count(*) FROM users LIMIT 1 OFFSET 2", "OFFSET and WITH TIES are not part of it"),
        ("SELECT count(*) FROM users LIMIT (SELECT 1)", "LIMIT is not a number"),
        ("SELECT count(*) FROM users; SELECT count(*) FROM users", "one statement at a time"),
        ("SELECT count(*) FROM users FOR UPDATE", "INTO and FOR UPDATE are not part of it"),
        ("DELETE FROM users", "only SELECT"),
    ] {
        assert_eq!(refused(sql), what, "{sql}");
    }
    assert!(matches!(aggregate::read("SELECT"), Err(NotAggregate::Refused { .. })));
    assert!(matches!(aggregate::read("SELEC"), Err(NotAggregate::Unreadable(_))));
}
