//! The grammar of questions that a context with rights to statistics only may ask, and what is needed to rebuild them.
//!
//! ```text
//! SELECT {dimension | measure}, … FROM view [{INNER | LEFT} JOIN view ON a.x = b.y [AND …]]…
//!     [WHERE condition] [GROUP BY dimension, …] [ORDER BY {name | position | dimension | measure} [ASC | DESC]] [LIMIT n]
//!
//! measure   = count(*) | {count | sum | avg | stddev[_pop|_samp] | variance | var_pop | var_samp}(value) | count(DISTINCT value)
//! dimension = value | {date_trunc | date_part | extract | width_bucket | floor | ceil | round | trunc}(value, constant, …)
//! value     = column | value {+ | - | * | /} constant | value::type
//! condition = value {= | <> | < | <= | > | >=} {value | constant} | value IN (constant, …) | value BETWEEN … | value IS NULL
//!           | value ^@ constant | value LIKE 'prefix%' | condition {AND | OR} condition | NOT condition
//! ```
//!
//! Each dimension is both in the select list and in `GROUP BY`, so that each row out is one cell that can be counted,
//! perturbed or suppressed. What names a person by its nature (`min`, `max`, `mode`, `array_agg`, `percentile_disc`), what
//! isolates one (`FILTER`, `HAVING`, subqueries, division by a column, `CASE`), and all that is not named above is refused.
//!
//! Whether the views and columns may be asked is for PostgreSQL and `policy`; noise and thresholds are the gateway's.
//!
//! # Source
//!
//! GATEWAY §6, after the restrictions that `pg_diffix` puts on SQL; the choice of functions is ours.

use pg_query::{
    NodeEnum,
    protobuf::{
        self, AExpr, AExprKind, FuncCall, JoinExpr, JoinType, Node, ParseResult, RawStmt, ResTarget, SelectStmt,
        SetOperation, SortBy, SortByDir, SortByNulls,
    },
};
use serde::{Deserialize, Serialize};

use crate::{
    edit,
    read::parse,
    reading::{Place, Relation, Unreadable},
    walk::{Walk, integer, is_plain_prefix, text},
};

/// A question of statistics, in pieces of SQL that PostgreSQL's own printer wrote from the tree that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AggregateQuery {
    /// What comes out, in the order asked for.
    pub outputs: Vec<AggregateOutput>,
    /// By what is grouped; empty for one row about everything.
    pub dimensions: Vec<Dimension>,
    /// What is computed for each group.
    pub measures: Vec<Measure>,
    /// What stands after `FROM`.
    pub from: String,
    /// What stands after `WHERE`, in parentheses.
    pub condition: Option<String>,
    /// The relations of `from`; all of them have [`Place::From`].
    pub relations: Vec<Relation>,
    /// In what order rows come.
    pub order_by: Vec<Order>,
    /// How many rows come at most.
    pub limit: Option<u32>,
    /// Highest number of a parameter.
    pub n_parameters: u16,
}

/// One entry of the select list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AggregateOutput {
    /// Index in [`AggregateQuery::dimensions`].
    Dimension(u16),
    /// Index in [`AggregateQuery::measures`].
    Measure(u16),
}

/// By what is grouped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dimension {
    /// SQL of its value.
    pub expression: String,
    /// The name given with `AS`, or else that of the column.
    pub name: Option<String>,
}

/// What is computed for a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measure {
    /// Which computation.
    pub kind: MeasureKind,
    /// SQL of the value it is computed of; `None` for `count(*)`.
    pub argument: Option<String>,
    /// The name given with `AS`.
    pub name: Option<String>,
}

/// Computations that are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MeasureKind {
    /// `count(*)`
    Count,
    /// `count(value)`
    CountOf,
    /// `count(DISTINCT value)`
    CountDistinct,
    /// `sum(value)`
    Sum,
    /// `avg(value)`
    Average,
    /// `stddev(value)`, `stddev_samp(value)`
    Deviation,
    /// `stddev_pop(value)`
    DeviationOfPopulation,
    /// `variance(value)`, `var_samp(value)`
    Variance,
    /// `var_pop(value)`
    VarianceOfPopulation,
}

