//! Lint and drift over catalogs that are almost as they should be.

use crate::sample::{MAP, compiled, name};
use std::fmt::Write as _;
use vigie_policy::{
    DataMap,
    catalog::{
        Catalog, Column, ColumnGrant, Command, Function, Index, Privilege, Role, RowPolicy, SchemaGrant, Table,
        TableGrant, View,
    },
    drift::{Direction, drift},
    lint::{Gravity, Rule, lint},
    names::{RoleName, TableName},
    sql::{Objects, objects},
};

fn role(text: &str) -> Role {
    Role {
        name: name(text),
        login: true,
        inherit: false,
        superuser: false,
        create_db: false,
        create_role: false,
        replication: false,
        bypass_rls: false,
        connection_limit: -1,
        member_of: [].into(),
        settings: [].into(),
    }
}

/// A database that is as the map wants it.
fn live() -> Catalog {
    let map = DataMap::parse(MAP).unwrap();
    let tables = map.tables.iter().map(|table| {
        let governed = table.governed.as_ref();
        let column = |text: &str, type_name: &str| Column {
            name: name(text),
            type_name: type_name.into(),
            attnum: 1,
            not_null: true,
        };
        let mut columns: Vec<Column> = table
            .columns
            .iter()
            .map(|it| {
                let is_id = it.name.as_str() == "id" || table.subject() == Some(&it.name);
                column(it.name.as_str(), if is_id { "bigint" } else { "text" })
            })
            .collect();
        columns.extend(governed.map(|governed| column(governed.mask.as_str(), "bigint")));
        Table {
            name: table.name.clone(),
            owner: name("owner"),
            columns,
            rls_enabled: governed.is_some(),
            rls_forced: governed.is_some(),
            unlogged: false,
            primary_key: vec![],
        }
    });
    let owner = Role { login: false, ..role("owner") };
    Catalog { server_version: 150_018, tables: tables.collect(), roles: vec![owner], ..Catalog::default() }
}

#[test]
fn a_database_as_the_map_wants_it_has_no_lint() {
    assert_eq!(lint(&DataMap::parse(MAP).unwrap(), &live()), []);
}

