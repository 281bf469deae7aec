//! Walks the whole tree of a statement, and stops at the first thing it does not know.
//!
//! The list of what is known is here, written out: the tree has 271 kinds of nodes, of which a query can hold some sixty.
//! A kind that is not matched below, a new one of a later grammar included, makes the statement [`Unreadable::Unknown`].
//!
//! Depth is bounded before this code runs: the decoder of the tree gives up at 100 levels.

use std::collections::BTreeSet;

use pg_query::{
    NodeEnum,
    protobuf::{
        AExpr, AExprKind, ColumnRef, CommonTableExpr, DeleteStmt, FuncCall, InsertStmt, Integer, JoinExpr, MergeStmt,
        Node, RangeVar, ReturningClause, SelectStmt, SetOperation, SqlValueFunctionOp, TypeName, UpdateStmt, WindowDef,
        WithClause, a_const::Val,
    },
};

use crate::reading::{Names, Output, OutputValue, Place, QualifiedName, Relation, Unreadable, Uses};

/// What a walk has found so far.
#[derive(Default)]
pub(crate) struct Walk {
    pub relations: Vec<Relation>,
    pub names: Names,
    pub uses: Uses,
    pub n_parameters: u16,
    pub literal_dependent: bool,
    /// A built-in aggregate function belongs to the outermost query.
    pub aggregates: bool,
    /// A window function, or a `WINDOW` clause, anywhere.
    pub windows: bool,
    pub locks: bool,
    pub writes: bool,
    pub on_conflict: bool,
    pub assigned: BTreeSet<String>,
    /// Where a `LIKE` stands, and the literal after it, for those that ask for a plain prefix.
    pub prefixes: Vec<(u32, u32)>,
    /// Names of `WITH` queries that can be seen from where the walk is.
    with: Vec<String>,
    /// What can be called by one name and is not a column: aliases and relations.
    rows: BTreeSet<String>,
    /// How many queries the walk is inside of.
    depth: u32,
}

type Result = std::result::Result<(), Unreadable>;

impl Walk {
    /// Finishes: what can only be said once every name is known.
    pub fn finish(&mut self) {
        let rows = &self.rows;
        let named = |column: &Vec<String>| column.len() == 1 && rows.contains(&column[0]);
        self.names.whole_row |= self.names.columns.iter().any(named);
    }

    /// Walks a query, at whose `place` relations stand.
    pub fn select(&mut self, query: &SelectStmt, place: Place) -> Result {
        let outer = self.with.len();
        self.depth += 1;
        self.with_clause(query.with_clause.as_ref(), place)?;
        if query.into_clause.is_some() {
            return Err(unknown("SELECT INTO inside a statement"));
        }
        let is_set = !matches!(query.op(), SetOperation::SetopNone | SetOperation::Undefined);
        for side in [&query.larg, &query.rarg].into_iter().flatten() {
            if !is_set {
                return Err(unknown("a set operation of no kind"));
            }
            self.select(side, inside(place, Place::SetOperation))?;
        }
        self.targets(&query.target_list)?;
        for from in &query.from_clause {
            self.from(from, place)?;
        }
        self.maybe(query.where_clause.as_deref())?;
        for distinct in &query.distinct_clause {
            // A plain DISTINCT is a list with one empty node.
            if distinct.node.is_some() {
                self.position(distinct)?;
            }
        }
        for group in &query.group_clause {
            self.position(group)?;
        }
        self.maybe(query.having_clause.as_deref())?;
        self.windows |= !query.window_clause.is_empty();
        self.all(&query.window_clause)?;
        self.all(&query.values_lists)?;
        for sort in &query.sort_clause {
            match &sort.node {
                Some(NodeEnum::SortBy(sort)) => {
                    sort.node.iter().try_for_each(|it| self.position(it))?;
                    self.operator(&sort.use_op);
                }
                other => return Err(unknown_node(other.as_ref())),
            }
        }
        self.maybe(query.limit_offset.as_deref())?;
        self.maybe(query.limit_count.as_deref())?;
        self.locks |= !query.locking_clause.is_empty();
        self.depth -= 1;
        self.with.truncate(outer);
        Ok(())
    }