/// One term of the order of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Index in [`AggregateQuery::outputs`].
    pub output: u16,
    /// Largest first.
    pub descending: bool,
    /// Where unknown values come; `None` for what PostgreSQL does.
    pub nulls_first: Option<bool>,
}

/// Why a text is not a question of statistics.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum NotAggregate {
    /// It cannot be read at all.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// It can, and holds what is refused.
    #[error("statistics only: {what}")]
    Refused {
        /// What was found.
        what: String,
        /// What to write instead.
        help: String,
    },
}

type Result<T> = std::result::Result<T, NotAggregate>;

/// Reads a text as one question of statistics, in this process.
///
/// Slower than [`crate::read()`], since it prints what it has checked; it is asked for in contexts that need it.
///
/// # Errors
///
/// [`NotAggregate`], with what was found and what to write instead.
pub fn read(sql: &str) -> Result<AggregateQuery> {
    let tree = parse(sql)?;
    let [only] = tree.stmts.as_slice() else {
        return refused("one statement at a time", "send each question on its own");
    };
    let Some(NodeEnum::SelectStmt(query)) = only.stmt.as_ref().and_then(|it| it.node.as_ref()) else {
        return refused("only SELECT", SHAPE);
    };
    clauses(query)?;
    let from = from(&query.from_clause)?;
    if let Some(condition) = &query.where_clause {
        check_condition(condition)?;
    }

    let mut found = AggregateQuery {
        outputs: Vec::new(),
        dimensions: Vec::new(),
        measures: Vec::new(),
        from,
        condition: query.where_clause.as_deref().map(print_condition).transpose()?,
        relations: Vec::new(),
        order_by: Vec::new(),
        limit: limit(query)?,
        n_parameters: 0,
    };
    let targets = query.target_list.iter().map(target).collect::<Result<Vec<_>>>()?;
    for (target, value) in &targets {
        found.add_output(target, value)?;
    }
    found.check_groups(&query.group_clause, &targets)?;
    for sort in &query.sort_clause {
        let order = AggregateQuery::order(sort, &targets)?;
        found.order_by.push(order);
    }

    let mut walk = Walk::default();
    walk.select(query, Place::From)?;
    found.relations = walk.relations;
    found.n_parameters = walk.n_parameters;
    Ok(found)
}

/// Refuses all clauses that have no place in a question of statistics.
fn clauses(query: &SelectStmt) -> Result<()> {
    if query.with_clause.is_some() {
        return refused("WITH is not part of it", SHAPE);
    }
    if query.into_clause.is_some() || !query.locking_clause.is_empty() {
        return refused("INTO and FOR UPDATE are not part of it", SHAPE);
    }
    if !matches!(query.op(), SetOperation::SetopNone | SetOperation::Undefined) {
        return refused("UNION, INTERSECT and EXCEPT are not part of it", "send each question on its own");
    }
    if !query.values_lists.is_empty() || query.target_list.is_empty() {
        return refused("it needs a select list", SHAPE);
    }
    if !query.distinct_clause.is_empty() {
        return refused("SELECT DISTINCT is not part of it", "use GROUP BY, with count(*)");
    }
    if query.having_clause.is_some() {
        return refused("HAVING singles out groups", "leave it out, and filter what comes");
    }
    if !query.window_clause.is_empty() {
        return refused("window functions return one row per person", "use GROUP BY");
    }
    if query.group_distinct {
        return refused("GROUP BY DISTINCT is not part of it", "write GROUP BY");
    }
    Ok(())
}