#[test]
fn each_lint_is_found_with_a_way_out() {
    let users: TableName = name("public.users");
    fn table<'a>(catalog: &'a mut Catalog, which: &str) -> &'a mut Table {
        catalog.tables.iter_mut().find(|table| table.name.to_string() == which).unwrap()
    }
    fn column<'a>(catalog: &'a mut Catalog, which: &str) -> &'a mut Column {
        table(catalog, "public.users").columns.iter_mut().find(|column| column.name.as_str() == which).unwrap()
    }
    let index = |columns: &[&str], class: &str, predicate: Option<&str>| Index {
        name: "i".into(),
        table: users.clone(),
        method: "btree".into(),
        columns: columns.iter().map(|column| name(column)).collect(),
        operator_classes: vec![class.into()],
        predicate: predicate.map(str::to_owned),
        expression: None,
    };
    let function = Function {
        name: name("public.peek"),
        arguments: "bigint".into(),
        owner: name("owner"),
        security_definer: false,
        fixed_search_path: false,
        public_execute: true,
        volatile: true,
        leakproof: false,
    };
    let definer = Function { security_definer: true, fixed_search_path: true, ..function.clone() };
    type Change = Box<dyn Fn(&mut Catalog)>;
    let mut extra = column(&mut live(), "email").clone();
    extra.name = name("note");
    let view = View {
        name: name("public.all_users"),
        owner: name("owner"),
        security_invoker: false,
        security_barrier: false,
        definition: String::new(),
        columns: vec![],
        reads: vec![users.clone()],
    };
    let foreign = RowPolicy {
        table: users.clone(),
        name: "open".into(),
        permissive: true,
        command: Command::Select,
        roles: [].into(),
        using: Some("true".into()),
        with_check: None,
    };
    let changes: Vec<(Rule, Change)> = vec![
        (Rule::ServerTooOld, Box::new(|it| it.server_version = 150_013)),
        (Rule::ServerTooOld, Box::new(|it| it.server_version = 140_030)),
        (Rule::TableMissing, Box::new(|it| table(it, "public.users").name = name("public.user"))),
        (
            Rule::TableUnmapped,
            Box::new(|it| {
                let more = Table { name: name("public.more"), ..it.tables[0].clone() };
                it.tables.push(more);
            }),
        ),
        (Rule::ColumnMissing, Box::new(|it| column(it, "email").name = name("e_mail"))),
        (Rule::ColumnUnmapped, Box::new(move |it| table(it, "public.users").columns.push(extra.clone()))),
        (Rule::MaskMissing, Box::new(|it| table(it, "public.users").columns.retain(|it| it.name.as_str() != "pmask"))),
        (Rule::MaskType, Box::new(|it| column(it, "pmask").type_name = "integer".into())),
        (Rule::MaskType, Box::new(|it| column(it, "pmask").not_null = false)),
        (Rule::SubjectType, Box::new(|it| column(it, "id").type_name = "uuid".into())),
        (Rule::SubjectNull, Box::new(|it| column(it, "id").not_null = false)),
        (Rule::NotLeakproof, Box::new(|it| column(it, "email").type_name = "jsonb".into())),
        (Rule::NotLeakproof, Box::new(|it| column(it, "email").type_name = "numeric".into())),
        (Rule::NotLeakproof, Box::new(|it| column(it, "email").type_name = "text[]".into())),
        (Rule::NotLeakproof, Box::new(|it| column(it, "email").type_name = "inet".into())),
        (Rule::LikeIndex, {
            let it = index(&["email"], "text_pattern_ops", None);
            Box::new(move |c| c.indexes.push(it.clone()))
        }),
        (Rule::MaskIndexed, {
            let it = index(&["id", "pmask"], "int8_ops", None);
            Box::new(move |c| c.indexes.push(it.clone()))
        }),
        (Rule::MaskIndexed, {
            let it = index(&["id"], "int8_ops", Some("((pmask & 8) <> 0)"));
            Box::new(move |c| c.indexes.push(it.clone()))
        }),
        (Rule::NotForced, Box::new(|it| table(it, "public.users").rls_forced = false)),
        (Rule::Unlogged, Box::new(|it| table(it, "public.users").unlogged = true)),
        (Rule::IgnoresRows, Box::new(|it| it.roles.push(Role { bypass_rls: true, ..role("batch") }))),
        (Rule::IgnoresRows, Box::new(|it| it.roles.push(Role { superuser: true, ..role("dba") }))),
        (Rule::OwnerLogsIn, Box::new(|it| it.roles[0].login = true)),
        (Rule::DefinerPath, {
            let it = Function { fixed_search_path: false, public_execute: false, ..definer.clone() };
            Box::new(move |c| c.functions.push(it.clone()))
        }),
        (Rule::DefinerPublic, {
            let it = definer.clone();
            Box::new(move |c| c.functions.push(it.clone()))
        }),
        (Rule::ClaimsLeakproof, {
            let it = Function { leakproof: true, ..function };
            Box::new(move |c| c.functions.push(it.clone()))
        }),
        (Rule::DefinerView, Box::new(move |it| it.views.push(view.clone()))),
        (Rule::ForeignPolicy, Box::new(move |it| it.policies.push(foreign.clone()))),
    ];
    let map = DataMap::parse(MAP).unwrap();
    let mut page = String::new();
    for (rule, change) in changes {
        let mut catalog = live();
        change(&mut catalog);
        let lints = lint(&map, &catalog);
        assert!(lints.iter().any(|lint| lint.rule == rule), "{rule:?} is not found: {lints:?}");
        assert!(lints.iter().all(|lint| !lint.help.is_empty()));
        assert!(lints.windows(2).all(|pair| pair[0].gravity <= pair[1].gravity), "breaches come first");
        for lint in lints {
            let _ = writeln!(page, "{lint}");
        }
    }
    insta::assert_snapshot!(page);
    let sealed = MAP.replacen(
        "class = \"restricted\"\npurposes = [\"service-provision\", \"fraud-prevention\"]\n[[",
        "class = \"restricted\"\nsealed = true\n[[",
        1,
    );
    let mut catalog = live();
    column(&mut catalog, "phone").type_name = "bigint".into();
    let lints = lint(&DataMap::parse(&sealed).unwrap(), &catalog);
    assert!(lints.iter().any(|lint| lint.rule == Rule::SealedType && lint.gravity == Gravity::Breach), "{lints:?}");
}