    pub fn insert(&mut self, it: &InsertStmt, place: Place) -> Result {
        let outer = self.with.len();
        self.writes = true;
        self.with_clause(it.with_clause.as_ref(), place)?;
        self.target(it.relation.as_ref())?;
        self.assignments(&it.cols)?;
        if let Some(source) = &it.select_stmt {
            self.query(source, inside(place, Place::Subquery))?;
        }
        if let Some(conflict) = &it.on_conflict_clause {
            self.on_conflict = true;
            if let Some(infer) = &conflict.infer {
                for element in &infer.index_elems {
                    match &element.node {
                        Some(NodeEnum::IndexElem(element)) => {
                            if !element.name.is_empty() {
                                self.names.columns.insert(vec![element.name.clone()]);
                            }
                            self.maybe(element.expr.as_deref())?;
                        }
                        other => return Err(unknown_node(other.as_ref())),
                    }
                }
                self.maybe(infer.where_clause.as_deref())?;
            }
            self.assignments(&conflict.target_list)?;
            self.maybe(conflict.where_clause.as_deref())?;
        }
        self.returning(it.returning_clause.as_ref())?;
        self.with.truncate(outer);
        Ok(())
    }

    pub fn update(&mut self, it: &UpdateStmt, place: Place) -> Result {
        let outer = self.with.len();
        self.writes = true;
        self.with_clause(it.with_clause.as_ref(), place)?;
        self.target(it.relation.as_ref())?;
        self.assignments(&it.target_list)?;
        for from in &it.from_clause {
            self.from(from, place)?;
        }
        self.maybe(it.where_clause.as_deref())?;
        self.returning(it.returning_clause.as_ref())?;
        self.with.truncate(outer);
        Ok(())
    }

    pub fn delete(&mut self, it: &DeleteStmt, place: Place) -> Result {
        let outer = self.with.len();
        self.writes = true;
        self.with_clause(it.with_clause.as_ref(), place)?;
        self.target(it.relation.as_ref())?;
        for from in &it.using_clause {
            self.from(from, place)?;
        }
        self.maybe(it.where_clause.as_deref())?;
        self.returning(it.returning_clause.as_ref())?;
        self.with.truncate(outer);
        Ok(())
    }

    pub fn merge(&mut self, it: &MergeStmt, place: Place) -> Result {
        let outer = self.with.len();
        self.writes = true;
        self.with_clause(it.with_clause.as_ref(), place)?;
        self.target(it.relation.as_ref())?;
        if let Some(source) = &it.source_relation {
            self.from(source, place)?;
        }
        self.maybe(it.join_condition.as_deref())?;
        for when in &it.merge_when_clauses {
            match &when.node {
                Some(NodeEnum::MergeWhenClause(when)) => {
                    self.maybe(when.condition.as_deref())?;
                    self.assignments(&when.target_list)?;
                    self.all(&when.values)?;
                }
                other => return Err(unknown_node(other.as_ref())),
            }
        }
        self.returning(it.returning_clause.as_ref())?;
        self.with.truncate(outer);
        Ok(())
    }

    /// Walks whatever may stand where a query is expected, also in `WITH`.
    fn query(&mut self, node: &Node, place: Place) -> Result {
        match &node.node {
            Some(NodeEnum::SelectStmt(it)) => self.select(it, place),
            Some(NodeEnum::InsertStmt(it)) => self.nested(|walk| walk.insert(it, place)),
            Some(NodeEnum::UpdateStmt(it)) => self.nested(|walk| walk.update(it, place)),
            Some(NodeEnum::DeleteStmt(it)) => self.nested(|walk| walk.delete(it, place)),
            Some(NodeEnum::MergeStmt(it)) => self.nested(|walk| walk.merge(it, place)),
            other => Err(unknown_node(other.as_ref())),
        }
    }

    fn nested(&mut self, walk: impl FnOnce(&mut Walk) -> Result) -> Result {
        self.depth += 1;
        walk(self)?;
        self.depth -= 1;
        Ok(())
    }