impl AggregateQuery {
    fn add_output(&mut self, target: &ResTarget, value: &Node) -> Result<()> {
        let name = (!target.name.is_empty()).then(|| target.name.clone());
        let measure = match &value.node {
            Some(NodeEnum::FuncCall(call)) => measure(call)?,
            _ => None,
        };
        if let Some((kind, argument)) = measure {
            self.outputs.push(AggregateOutput::Measure(self.measures.len() as u16));
            self.measures.push(Measure { kind, argument, name });
        } else {
            check_dimension(value)?;
            self.outputs.push(AggregateOutput::Dimension(self.dimensions.len() as u16));
            self.dimensions.push(Dimension { expression: print_value(value)?, name: name.or_else(|| column(value)) });
        }
        Ok(())
    }

    /// Checks that what is grouped by is exactly what comes out besides measures.
    fn check_groups(&self, groups: &[Node], targets: &[(&ResTarget, &Node)]) -> Result<()> {
        if self.measures.is_empty() {
            return refused("it has no measure", "add count(*)");
        }
        let mut grouped = vec![false; self.dimensions.len()];
        for group in groups {
            if matches!(group.node, Some(NodeEnum::GroupingSet(_))) {
                return refused("ROLLUP, CUBE and GROUPING SETS are not part of it", "ask for each level on its own");
            }
            let output = output_of(group, targets)?;
            let Some(AggregateOutput::Dimension(index)) = output.map(|it| self.outputs[it]) else {
                return refused(
                    "GROUP BY names what does not come out",
                    "write each dimension in the select list, and only there a measure",
                );
            };
            grouped[index as usize] = true;
        }
        match grouped.iter().position(|it| !it) {
            Some(missing) => refused(
                &format!("`{}` is neither a measure nor in GROUP BY", self.dimensions[missing].expression),
                "group by each dimension; measures are count, sum, avg, stddev and variance",
            ),
            None => Ok(()),
        }
    }

    fn order(node: &Node, targets: &[(&ResTarget, &Node)]) -> Result<Order> {
        let Some(NodeEnum::SortBy(sort)) = &node.node else { return refused("ORDER BY of no kind", SHAPE) };
        let SortBy { node: Some(value), .. } = sort.as_ref() else { return refused("ORDER BY of nothing", SHAPE) };
        if sort.sortby_dir() == SortByDir::SortbyUsing {
            return refused("ORDER BY … USING is not part of it", "write ASC or DESC");
        }
        let Some(output) = output_of(value, targets)? else {
            return refused("ORDER BY names what does not come out", "order by an output, its name or its position");
        };
        Ok(Order {
            output: output as u16,
            descending: sort.sortby_dir() == SortByDir::SortbyDesc,
            nulls_first: match sort.sortby_nulls() {
                SortByNulls::SortbyNullsFirst => Some(true),
                SortByNulls::SortbyNullsLast => Some(false),
                SortByNulls::SortbyNullsDefault | SortByNulls::Undefined => None,
            },
        })
    }
}

/// Returns the index of the output that an entry of `GROUP BY` or `ORDER BY` means, if any.
fn output_of(node: &Node, targets: &[(&ResTarget, &Node)]) -> Result<Option<usize>> {
    if let Some(position) = integer(node) {
        return Ok(usize::try_from(position).ok().and_then(|it| it.checked_sub(1)).filter(|it| *it < targets.len()));
    }
    let printed = print_any(node)?;
    let same = |value: &Node| print_any(value).is_ok_and(|it| it == printed);
    let by_value = targets.iter().position(|(_, value)| same(value));
    let by_name = unqualified(node).and_then(|name| targets.iter().position(|(target, _)| target.name == name));
    match (by_value, by_name) {
        // PostgreSQL takes the name for the one in GROUP BY and for the other in ORDER BY.
        (Some(value), Some(name)) if value != name => refused(
            &format!("`{printed}` is both a column and the name of another output"),
            "give the output another name",
        ),
        (value, name) => {
            if value.is_none() && name.is_some_and(|it| is_ambiguous(it, targets)) {
                return refused(&format!("`{printed}` is the name of more than one output"), "give each its own name");
            }
            Ok(value.or(name))
        }
    }
}

/// Returns whether another output has the name of this one.
fn is_ambiguous(output: usize, targets: &[(&ResTarget, &Node)]) -> bool {
    targets.iter().filter(|(target, _)| target.name == targets[output].0.name).count() > 1
}