/// A database that holds exactly these objects.
fn holding(objects: &Objects) -> Catalog {
    let mut catalog = live();
    for it in &objects.roles {
        let settings =
            it.settings.iter().map(|(setting, value)| format!("{setting}={}", value.trim_matches('\''))).collect();
        catalog.roles.push(Role { settings, ..role(it.name.as_str()) });
    }
    for schema in &objects.schemas {
        catalog.schema_grants.push(SchemaGrant {
            schema: schema.name.clone(),
            role: schema.role.clone(),
            create: false,
        });
    }
    for view in &objects.views {
        let columns: Vec<String> = view.columns.iter().map(|column| format!(" {column}")).collect();
        catalog.views.push(View {
            name: view.name.clone(),
            owner: name("postgres"),
            security_invoker: true,
            security_barrier: false,
            definition: format!(" SELECT{}\n   FROM {} t;", columns.join(",\n   "), view.table),
            columns: view.columns.clone(),
            reads: vec![view.table.clone()],
        });
    }
    for grant in &objects.grants {
        let (table, holder, privilege) = (grant.table.clone(), Some(grant.role.clone()), grant.privilege);
        if grant.columns.is_empty() {
            catalog.table_grants.push(TableGrant { table: table.clone(), role: holder.clone(), privilege });
        }
        for column in &grant.columns {
            let (table, role, column) = (table.clone(), holder.clone(), column.clone());
            catalog.column_grants.push(ColumnGrant { table, column, role, privilege });
        }
    }
    for policy in &objects.policies {
        catalog.policies.push(RowPolicy {
            table: policy.table.clone(),
            name: policy.name.clone(),
            permissive: true,
            command: policy.command,
            roles: policy.roles.clone(),
            using: Some(policy.using().replace('"', "")),
            with_check: None,
        });
    }
    catalog
}

#[test]
fn a_database_that_holds_the_objects_has_not_drifted() {
    let objects = objects(&compiled("pixelle"));
    assert_eq!(drift(&objects, &holding(&objects)), []);
}