    fn with_clause(&mut self, with: Option<&WithClause>, place: Place) -> Result {
        let Some(with) = with else { return Ok(()) };
        let mut ctes: Vec<&CommonTableExpr> = Vec::with_capacity(with.ctes.len());
        for cte in &with.ctes {
            match &cte.node {
                Some(NodeEnum::CommonTableExpr(cte)) => ctes.push(cte),
                other => return Err(unknown_node(other.as_ref())),
            }
        }
        if with.recursive {
            self.with.extend(ctes.iter().map(|cte| cte.ctename.clone()));
        }
        for cte in ctes {
            let query = cte.ctequery.as_ref().ok_or_else(|| unknown("WITH without a query"))?;
            self.nested(|walk| walk.query(query, inside(place, Place::With)))?;
            self.rows.insert(cte.ctename.clone());
            if let Some(cycle) = &cte.cycle_clause {
                self.maybe(cycle.cycle_mark_value.as_deref())?;
                self.maybe(cycle.cycle_mark_default.as_deref())?;
            }
            if !with.recursive {
                // Only the queries after it see it: inside itself the name means a table.
                self.with.push(cte.ctename.clone());
            }
        }
        Ok(())
    }

    /// Walks an entry of `FROM`.
    fn from(&mut self, node: &Node, place: Place) -> Result {
        match &node.node {
            Some(NodeEnum::RangeVar(it)) => {
                let is_with = it.schemaname.is_empty() && it.catalogname.is_empty() && self.with.contains(&it.relname);
                if is_with {
                    self.row(it.alias.as_ref().map_or(&it.relname, |alias| &alias.aliasname));
                } else {
                    self.relation(it, place)?;
                }
                Ok(())
            }
            Some(NodeEnum::JoinExpr(it)) => self.join(it, place),
            Some(NodeEnum::RangeSubselect(it)) => {
                it.alias.iter().for_each(|alias| self.row(&alias.aliasname));
                let query = it.subquery.as_ref().ok_or_else(|| unknown("a subquery without a query"))?;
                self.query(query, inside(place, Place::Subquery))
            }
            Some(NodeEnum::RangeFunction(it)) => {
                it.alias.iter().for_each(|alias| self.row(&alias.aliasname));
                // Each function comes as a list of itself and its column definitions.
                self.all(&it.functions)?;
                self.all(&it.coldeflist)
            }
            Some(NodeEnum::RangeTableSample(it)) => {
                self.function(&it.method);
                self.all(&it.args)?;
                self.maybe(it.repeatable.as_deref())?;
                it.relation.iter().try_for_each(|it| self.from(it, place))
            }
            Some(NodeEnum::RangeTableFunc(it)) => {
                it.alias.iter().for_each(|alias| self.row(&alias.aliasname));
                self.named_function("xmltable");
                self.maybe(it.docexpr.as_deref())?;
                self.maybe(it.rowexpr.as_deref())?;
                self.all(&it.namespaces)?;
                for column in &it.columns {
                    match &column.node {
                        Some(NodeEnum::RangeTableFuncCol(column)) => {
                            self.type_name(column.type_name.as_ref())?;
                            self.maybe(column.colexpr.as_deref())?;
                            self.maybe(column.coldefexpr.as_deref())?;
                        }
                        other => return Err(unknown_node(other.as_ref())),
                    }
                }
                Ok(())
            }
            other => Err(unknown_node(other.as_ref())),
        }
    }

    fn join(&mut self, it: &JoinExpr, place: Place) -> Result {
        let mut sides = place;
        if let Some(alias) = &it.alias {
            self.row(&alias.aliasname);
            sides = inside(place, Place::Hidden);
        }
        it.join_using_alias.iter().for_each(|alias| self.row(&alias.aliasname));
        for side in [&it.larg, &it.rarg].into_iter().flatten() {
            self.from(side, sides)?;
        }
        for column in &it.using_clause {
            if let Some(NodeEnum::String(column)) = &column.node {
                self.names.columns.insert(vec![column.sval.clone()]);
                self.uses.values.insert(vec![column.sval.clone()]);
            }
        }
        self.uses.natural |= it.is_natural;
        self.maybe(it.quals.as_deref())
    }