/// Checks `FROM`, and prints it.
fn from(from: &[Node]) -> Result<String> {
    let [only] = from else {
        return refused("it needs one view in FROM, and JOIN … ON for others", "write JOIN … ON a.x = b.y");
    };
    check_from(only)?;
    let query = SelectStmt { from_clause: vec![only.clone()], ..SelectStmt::default() };
    print(query, "SELECT FROM ")
}

fn check_from(node: &Node) -> Result<()> {
    match &node.node {
        Some(NodeEnum::RangeVar(view)) => {
            if view.alias.as_ref().is_some_and(|alias| !alias.colnames.is_empty()) {
                return refused("columns are given other names in FROM", "use the names that the view has");
            }
            Ok(())
        }
        Some(NodeEnum::JoinExpr(join)) => check_join(join),
        _ => refused("FROM holds something else than views", "name views, joined by JOIN … ON a.x = b.y"),
    }
}

fn check_join(join: &JoinExpr) -> Result<()> {
    if join.is_natural || join.alias.is_some() || join.join_using_alias.is_some() {
        return refused("NATURAL joins and names for joins are not part of it", "write JOIN … ON a.x = b.y");
    }
    if !matches!(join.jointype(), JoinType::JoinInner | JoinType::JoinLeft) {
        return refused("only inner and left joins", "write JOIN or LEFT JOIN");
    }
    for side in [&join.larg, &join.rarg].into_iter().flatten() {
        check_from(side)?;
    }
    match &join.quals {
        Some(condition) => check_equalities(condition),
        None if join.using_clause.is_empty() => refused("CROSS JOIN multiplies people", "write JOIN … ON a.x = b.y"),
        None => Ok(()),
    }
}

fn check_equalities(node: &Node) -> Result<()> {
    match &node.node {
        Some(NodeEnum::BoolExpr(it)) if it.boolop() == protobuf::BoolExprType::AndExpr => {
            it.args.iter().try_for_each(check_equalities)
        }
        Some(NodeEnum::AExpr(it)) if it.kind() == AExprKind::AexprOp && operator(it) == Some("=") => {
            match (it.lexpr.as_deref().and_then(column), it.rexpr.as_deref().and_then(column)) {
                (Some(_), Some(_)) => Ok(()),
                _ => refused("a join is not on equal columns", "write JOIN … ON a.x = b.y"),
            }
        }
        _ => refused("a join is not on equal columns", "write JOIN … ON a.x = b.y"),
    }
}

fn check_condition(node: &Node) -> Result<()> {
    match &node.node {
        Some(NodeEnum::BoolExpr(it)) => it.args.iter().try_for_each(check_condition),
        Some(NodeEnum::NullTest(it)) => check_operand(it.arg.as_deref()),
        // A column of type boolean.
        Some(NodeEnum::ColumnRef(_)) => check_value(node),
        Some(NodeEnum::BooleanTest(it)) => it.arg.as_deref().map_or(Ok(()), check_value),
        Some(NodeEnum::AExpr(it)) => check_comparison(it),
        _ => refused("a condition compares something else than a column and a constant", CONDITION),
    }
}

fn check_comparison(it: &AExpr) -> Result<()> {
    let operator = operator(it);
    let (left, right) = (it.lexpr.as_deref(), it.rexpr.as_deref());
    match it.kind() {
        AExprKind::AexprOp if operator.is_some_and(|it| COMPARISONS.contains(&it)) => {
            check_operand(left)?;
            check_operand(right)
        }
        AExprKind::AexprOp if operator == Some("^@") => {
            check_operand(left)?;
            check_constant(right)
        }
        AExprKind::AexprIn
        | AExprKind::AexprBetween
        | AExprKind::AexprNotBetween
        | AExprKind::AexprDistinct
        | AExprKind::AexprNotDistinct => {
            check_operand(left)?;
            check_constant(right)
        }
        AExprKind::AexprOpAny if operator == Some("=") => {
            check_operand(left)?;
            check_constant(right)
        }
        AExprKind::AexprLike if right.and_then(text).is_some_and(is_plain_prefix) => check_operand(left),
        _ => refused("a condition compares in a way that is not part of it", CONDITION),
    }
}