#[test]
fn each_difference_is_found_and_told_which_way_it_goes() {
    let objects = objects(&compiled("pixelle"));
    let first: RoleName = objects.roles[0].name.clone();
    let users: TableName = name("public.users");
    type Change<'a> = Box<dyn Fn(&mut Catalog) + 'a>;
    let of_first = |catalog: &mut Catalog, change: &dyn Fn(&mut Role)| {
        change(catalog.roles.iter_mut().find(|role| role.name == first).unwrap());
    };
    let changes: Vec<(Direction, &str, Change<'_>)> = vec![
        (Direction::Wider, "is a superuser", Box::new(|it| of_first(it, &|role| role.superuser = true))),
        (Direction::Wider, "bypasses", Box::new(|it| of_first(it, &|role| role.bypass_rls = true))),
        (Direction::Wider, "inherits", Box::new(|it| of_first(it, &|role| role.inherit = true))),
        (
            Direction::Wider,
            "is a member of `owner`",
            Box::new(|it| of_first(it, &|role| role.member_of = [name("owner")].into())),
        ),
        (Direction::Wider, "is a member of `vigie_", Box::new(|it| it.roles[0].member_of = [first.clone()].into())),
        (Direction::Wider, "belongs to no context", Box::new(|it| it.roles.push(role("vigie_pixelle_old_0123abcd")))),
        (Direction::Narrower, "may not log in", Box::new(|it| of_first(it, &|role| role.login = false))),
        (Direction::Narrower, "is missing", Box::new(|it| it.roles.retain(|role| role.name != first))),
        (
            Direction::Narrower,
            "does not start with `search_path`",
            Box::new(|it| of_first(it, &|role| role.settings.retain(|it| !it.starts_with("search_path")))),
        ),
        (
            Direction::Wider,
            "holds Select",
            Box::new(|it| {
                it.table_grants.push(TableGrant {
                    table: users.clone(),
                    role: Some(first.clone()),
                    privilege: Privilege::Select,
                });
            }),
        ),
        (
            Direction::Wider,
            "holds Update",
            Box::new(|it| {
                it.column_grants.push(ColumnGrant {
                    table: users.clone(),
                    column: name("pmask"),
                    role: Some(first.clone()),
                    privilege: Privilege::Update,
                });
            }),
        ),
        (
            Direction::Wider,
            "PUBLIC holds Select",
            Box::new(|it| {
                it.table_grants.push(TableGrant { table: users.clone(), role: None, privilege: Privilege::Select });
            }),
        ),
        (
            Direction::Narrower,
            "lacks Select",
            Box::new(|it| {
                it.column_grants.remove(0);
            }),
        ),
        (
            Direction::Wider,
            "may use it",
            Box::new(|it| {
                it.schema_grants.push(SchemaGrant { schema: name("public"), role: first.clone(), create: false });
            }),
        ),
        (
            Direction::Narrower,
            "its role may not use it",
            Box::new(|it| {
                it.schema_grants.remove(0);
            }),
        ),
        (Direction::Wider, "rights of its owner", Box::new(|it| it.views[0].security_invoker = false)),
        (
            Direction::Wider,
            "plain choice of columns",
            Box::new(|it| it.views[0].definition = it.views[0].definition.replace("SELECT", "SELECT DISTINCT")),
        ),
        (Direction::Wider, "alone", Box::new(|it| it.views[0].reads.push(name("public.secrets")))),
        (
            Direction::Narrower,
            "is missing",
            Box::new(|it| {
                it.views.remove(0);
            }),
        ),
        (
            Direction::Wider,
            "is not of the policy",
            Box::new(|it| {
                let mut more = it.views[0].clone();
                more.name.name = "more".into();
                it.views.push(more);
            }),
        ),
        (Direction::Wider, "is off", Box::new(|it| it.tables.iter_mut().for_each(|table| table.rls_enabled = false))),
        (
            Direction::Wider,
            "not forced",
            Box::new(|it| it.tables.iter_mut().for_each(|table| table.rls_forced = false)),
        ),
        (Direction::Wider, "shows rows by `true`", Box::new(|it| it.policies[0].using = Some("true".into()))),
        (Direction::Wider, "shows rows by `nothing`", Box::new(|it| it.policies[0].using = None)),
        (Direction::Wider, "is for PUBLIC", Box::new(|it| it.policies[0].roles = [].into())),
        (
            Direction::Wider,
            "too",
            Box::new(|it| {
                it.policies[0].roles.insert(name("owner"));
            }),
        ),
        (
            Direction::Narrower,
            "is missing",
            Box::new(|it| {
                it.policies.remove(0);
            }),
        ),
        (Direction::Narrower, "is restrictive", Box::new(|it| it.policies[0].permissive = false)),
        (
            Direction::Wider,
            "is not of it",
            Box::new(|it| {
                let mut open = it.policies[0].clone();
                open.name = "open".into();
                open.roles = [].into();
                it.policies.push(open);
            }),
        ),
        (
            Direction::Wider,
            "TEMPORARY on the database",
            Box::new(|it| {
                it.public.database.insert("TEMPORARY".into());
            }),
        ),
        (
            Direction::Wider,
            "may execute `pg_notify",
            Box::new(|it| {
                it.public.functions.insert("pg_notify(text, text)".into());
            }),
        ),
        (
            Direction::Wider,
            "language `plpgsql`",
            Box::new(|it| {
                it.public.languages.insert("plpgsql".into());
            }),
        ),
        (
            Direction::Wider,
            "schema `public`",
            Box::new(|it| {
                it.public.schemas.insert(name("public"));
            }),
        ),
    ];
    for (direction, what, change) in changes {
        let mut catalog = holding(&objects);
        change(&mut catalog);
        let drifts = drift(&objects, &catalog);
        assert!(drifts.iter().any(|it| it.direction == direction && it.what.contains(what)), "{what}: {drifts:?}");
    }
}