    fn target(&mut self, relation: Option<&RangeVar>) -> Result {
        relation.map_or(Err(unknown("a write to nothing")), |it| self.relation(it, Place::Target))
    }

    fn relation(&mut self, it: &RangeVar, place: Place) -> Result {
        let relation = relation(it, place)?;
        self.row(relation.alias.as_ref().unwrap_or(&relation.name));
        self.relations.push(relation);
        Ok(())
    }

    fn row(&mut self, name: &str) {
        self.rows.insert(name.to_owned());
    }

    fn returning(&mut self, returning: Option<&ReturningClause>) -> Result {
        let Some(returning) = returning else { return Ok(()) };
        if !returning.options.is_empty() {
            return Err(unknown("RETURNING WITH"));
        }
        self.targets(&returning.exprs)
    }

    /// Walks a list of what comes out, where a star is not a value.
    fn targets(&mut self, targets: &[Node]) -> Result {
        for target in targets {
            let Some(NodeEnum::ResTarget(target)) = &target.node else {
                return Err(unknown_node(target.node.as_ref()));
            };
            match target.val.as_ref().and_then(|it| it.node.as_ref()) {
                Some(NodeEnum::ColumnRef(column)) => {
                    self.names.columns.insert(parts(column)?);
                }
                Some(value) => self.expression(value)?,
                None => return Err(unknown("an output without a value")),
            }
        }
        Ok(())
    }

    /// Walks `SET column = value`, and the column list of an `INSERT`.
    fn assignments(&mut self, targets: &[Node]) -> Result {
        for target in targets {
            let Some(NodeEnum::ResTarget(target)) = &target.node else {
                return Err(unknown_node(target.node.as_ref()));
            };
            self.assigned.insert(target.name.clone());
            self.indirection(&target.indirection)?;
            self.maybe(target.val.as_deref())?;
        }
        Ok(())
    }

    /// Walks what may be a position in the select list, where a literal decides what is meant.
    fn position(&mut self, node: &Node) -> Result {
        match &node.node {
            Some(NodeEnum::AConst(_)) => {
                self.literal_dependent = true;
                self.uses.positions = true;
                Ok(())
            }
            Some(NodeEnum::GroupingSet(set)) => set.content.iter().try_for_each(|it| self.position(it)),
            // `GROUP BY (1, 2)` is a row, whose members are positions once more.
            Some(NodeEnum::RowExpr(row)) => row.args.iter().try_for_each(|it| self.position(it)),
            Some(node) => self.expression(node),
            None => Err(unknown("a position without a value")),
        }
    }

    fn all(&mut self, nodes: &[Node]) -> Result {
        nodes.iter().filter_map(|it| it.node.as_ref()).try_for_each(|it| self.expression(it))
    }

    fn maybe(&mut self, node: Option<&Node>) -> Result {
        node.and_then(|it| it.node.as_ref()).map_or(Ok(()), |it| self.expression(it))
    }