fn check_operand(node: Option<&Node>) -> Result<()> {
    match node {
        Some(node) if is_constant(node) => Ok(()),
        Some(node) => check_dimension(node),
        None => refused("a condition compares nothing", CONDITION),
    }
}

fn check_constant(node: Option<&Node>) -> Result<()> {
    match node {
        Some(node) if is_constant(node) => Ok(()),
        _ => refused("a condition compares with something else than constants", CONDITION),
    }
}

/// Checks what may be grouped by.
fn check_dimension(node: &Node) -> Result<()> {
    match &node.node {
        Some(NodeEnum::FuncCall(call)) => {
            let Some(name) = function(call) else { return refused("a function of a schema", MEASURES) };
            if is_decorated(call) || !BUCKETS.contains(&name) {
                return refused(&format!("`{name}` is not part of it"), MEASURES);
            }
            // `date_trunc('day', at)` has its constant first, `width_bucket(age, 0, 100, 10)` last.
            let values: Vec<&Node> = call.args.iter().filter(|it| !is_constant(it)).collect();
            match values.as_slice() {
                [only] => check_value(only),
                _ => refused(&format!("`{name}` takes one column and constants"), MEASURES),
            }
        }
        Some(NodeEnum::TypeCast(cast)) => match cast.arg.as_deref() {
            Some(value @ Node { node: Some(NodeEnum::FuncCall(_)) }) => {
                check_type(cast)?;
                check_dimension(value)
            }
            _ => check_value(node),
        },
        _ => check_value(node),
    }
}

/// Checks a column, or what is computed of one column and constants.
fn check_value(node: &Node) -> Result<()> {
    match &node.node {
        Some(NodeEnum::ColumnRef(_)) if column(node).is_some() => Ok(()),
        Some(NodeEnum::TypeCast(cast)) => {
            check_type(cast)?;
            cast.arg.as_deref().map_or_else(|| refused("a cast of nothing", VALUES), check_value)
        }
        Some(NodeEnum::AExpr(it)) if it.kind() == AExprKind::AexprOp => {
            let is_arithmetic = operator(it).is_some_and(|it| ["+", "-", "*", "/"].contains(&it));
            match (it.lexpr.as_deref(), it.rexpr.as_deref()) {
                // The constant comes second: `1 / (age - 41)` would tell by its failure whether somebody is 41.
                (Some(value), Some(constant)) if is_arithmetic && is_constant(constant) => check_value(value),
                _ => refused("arithmetic of something else than a column and a constant", VALUES),
            }
        }
        Some(NodeEnum::FuncCall(call)) => match function(call) {
            Some(name) => refused(&format!("`{name}` is not part of it"), MEASURES),
            None => refused("a function of a schema", MEASURES),
        },
        Some(NodeEnum::SubLink(_)) => refused("subqueries are not part of it", "join views instead"),
        Some(NodeEnum::CaseExpr(_)) => refused("CASE singles out people", "use WHERE, or width_bucket"),
        Some(NodeEnum::AConst(_)) => refused("a constant is no dimension", "leave it out"),
        _ => refused("a value is something else than a column", VALUES),
    }
}

fn check_type(cast: &protobuf::TypeCast) -> Result<()> {
    let name = cast.type_name.as_ref().and_then(|it| it.names.last()).and_then(text);
    if name.is_some_and(|it| TYPES.contains(&it)) {
        Ok(())
    } else {
        refused("a cast to a type that is not part of it", VALUES)
    }
}

