//! Random statements, of which is known what they name, and which can be printed again with other literals.

use proptest::{prelude::*, strategy::Union};

/// A piece of a statement.
#[derive(Debug, Clone)]
pub enum Piece {
    Text(String),
    /// A literal where any number may stand.
    Number,
    /// A literal where any string may stand.
    String,
}

/// A statement, or a part of one.
#[derive(Debug, Clone, Default)]
pub struct Sql {
    pub pieces: Vec<Piece>,
    /// The relations it names, each as often as it does.
    pub relations: Vec<String>,
}

impl Sql {
    fn text(text: impl Into<String>) -> Sql {
        Sql { pieces: vec![Piece::Text(text.into())], relations: vec![] }
    }

    fn relation(name: &str, written: String) -> Sql {
        Sql { pieces: vec![Piece::Text(written)], relations: vec![name.to_owned()] }
    }

    fn joined(parts: impl IntoIterator<Item = Sql>) -> Sql {
        parts.into_iter().fold(Sql::default(), |mut all, part| {
            all.pieces.extend(part.pieces);
            all.relations.extend(part.relations);
            all
        })
    }

    fn list(parts: Vec<Sql>, between: &str) -> Sql {
        let parts = parts.into_iter().enumerate();
        Sql::joined(parts.flat_map(|(index, part)| [Sql::text(if index == 0 { "" } else { between }), part]))
    }

    fn in_parentheses(self) -> Sql {
        Sql::joined([Sql::text("("), self, Sql::text(")")])
    }

    /// Prints it with literals of a choice, which is repeated when there are more places for one.
    pub fn print(&self, literals: &[(u32, String)]) -> String {
        let mut literals = literals.iter().cycle();
        let mut next = || literals.next().expect("there is a literal");
        let print = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Number => next().0.to_string(),
            Piece::String => format!("'{}'", next().1.replace('\'', "''")),
        };
        self.pieces.iter().map(print).collect()
    }
}

/// Literals to print with. Numbers stay below ten digits, where PostgreSQL may want a small one.
pub fn literals() -> impl Strategy<Value = Vec<(u32, String)>> {
    prop::collection::vec((0..1_000_000_000_u32, "[a-z%'_ é.;-]{0,8}"), 1..5)
}

/// A query whose select list can get another column, as `users` is joined to the rest.
pub fn query_of_users() -> impl Strategy<Value = Sql> {
    query(3, Just(Sql::relation("users", "users".to_owned())).boxed(), false)
}

/// A query of any shape.
pub fn any_query() -> impl Strategy<Value = Sql> {
    query(3, from(2), true)
}

fn column() -> impl Strategy<Value = Sql> {
    prop::sample::select(vec!["a", "t.b", "\"from\"", "x.\"FROM ' y\"", "é", "users.from", "s.t.c", "$1"])
        .prop_map(Sql::text)
}

fn literal() -> BoxedStrategy<Sql> {
    let piece = |piece: Piece| Just(Sql { pieces: vec![piece], relations: vec![] });
    prop_oneof![
        3 => piece(Piece::Number),
        3 => piece(Piece::String),
        1 => prop::sample::select(vec!["NULL", "true", "1.5", ".5e3", "0x1F", "E'\\'from'", "$$ FROM '$$", "U&'x'", "B'01'", "'a'\n'b'"])
            .prop_map(Sql::text)
    ]
    .boxed()
}