    /// Walks a value.
    fn expression(&mut self, node: &NodeEnum) -> Result {
        match node {
            NodeEnum::AConst(_) | NodeEnum::SetToDefault(_) => Ok(()),
            NodeEnum::ColumnRef(column) => {
                let parts = parts(column)?;
                self.names.whole_row |= parts.last().is_some_and(|it| it == "*");
                self.uses.values.insert(parts.clone());
                self.names.columns.insert(parts);
                Ok(())
            }
            NodeEnum::ParamRef(it) => {
                let number = u16::try_from(it.number).map_err(|_| unknown("a parameter above $65535"))?;
                self.n_parameters = self.n_parameters.max(number);
                Ok(())
            }
            NodeEnum::AExpr(it) => self.operation(it),
            NodeEnum::BoolExpr(it) => self.all(&it.args),
            NodeEnum::FuncCall(it) => self.call(it),
            NodeEnum::TypeCast(it) => {
                self.type_name(it.type_name.as_ref())?;
                self.maybe(it.arg.as_deref())
            }
            NodeEnum::CollateClause(it) => self.maybe(it.arg.as_deref()),
            NodeEnum::SubLink(it) => {
                self.maybe(it.testexpr.as_deref())?;
                self.operator(&it.oper_name);
                let query = it.subselect.as_ref().ok_or_else(|| unknown("a subquery without a query"))?;
                match &query.node {
                    Some(NodeEnum::SelectStmt(query)) => self.select(query, Place::Expression),
                    other => Err(unknown_node(other.as_ref())),
                }
            }
            NodeEnum::CaseExpr(it) => {
                self.maybe(it.arg.as_deref())?;
                self.all(&it.args)?;
                self.maybe(it.defresult.as_deref())
            }
            NodeEnum::CaseWhen(it) => {
                self.maybe(it.expr.as_deref())?;
                self.maybe(it.result.as_deref())
            }
            NodeEnum::AArrayExpr(it) => self.all(&it.elements),
            NodeEnum::RowExpr(it) => self.all(&it.args),
            NodeEnum::List(it) => self.all(&it.items),
            // Whether a column has a value says nothing of the value.
            NodeEnum::NullTest(it) => match column(it.arg.as_deref()) {
                Some(column) => {
                    let parts = parts(column)?;
                    self.names.whole_row |= parts.last().is_some_and(|it| it == "*");
                    self.names.columns.insert(parts);
                    Ok(())
                }
                None => self.maybe(it.arg.as_deref()),
            },
            NodeEnum::BooleanTest(it) => self.maybe(it.arg.as_deref()),
            NodeEnum::CoalesceExpr(it) => {
                self.named_function("coalesce");
                self.all(&it.args)
            }
            NodeEnum::MinMaxExpr(it) => {
                self.named_function(if it.op == pg_query::protobuf::MinMaxOp::IsLeast as i32 {
                    "least"
                } else {
                    "greatest"
                });
                self.all(&it.args)
            }
            NodeEnum::SqlvalueFunction(it) => {
                self.named_function(value_function(it.op())?);
                Ok(())
            }
            NodeEnum::XmlExpr(it) => {
                self.named_function("xml");
                self.all(&it.named_args)?;
                self.all(&it.args)
            }
            NodeEnum::XmlSerialize(it) => {
                self.named_function("xmlserialize");
                self.type_name(it.type_name.as_ref())?;
                self.maybe(it.expr.as_deref())
            }
            // Named arguments of XML functions.
            NodeEnum::ResTarget(it) => self.maybe(it.val.as_deref()),
            NodeEnum::NamedArgExpr(it) => self.maybe(it.arg.as_deref()),
            // `(x, y) = (SELECT …)` comes as one node per column, each with the whole query.
            NodeEnum::MultiAssignRef(it) if it.colno > 1 => Ok(()),
            NodeEnum::MultiAssignRef(it) => self.maybe(it.source.as_deref()),
            NodeEnum::GroupingFunc(it) => {
                self.aggregates |= self.depth == 1;
                self.named_function("grouping");
                self.all(&it.args)
            }
            NodeEnum::AIndirection(it) => {
                self.maybe(it.arg.as_deref())?;
                self.indirection(&it.indirection)
            }
            NodeEnum::SortBy(it) => {
                self.operator(&it.use_op);
                self.maybe(it.node.as_deref())
            }
            NodeEnum::WindowDef(it) => self.window(it),
            NodeEnum::TypeName(it) => self.type_name(Some(it)),
            NodeEnum::ColumnDef(it) => {
                if !it.constraints.is_empty() || it.raw_default.is_some() {
                    return Err(unknown("a column definition with constraints"));
                }
                self.type_name(it.type_name.as_ref())
            }
            other => Err(unknown_node(Some(other))),
        }
    }