/// Returns the measure that a call is; `None` if it is some other function.
fn measure(call: &FuncCall) -> Result<Option<(MeasureKind, Option<String>)>> {
    let Some(name) = function(call) else { return Ok(None) };
    let kind = match name {
        "count" if call.agg_star => MeasureKind::Count,
        "count" if call.agg_distinct => MeasureKind::CountDistinct,
        "count" => MeasureKind::CountOf,
        "sum" => MeasureKind::Sum,
        "avg" => MeasureKind::Average,
        "stddev" | "stddev_samp" => MeasureKind::Deviation,
        "stddev_pop" => MeasureKind::DeviationOfPopulation,
        "variance" | "var_samp" => MeasureKind::Variance,
        "var_pop" => MeasureKind::VarianceOfPopulation,
        _ => return Ok(None),
    };
    if call.agg_filter.is_some() {
        return refused(
            "FILTER tells people apart by the difference of two results",
            "use WHERE, one question at a time",
        );
    }
    if call.over.is_some() {
        return refused("window functions return one row per person", "use GROUP BY");
    }
    if call.agg_within_group || !call.agg_order.is_empty() || call.func_variadic {
        return refused(&format!("`{name}` with an order or a list"), MEASURES);
    }
    if call.agg_distinct && kind != MeasureKind::CountDistinct {
        return refused(&format!("`{name}(DISTINCT …)` weighs people unequally"), "DISTINCT is for count only");
    }
    match (kind, call.args.as_slice()) {
        (MeasureKind::Count, []) => Ok(Some((kind, None))),
        (MeasureKind::Count, _) | (_, []) => refused(&format!("`{name}` of no value"), MEASURES),
        (_, [value]) => {
            check_value(value)?;
            Ok(Some((kind, Some(print_value(value)?))))
        }
        _ => refused(&format!("`{name}` takes one value"), MEASURES),
    }
}

fn limit(query: &SelectStmt) -> Result<Option<u32>> {
    if query.limit_offset.is_some() || query.limit_option() == protobuf::LimitOption::WithTies {
        return refused("OFFSET and WITH TIES are not part of it", "leave them out");
    }
    match query.limit_count.as_deref() {
        None => Ok(None),
        Some(count) => match integer(count).and_then(|it| u32::try_from(it).ok()) {
            Some(count) => Ok(Some(count)),
            None => refused("LIMIT is not a number", "write a number"),
        },
    }
}

fn target(node: &Node) -> Result<(&ResTarget, &Node)> {
    match &node.node {
        Some(NodeEnum::ResTarget(target)) => match target.val.as_deref() {
            Some(value) => Ok((target, value)),
            None => refused("an output of nothing", SHAPE),
        },
        _ => refused("an output of no kind", SHAPE),
    }
}

/// Returns the name of a column, without what is before it; `None` for a star and all else.
fn column(node: &Node) -> Option<String> {
    match &node.node {
        Some(NodeEnum::ColumnRef(it)) if it.fields.len() <= 3 => it.fields.last().and_then(text).map(str::to_owned),
        _ => None,
    }
}

fn unqualified(node: &Node) -> Option<String> {
    match &node.node {
        Some(NodeEnum::ColumnRef(it)) if it.fields.len() == 1 => column(node),
        _ => None,
    }
}

fn operator(it: &AExpr) -> Option<&str> {
    // With a schema it would be somebody's own.
    if it.name.len() == 1 { text(&it.name[0]) } else { None }
}

/// Returns the name of a function that PostgreSQL brings, as far as names can tell.
fn function(call: &FuncCall) -> Option<&str> {
    match call.funcname.as_slice() {
        [name] => text(name),
        [schema, name] if text(schema) == Some("pg_catalog") => text(name),
        _ => None,
    }
}

fn is_decorated(call: &FuncCall) -> bool {
    call.agg_star
        || call.agg_distinct
        || call.agg_within_group
        || call.func_variadic
        || call.agg_filter.is_some()
        || call.over.is_some()
        || !call.agg_order.is_empty()
}