fn expression(depth: u32) -> BoxedStrategy<Sql> {
    if depth == 0 {
        return prop_oneof![column().boxed(), literal()].boxed();
    }
    let inner = || expression(depth - 1);
    let around = |before: &'static str, after: &'static str| {
        inner().prop_map(move |it| Sql::joined([Sql::text(before), it, Sql::text(after)])).boxed()
    };
    let between = |operator: &'static str| {
        (inner(), inner())
            .prop_map(move |(left, right)| Sql::joined([left, Sql::text(operator), right]).in_parentheses())
            .boxed()
    };
    Union::new([
        column().boxed(),
        literal(),
        around("f(", ")"),
        around("extract(year FROM ", ")"),
        around("trim(both FROM ", ")"),
        around("substring(", " from 2 for 3)"),
        around("CAST(", " AS numeric(10, 2))"),
        around("(", " /* FROM ' */)"),
        around("(", " -- FROM ' $$\n)"),
        around("CASE WHEN ", " IS NULL THEN 1 END"),
        around("count(*) FILTER (WHERE ", " = 1) OVER ()"),
        around("array[", ", 2]"),
        around("(", " LIKE 'abc%')"),
        between(" + "),
        between("||"),
        between(" = "),
        between(" IS DISTINCT FROM "),
        between(" IS NOT DISTINCT FROM "),
        between(" AND "),
        between(" IN "),
        query(depth - 1, from(0), true).prop_map(Sql::in_parentheses).boxed(),
        query(depth - 1, from(0), true).prop_map(|it| Sql::joined([Sql::text("EXISTS "), it.in_parentheses()])).boxed(),
    ])
    .boxed()
}

fn from(depth: u32) -> BoxedStrategy<Sql> {
    let table = (0..6_u32, prop::sample::select(vec!["", "s."]), prop::sample::select(vec![" ", " AS q", " r"]))
        .prop_map(|(number, schema, alias)| Sql::relation(&format!("t{number}"), format!("{schema}t{number}{alias}")));
    if depth == 0 {
        return table.boxed();
    }
    let inner = move || from(depth - 1);
    prop_oneof![
        3 => table,
        2 => (inner(), inner()).prop_map(|(left, right)| Sql::joined([left, Sql::text(" LEFT JOIN "), right, Sql::text(" USING (id) ")])),
        1 => query(depth - 1, inner(), true).prop_map(|it| Sql::joined([it.in_parentheses(), Sql::text(" AS sub")])),
        1 => inner().prop_map(|it| Sql::joined([Sql::text("generate_series(1, 2) g CROSS JOIN "), it])),
    ]
    .boxed()
}

fn query(depth: u32, first: BoxedStrategy<Sql>, any_shape: bool) -> BoxedStrategy<Sql> {
    let label = prop::sample::select(vec!["", " AS x", " AS from", " AS \"distinct\"", " AS distinct", " y"]);
    let output = (expression(depth), label).prop_map(|(value, label)| Sql::joined([value, Sql::text(label)]));
    let head =
        if any_shape { vec!["SELECT ", "SELECT DISTINCT ", "select ALL "] } else { vec!["SELECT ", "select ALL "] };
    let tail = if any_shape {
        vec!["", " GROUP BY 1", " ORDER BY 1", " LIMIT 5", " UNION SELECT 1 ", " HAVING true"]
    } else {
        vec!["", " ORDER BY 1 LIMIT 5", " ORDER BY a DESC OFFSET 1", ";"]
    };
    (
        prop::sample::select(head),
        prop::collection::vec(output, 1..4),
        prop::sample::select(vec![" FROM ", "\nfrom ", "/**/FROM\t"]),
        first,
        prop::option::of(from(depth.min(1))),
        prop::option::of(expression(depth.min(2))),
        prop::sample::select(tail),
    )
        .prop_map(|(head, outputs, from, first, second, condition, tail)| {
            let second = second.map(|it| Sql::joined([Sql::text(" CROSS JOIN "), it]));
            let condition = condition.map(|it| Sql::joined([Sql::text(" WHERE "), it]));
            let parts = [
                Some(Sql::text(head)),
                Some(Sql::list(outputs, ", ")),
                Some(Sql::text(from)),
                Some(first),
                second,
                condition,
            ];
            Sql::joined(parts.into_iter().flatten().chain([Sql::text(tail)]))
        })
        .boxed()
}