    fn operation(&mut self, it: &AExpr) -> Result {
        match it.kind() {
            AExprKind::AexprBetween
            | AExprKind::AexprNotBetween
            | AExprKind::AexprBetweenSym
            | AExprKind::AexprNotBetweenSym => self.named_operators(&[">=", "<="]),
            AExprKind::Undefined => return Err(unknown("an operation of no kind")),
            AExprKind::AexprLike => {
                self.operator(&it.name);
                if let Some(NodeEnum::AConst(pattern)) = it.rexpr.as_ref().and_then(|it| it.node.as_ref()) {
                    self.literal_dependent = true;
                    let positive = it.name.last().is_some_and(|name| text(name) == Some("~~"));
                    if positive && matches!(&pattern.val, Some(Val::Sval(it)) if is_plain_prefix(&it.sval)) {
                        self.prefixes.push((offset(it.location)?, offset(pattern.location)?));
                    }
                }
            }
            AExprKind::AexprOp if is_equality(&it.name) => {
                self.operator(&it.name);
                if let (Some(left), Some(right)) = (column(it.lexpr.as_deref()), column(it.rexpr.as_deref())) {
                    let (left, right) = (parts(left)?, parts(right)?);
                    self.names.whole_row |= [&left, &right].iter().any(|it| it.last().is_some_and(|it| it == "*"));
                    self.names.columns.insert(left.clone());
                    self.names.columns.insert(right.clone());
                    self.uses.equalities.insert((left, right));
                    return Ok(());
                }
            }
            AExprKind::AexprOp
            | AExprKind::AexprOpAny
            | AExprKind::AexprOpAll
            | AExprKind::AexprDistinct
            | AExprKind::AexprNotDistinct
            | AExprKind::AexprNullif
            | AExprKind::AexprIn
            | AExprKind::AexprIlike
            | AExprKind::AexprSimilar => self.operator(&it.name),
        }
        self.maybe(it.lexpr.as_deref())?;
        self.maybe(it.rexpr.as_deref())
    }

    fn call(&mut self, it: &FuncCall) -> Result {
        let name = self.function(&it.funcname);
        let as_aggregate = it.agg_star
            || it.agg_distinct
            || it.agg_within_group
            || it.agg_filter.is_some()
            || !it.agg_order.is_empty()
            || name.is_some_and(|name| is_aggregate(&name));
        self.windows |= it.over.is_some();
        self.aggregates |= as_aggregate && it.over.is_none() && self.depth == 1;
        self.all(&it.args)?;
        self.all(&it.agg_order)?;
        self.maybe(it.agg_filter.as_deref())?;
        it.over.iter().try_for_each(|it| self.window(it))
    }

    fn window(&mut self, it: &WindowDef) -> Result {
        self.all(&it.partition_clause)?;
        self.all(&it.order_clause)?;
        self.maybe(it.start_offset.as_deref())?;
        self.maybe(it.end_offset.as_deref())
    }

    fn indirection(&mut self, steps: &[Node]) -> Result {
        for step in steps {
            match &step.node {
                // A field of a row, or a function of one value: `(u).email` and `(email).upper` look alike.
                Some(NodeEnum::String(field)) => {
                    self.names.whole_row = true;
                    self.named_function(&field.sval);
                }
                Some(NodeEnum::AStar(_)) => self.names.whole_row = true,
                Some(NodeEnum::AIndices(it)) => {
                    self.maybe(it.lidx.as_deref())?;
                    self.maybe(it.uidx.as_deref())?;
                }
                other => return Err(unknown_node(other.as_ref())),
            }
        }
        Ok(())
    }

    fn type_name(&mut self, name: Option<&TypeName>) -> Result {
        let Some(name) = name else { return Ok(()) };
        if name.pct_type {
            return Err(unknown("%TYPE"));
        }
        self.names.types.extend(qualified(&name.names));
        self.all(&name.typmods)
    }

    fn function(&mut self, name: &[Node]) -> Option<QualifiedName> {
        let name = qualified(name);
        self.names.functions.extend(name.clone());
        name
    }

    fn named_function(&mut self, name: &str) {
        self.names.functions.insert(QualifiedName { schema: None, name: name.to_owned() });
    }

    fn operator(&mut self, name: &[Node]) {
        self.names.operators.extend(qualified(name));
    }