fn is_constant(node: &Node) -> bool {
    match &node.node {
        Some(NodeEnum::AConst(_) | NodeEnum::ParamRef(_)) => true,
        Some(NodeEnum::TypeCast(it)) => check_type(it).is_ok() && it.arg.as_deref().is_some_and(is_constant),
        Some(NodeEnum::AArrayExpr(it)) => it.elements.iter().all(is_constant),
        Some(NodeEnum::List(it)) => it.items.iter().all(is_constant),
        // Dates are counted back from today.
        Some(NodeEnum::SqlvalueFunction(it)) => {
            use protobuf::SqlValueFunctionOp::{SvfopCurrentDate, SvfopCurrentTimestamp, SvfopLocaltimestamp};
            matches!(it.op(), SvfopCurrentDate | SvfopCurrentTimestamp | SvfopLocaltimestamp)
        }
        Some(NodeEnum::AExpr(it)) => {
            it.kind() == AExprKind::AexprOp
                && operator(it).is_some_and(|it| ["+", "-"].contains(&it))
                && [&it.lexpr, &it.rexpr].into_iter().flatten().all(|it| is_constant(it))
        }
        _ => false,
    }
}

fn print_value(value: &Node) -> Result<String> {
    // What is printed may not mean something else once it stands inside of something.
    let printed = print_any(value)?;
    Ok(if column(value).is_some() { printed } else { format!("({printed})") })
}

fn print_condition(condition: &Node) -> Result<String> {
    let query = SelectStmt { where_clause: Some(Box::new(condition.clone())), ..SelectStmt::default() };
    Ok(format!("({})", print(query, "SELECT WHERE ")?))
}

fn print_any(value: &Node) -> Result<String> {
    let target = ResTarget { val: Some(Box::new(value.clone())), ..ResTarget::default() };
    let target = Node { node: Some(NodeEnum::ResTarget(Box::new(target))) };
    print(SelectStmt { target_list: vec![target], ..SelectStmt::default() }, "SELECT ")
}

fn print(mut query: SelectStmt, head: &str) -> Result<String> {
    query.set_op(SetOperation::SetopNone);
    query.set_limit_option(protobuf::LimitOption::Default);
    let statement = Node { node: Some(NodeEnum::SelectStmt(Box::new(query))) };
    let tree =
        ParseResult { version: 0, stmts: vec![RawStmt { stmt: Some(Box::new(statement)), ..RawStmt::default() }] };
    let printed = pg_query::deparse(&tree, pg_query::DeparseOptions::default())
        .map_err(|error| Unreadable::Syntax { message: error.to_string() })?;
    // Printing is believed only as far as reading it again gives what was printed.
    let is_same = edit::without_places(&tree) == edit::without_places(&parse(&printed)?);
    match printed.strip_prefix(head).filter(|_| is_same) {
        Some(rest) => Ok(rest.to_owned()),
        None => Err(Unreadable::Unknown { construct: "what PostgreSQL's printer does not print".to_owned() }.into()),
    }
}

fn refused<T>(what: &str, help: &str) -> Result<T> {
    Err(NotAggregate::Refused { what: what.to_owned(), help: help.to_owned() })
}

const COMPARISONS: [&str; 6] = ["=", "<>", "<", "<=", ">", ">="];

/// Functions of dimensions and conditions that do not fail on any value of a column.
pub const BUCKETS: [&str; 9] =
    ["ceil", "ceiling", "date_part", "date_trunc", "extract", "floor", "round", "trunc", "width_bucket"];
const TYPES: [&str; 17] = [
    "bool",
    "bpchar",
    "date",
    "float4",
    "float8",
    "int2",
    "int4",
    "int8",
    "interval",
    "numeric",
    "text",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
    "uuid",
    "varchar",
];

const SHAPE: &str = "write SELECT dimensions, measures FROM view WHERE … GROUP BY dimensions";
const MEASURES: &str = "measures are count, sum, avg, stddev and variance; dimensions are columns, date_trunc, extract, width_bucket, floor, ceil, round and trunc of one column";
const VALUES: &str = "use a column, with a constant after + - * / or a cast";
const CONDITION: &str = "compare columns with constants by = <> < <= > >=, IN, BETWEEN, IS NULL or LIKE 'prefix%'";