    fn named_operators(&mut self, names: &[&str]) {
        self.names.operators.extend(names.iter().map(|it| QualifiedName { schema: None, name: (*it).to_owned() }));
    }
}

/// Returns a list of what comes out, as written.
pub(crate) fn outputs(targets: &[Node]) -> std::result::Result<Vec<Output>, Unreadable> {
    let output = |target: &Node| {
        let Some(NodeEnum::ResTarget(target)) = &target.node else { return Err(unknown_node(target.node.as_ref())) };
        let value = match target.val.as_ref().and_then(|it| it.node.as_ref()) {
            Some(NodeEnum::ColumnRef(column)) => {
                let mut parts = parts(column)?;
                let is_star = matches!(column.fields.last().map(|it| &it.node), Some(Some(NodeEnum::AStar(_))));
                if is_star {
                    parts.pop();
                    OutputValue::Star(parts)
                } else {
                    OutputValue::Column(parts)
                }
            }
            _ => OutputValue::Computed,
        };
        Ok(Output { value, alias: (!target.name.is_empty()).then(|| target.name.clone()) })
    };
    targets.iter().map(output).collect()
}

/// Returns a relation as written.
pub(crate) fn relation(it: &RangeVar, place: Place) -> std::result::Result<Relation, Unreadable> {
    if !it.catalogname.is_empty() {
        return Err(unknown("a relation of a named database"));
    }
    Ok(Relation {
        schema: (!it.schemaname.is_empty()).then(|| it.schemaname.clone()),
        name: it.relname.clone(),
        alias: it.alias.as_ref().map(|alias| alias.aliasname.clone()),
        renames_columns: it.alias.as_ref().is_some_and(|alias| !alias.colnames.is_empty()),
        place,
    })
}

pub(crate) fn unknown(construct: &str) -> Unreadable {
    Unreadable::Unknown { construct: construct.to_owned() }
}

/// Names a kind of node by what comes before its first parenthesis when printed.
pub(crate) fn unknown_node(node: Option<&NodeEnum>) -> Unreadable {
    use std::fmt::Write;

    /// Takes what is printed until the first parenthesis, and then stops the printing.
    struct Head(String);
    impl Write for Head {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            let (head, rest) = text.split_once('(').map_or((text, None), |(head, rest)| (head, Some(rest)));
            self.0.push_str(head);
            rest.map_or(Ok(()), |_| Err(std::fmt::Error))
        }
    }

    let mut head = Head(String::new());
    if let Some(node) = node {
        let _stopped_early = write!(head, "{node:?}");
    }
    unknown(if head.0.is_empty() { "nothing where something must be" } else { &head.0 })
}

/// Returns the text of a name or string.
pub(crate) fn text(node: &Node) -> Option<&str> {
    match &node.node {
        Some(NodeEnum::String(it)) => Some(&it.sval),
        Some(NodeEnum::AConst(it)) => match &it.val {
            Some(Val::Sval(it)) => Some(&it.sval),
            _ => None,
        },
        _ => None,
    }
}

/// Returns a whole number.
pub(crate) fn integer(node: &Node) -> Option<i32> {
    match &node.node {
        Some(NodeEnum::Integer(Integer { ival })) => Some(*ival),
        Some(NodeEnum::AConst(it)) => match &it.val {
            Some(Val::Ival(it)) => Some(it.ival),
            _ => None,
        },
        _ => None,
    }
}

pub(crate) fn offset(location: i32) -> std::result::Result<u32, Unreadable> {
    u32::try_from(location).map_err(|_| unknown("a place before the text"))
}

/// Returns the parts of a column's name, `*` for a star.
fn parts(column: &ColumnRef) -> std::result::Result<Vec<String>, Unreadable> {
    let part = |field: &Node| match &field.node {
        Some(NodeEnum::String(it)) => Ok(it.sval.clone()),
        Some(NodeEnum::AStar(_)) => Ok("*".to_owned()),
        other => Err(unknown_node(other.as_ref())),
    };
    column.fields.iter().map(part).collect()
}

/// Returns a value that is a column by itself.
fn column(node: Option<&Node>) -> Option<&ColumnRef> {
    match node?.node.as_ref()? {
        NodeEnum::ColumnRef(column) => Some(column),
        _ => None,
    }
}

/// Returns whether an operator is `=`, and nobody said whose.
fn is_equality(name: &[Node]) -> bool {
    matches!(name, [name] if text(name) == Some("="))
}

fn qualified(name: &[Node]) -> Option<QualifiedName> {
    let (last, before) = name.split_last()?;
    let schema = (!before.is_empty()).then(|| before.iter().filter_map(text).collect::<Vec<_>>().join("."));
    Some(QualifiedName { schema, name: text(last)?.to_owned() })
}

/// Returns where something stands that is written inside of `place`.
fn inside(place: Place, inner: Place) -> Place {
    if place == Place::From { inner } else { place }
}

/// Returns whether a pattern asks for all texts that begin with what comes before its last character.
///
/// Not if that ends with a blank: values of type `character(n)` lose theirs when they become text.
pub(crate) fn is_plain_prefix(pattern: &str) -> bool {
    let prefix = pattern.strip_suffix('%').unwrap_or_default();
    !prefix.is_empty() && !prefix.ends_with(' ') && !prefix.contains(['%', '_', '\\'])
}

fn is_aggregate(name: &QualifiedName) -> bool {
    name.schema.as_deref().is_none_or(|schema| schema == "pg_catalog")
        && AGGREGATES.binary_search(&name.name.as_str()).is_ok()
}

/// Aggregate functions that PostgreSQL brings (15 to 18). Others are unknown here: a query with one of those looks like
/// rows, adding a column to it fails in PostgreSQL, and its outputs have no origin.
#[rustfmt::skip]
const AGGREGATES: [&str; 54] = [
    "any_value", "array_agg", "avg", "bit_and", "bit_or", "bit_xor", "bool_and", "bool_or", "corr", "count",
    "covar_pop", "covar_samp", "cume_dist", "dense_rank", "every", "json_agg", "json_agg_strict", "json_object_agg",
    "json_object_agg_strict", "json_object_agg_unique", "json_object_agg_unique_strict", "jsonb_agg",
    "jsonb_agg_strict", "jsonb_object_agg", "jsonb_object_agg_strict", "jsonb_object_agg_unique",
    "jsonb_object_agg_unique_strict", "max", "min", "mode", "percent_rank", "percentile_cont", "percentile_disc",
    "range_agg", "range_intersect_agg", "rank", "regr_avgx", "regr_avgy", "regr_count", "regr_intercept", "regr_r2",
    "regr_slope", "regr_sxx", "regr_sxy", "regr_syy", "stddev", "stddev_pop", "stddev_samp", "string_agg", "sum",
    "var_pop", "var_samp", "variance", "xmlagg",
];

fn value_function(op: SqlValueFunctionOp) -> std::result::Result<&'static str, Unreadable> {
    Ok(match op {
        SqlValueFunctionOp::SvfopCurrentDate => "current_date",
        SqlValueFunctionOp::SvfopCurrentTime | SqlValueFunctionOp::SvfopCurrentTimeN => "current_time",
        SqlValueFunctionOp::SvfopCurrentTimestamp | SqlValueFunctionOp::SvfopCurrentTimestampN => "current_timestamp",
        SqlValueFunctionOp::SvfopLocaltime | SqlValueFunctionOp::SvfopLocaltimeN => "localtime",
        SqlValueFunctionOp::SvfopLocaltimestamp | SqlValueFunctionOp::SvfopLocaltimestampN => "localtimestamp",
        SqlValueFunctionOp::SvfopCurrentRole => "current_role",
        SqlValueFunctionOp::SvfopCurrentUser => "current_user",
        SqlValueFunctionOp::SvfopUser => "user",
        SqlValueFunctionOp::SvfopSessionUser => "session_user",
        SqlValueFunctionOp::SvfopCurrentCatalog => "current_catalog",
        SqlValueFunctionOp::SvfopCurrentSchema => "current_schema",
        SqlValueFunctionOp::SqlvalueFunctionOpUndefined => return Err(unknown("a value function of no kind")),
    })
}
