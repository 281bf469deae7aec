//! Reads what a live database says of itself, in one snapshot.

use crate::{DatabaseError, error::Doing as _};
use std::collections::BTreeSet;
use tokio_postgres::{Client, IsolationLevel, Row, Transaction};
use vigie_policy::{
    catalog::{
        Catalog, Column, ColumnGrant, Command, ForeignKey, Function, Index, Privilege, PublicRights, Role, RowPolicy,
        SchemaGrant, Table, TableGrant, Trigger, View,
    },
    names::{ColumnName, NameError, RoleName, SchemaName, TableName},
    sql::REVOKED_FUNCTIONS,
};

/// Schemas that are PostgreSQL's own, as a condition that leaves them out of `pg_namespace n`.
const NOT_SYSTEM: &str = "n.nspname <> 'information_schema' AND n.nspname !~ '^pg_(catalog|toast|temp|toast_temp)'";

/// Reads the catalog of a live database, in one transaction that sees one state of it. The lists are in order of names.
///
/// # Errors
///
/// What the server says, and [`DatabaseError::Name`] for names that no map could hold.
pub async fn read_catalog(client: &mut Client) -> Result<Catalog, DatabaseError> {
    let doing = "reading the catalog";
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await
        .doing(doing)?;
    // Expressions are printed with all names in full.
    transaction.batch_execute("SET LOCAL search_path = pg_catalog").await.doing(doing)?;
    let reader = Reader { transaction: &transaction };
    let catalog = Catalog {
        server_version: reader.version().await?,
        tables: reader.tables().await?,
        views: reader.views().await?,
        policies: reader.policies().await?,
        roles: reader.roles().await?,
        table_grants: reader.table_grants().await?,
        column_grants: reader.column_grants().await?,
        schema_grants: reader.schema_grants().await?,
        functions: reader.functions().await?,
        indexes: reader.indexes().await?,
        triggers: reader.triggers().await?,
        foreign_keys: reader.foreign_keys().await?,
        public: reader.public().await?,
    };
    transaction.commit().await.doing(doing)?;
    Ok(catalog)
}

struct Reader<'a> {
    transaction: &'a Transaction<'a>,
}

fn table_name(row: &Row, schema: usize) -> Result<TableName, NameError> {
    TableName::new(row.get(schema), row.get(schema + 1))
}

fn columns(names: Option<Vec<String>>) -> Result<Vec<ColumnName>, NameError> {
    names.unwrap_or_default().into_iter().map(ColumnName::new).collect()
}

fn roles(names: Option<Vec<String>>) -> Result<BTreeSet<RoleName>, NameError> {
    names.unwrap_or_default().into_iter().map(RoleName::new).collect()
}

fn privilege(word: &str) -> Result<Privilege, DatabaseError> {
    Ok(match word {
        "SELECT" => Privilege::Select,
        "INSERT" => Privilege::Insert,
        "UPDATE" => Privilege::Update,
        "DELETE" => Privilege::Delete,
        "TRUNCATE" => Privilege::Truncate,
        "REFERENCES" => Privilege::References,
        "TRIGGER" => Privilege::Trigger,
        "MAINTAIN" => Privilege::Maintain,
        other => return Err(DatabaseError::Word(other.to_owned())),
    })
}

/// Whom a grant is for; none for PUBLIC.
fn grantee(name: Option<String>) -> Result<Option<RoleName>, NameError> {
    name.map(RoleName::new).transpose()
}

impl Reader<'_> {
    async fn rows(&self, sql: &str) -> Result<Vec<Row>, DatabaseError> {
        self.transaction.query(sql, &[]).await.doing("reading the catalog")
    }

    async fn version(&self) -> Result<u32, DatabaseError> {
        let rows = self.rows("SELECT current_setting('server_version_num')::int").await?;
        Ok(rows[0].get::<_, i32>(0).cast_unsigned())
    }

    async fn tables(&self) -> Result<Vec<Table>, DatabaseError> {
        let sql = format!(
            "SELECT n.nspname::text, c.relname::text, pg_get_userbyid(c.relowner)::text, c.relrowsecurity,
                    c.relforcerowsecurity, c.relpersistence = 'u',
                    (SELECT array_agg(a.attname::text ORDER BY k.place) FROM pg_index i
                     CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
                     JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
                     WHERE i.indrelid = c.oid AND i.indisprimary),
                    (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
                     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
                    (SELECT array_agg(format_type(a.atttypid, NULL) ORDER BY a.attnum) FROM pg_attribute a
                     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
                    (SELECT array_agg(a.attnum ORDER BY a.attnum) FROM pg_attribute a
                     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
                    (SELECT array_agg(a.attnotnull ORDER BY a.attnum) FROM pg_attribute a
                     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind IN ('r', 'p') AND {NOT_SYSTEM} ORDER BY 1, 2"
        );
        let mut tables = Vec::new();
        for row in self.rows(&sql).await? {
            let names = columns(row.get(7))?;
            let types: Vec<String> = row.get::<_, Option<_>>(8).unwrap_or_default();
            let numbers: Vec<i16> = row.get::<_, Option<_>>(9).unwrap_or_default();
            let not_null: Vec<bool> = row.get::<_, Option<_>>(10).unwrap_or_default();
            let columns_of = names.into_iter().zip(types).zip(numbers).zip(not_null);
            tables.push(Table {
                name: table_name(&row, 0)?,
                owner: RoleName::new(row.get::<_, String>(2))?,
                columns: columns_of
                    .map(|(((name, type_name), attnum), not_null)| Column { name, type_name, attnum, not_null })
                    .collect(),
                rls_enabled: row.get(3),
                rls_forced: row.get(4),
                unlogged: row.get(5),
                primary_key: columns(row.get(6))?,
            });
        }
        Ok(tables)
    }

    async fn views(&self) -> Result<Vec<View>, DatabaseError> {
        let option = |name: &str| {
            format!(
                "coalesce((SELECT lower(o.option_value) IN ('true', 'on', 'yes', '1') FROM pg_options_to_table(c.reloptions) o
                           WHERE o.option_name = '{name}'), false)"
            )
        };
        let sql = format!(
            "SELECT n.nspname::text, c.relname::text, pg_get_userbyid(c.relowner)::text, {}, {}, pg_get_viewdef(c.oid),
                    (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
                     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
                    (SELECT array_agg(DISTINCT tn.nspname::text || E'\\n' || t.relname::text) FROM pg_rewrite r
                     JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                         AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> c.oid
                     JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace tn ON tn.oid = t.relnamespace
                     WHERE r.ev_class = c.oid)
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind = 'v' AND {NOT_SYSTEM} ORDER BY 1, 2",
            option("security_invoker"),
            option("security_barrier")
        );
        let mut views = Vec::new();
        for row in self.rows(&sql).await? {
            // Schema and name, of which neither may hold the line break between them.
            let reads: Vec<String> = row.get::<_, Option<_>>(7).unwrap_or_default();
            let split = |both: &String| {
                let (schema, name) = both.split_once('\n').unwrap_or(("", both));
                TableName::new(schema, name)
            };
            let reads: Result<Vec<TableName>, NameError> = reads.iter().map(split).collect();
            views.push(View {
                name: table_name(&row, 0)?,
                owner: RoleName::new(row.get::<_, String>(2))?,
                security_invoker: row.get(3),
                security_barrier: row.get(4),
                definition: row.get(5),
                columns: columns(row.get(6))?,
                reads: reads?,
            });
        }
        Ok(views)
    }

    async fn policies(&self) -> Result<Vec<RowPolicy>, DatabaseError> {
        let sql = "SELECT n.nspname::text, c.relname::text, p.polname::text, p.polpermissive, p.polcmd::text,
                          (SELECT array_agg(pg_get_userbyid(r)::text) FROM unnest(p.polroles) r WHERE r <> 0),
                          pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)
                   FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
                   ORDER BY 1, 2, 3";
        let mut policies = Vec::new();
        for row in self.rows(sql).await? {
            let command = match row.get::<_, &str>(4) {
                "*" => Command::All,
                "r" => Command::Select,
                "a" => Command::Insert,
                "w" => Command::Update,
                "d" => Command::Delete,
                other => return Err(DatabaseError::Word(other.to_owned())),
            };
            policies.push(RowPolicy {
                table: table_name(&row, 0)?,
                name: row.get(2),
                permissive: row.get(3),
                command,
                roles: roles(row.get(5))?,
                using: row.get(6),
                with_check: row.get(7),
            });
        }
        Ok(policies)
    }

    async fn roles(&self) -> Result<Vec<Role>, DatabaseError> {
        let sql = "SELECT r.rolname::text, r.rolcanlogin, r.rolinherit, r.rolsuper, r.rolcreatedb, r.rolcreaterole,
                          r.rolreplication, r.rolbypassrls, r.rolconnlimit,
                          (SELECT array_agg(pg_get_userbyid(m.roleid)::text) FROM pg_auth_members m WHERE m.member = r.oid),
                          (SELECT array_agg(setting) FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) setting
                           WHERE s.setrole = r.oid AND s.setdatabase IN
                               (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())))
                   FROM pg_roles r ORDER BY 1";
        let mut all = Vec::new();
        for row in self.rows(sql).await? {
            all.push(Role {
                name: RoleName::new(row.get::<_, String>(0))?,
                login: row.get(1),
                inherit: row.get(2),
                superuser: row.get(3),
                create_db: row.get(4),
                create_role: row.get(5),
                replication: row.get(6),
                bypass_rls: row.get(7),
                connection_limit: row.get(8),
                member_of: roles(row.get(9))?,
                settings: row.get::<_, Option<Vec<String>>>(10).unwrap_or_default().into_iter().collect(),
            });
        }
        Ok(all)
    }

    async fn table_grants(&self) -> Result<Vec<TableGrant>, DatabaseError> {
        let sql = format!(
            "SELECT DISTINCT n.nspname::text, c.relname::text, r.rolname::text, a.privilege_type
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             CROSS JOIN LATERAL aclexplode(c.relacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
             WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.grantee <> c.relowner AND {NOT_SYSTEM} ORDER BY 1, 2, 3, 4"
        );
        let mut grants = Vec::new();
        for row in self.rows(&sql).await? {
            let privilege = privilege(row.get(3))?;
            grants.push(TableGrant { table: table_name(&row, 0)?, role: grantee(row.get(2))?, privilege });
        }
        Ok(grants)
    }

    async fn column_grants(&self) -> Result<Vec<ColumnGrant>, DatabaseError> {
        let sql = format!(
            "SELECT DISTINCT n.nspname::text, c.relname::text, t.attname::text, r.rolname::text, a.privilege_type
             FROM pg_attribute t JOIN pg_class c ON c.oid = t.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
             CROSS JOIN LATERAL aclexplode(t.attacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
             WHERE t.attacl IS NOT NULL AND a.grantee <> c.relowner AND {NOT_SYSTEM} ORDER BY 1, 2, 3, 4, 5"
        );
        let mut grants = Vec::new();
        for row in self.rows(&sql).await? {
            grants.push(ColumnGrant {
                table: table_name(&row, 0)?,
                column: ColumnName::new(row.get::<_, String>(2))?,
                role: grantee(row.get(3))?,
                privilege: privilege(row.get(4))?,
            });
        }
        Ok(grants)
    }

    async fn schema_grants(&self) -> Result<Vec<SchemaGrant>, DatabaseError> {
        let sql = format!(
            "SELECT DISTINCT n.nspname::text, r.rolname::text, a.privilege_type = 'CREATE'
             FROM pg_namespace n CROSS JOIN LATERAL aclexplode(n.nspacl) a JOIN pg_roles r ON r.oid = a.grantee
             WHERE a.grantee <> n.nspowner AND {NOT_SYSTEM} ORDER BY 1, 2, 3"
        );
        let mut grants = Vec::new();
        for row in self.rows(&sql).await? {
            grants.push(SchemaGrant {
                schema: SchemaName::new(row.get::<_, String>(0))?,
                role: RoleName::new(row.get::<_, String>(1))?,
                create: row.get(2),
            });
        }
        Ok(grants)
    }

    async fn functions(&self) -> Result<Vec<Function>, DatabaseError> {
        let sql = format!(
            "SELECT n.nspname::text, p.proname::text, pg_get_function_identity_arguments(p.oid),
                    pg_get_userbyid(p.proowner)::text, p.prosecdef,
                    EXISTS (SELECT FROM unnest(p.proconfig) c WHERE c ~ '^search_path='),
                    EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
                            WHERE a.grantee = 0 AND a.privilege_type = 'EXECUTE'),
                    p.provolatile = 'v', p.proleakproof
             FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
             WHERE {NOT_SYSTEM} ORDER BY 1, 2, 3"
        );
        let mut functions = Vec::new();
        for row in self.rows(&sql).await? {
            functions.push(Function {
                name: table_name(&row, 0)?,
                arguments: row.get(2),
                owner: RoleName::new(row.get::<_, String>(3))?,
                security_definer: row.get(4),
                fixed_search_path: row.get(5),
                public_execute: row.get(6),
                volatile: row.get(7),
                leakproof: row.get(8),
            });
        }
        Ok(functions)
    }

    async fn indexes(&self) -> Result<Vec<Index>, DatabaseError> {
        let sql = format!(
            "SELECT n.nspname::text, c.relname::text, i.relname::text, m.amname::text,
                    (SELECT array_agg(a.attname::text ORDER BY k.place)
                     FROM unnest(x.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
                     JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum),
                    (SELECT array_agg(o.opcname::text ORDER BY k.place)
                     FROM unnest(x.indclass::oid[]) WITH ORDINALITY AS k (class, place) JOIN pg_opclass o ON o.oid = k.class),
                    pg_get_expr(x.indpred, x.indrelid), pg_get_expr(x.indexprs, x.indrelid)
             FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
             JOIN pg_am m ON m.oid = i.relam JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind IN ('r', 'p') AND {NOT_SYSTEM} ORDER BY 1, 2, 3"
        );
        let mut indexes = Vec::new();
        for row in self.rows(&sql).await? {
            indexes.push(Index {
                name: row.get(2),
                table: table_name(&row, 0)?,
                method: row.get(3),
                columns: columns(row.get(4))?,
                operator_classes: row.get::<_, Option<_>>(5).unwrap_or_default(),
                predicate: row.get(6),
                expression: row.get(7),
            });
        }
        Ok(indexes)
    }

    async fn triggers(&self) -> Result<Vec<Trigger>, DatabaseError> {
        let sql = format!(
            "SELECT n.nspname::text, c.relname::text, pn.nspname::text, p.proname::text, t.tgname::text, t.tgenabled <> 'D'
             FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
             JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace pn ON pn.oid = p.pronamespace
             WHERE NOT t.tgisinternal AND {NOT_SYSTEM} ORDER BY 1, 2, 5"
        );
        let mut triggers = Vec::new();
        for row in self.rows(&sql).await? {
            triggers.push(Trigger {
                name: row.get(4),
                table: table_name(&row, 0)?,
                function: table_name(&row, 2)?,
                enabled: row.get(5),
            });
        }
        Ok(triggers)
    }

    async fn foreign_keys(&self) -> Result<Vec<ForeignKey>, DatabaseError> {
        let sql = format!(
            "SELECT n.nspname::text, c.relname::text, tn.nspname::text, t.relname::text, a.attname::text, ta.attname::text
             FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
             JOIN pg_class t ON t.oid = k.confrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.conkey[1]
             JOIN pg_attribute ta ON ta.attrelid = t.oid AND ta.attnum = k.confkey[1]
             WHERE k.contype = 'f' AND k.conparentid = 0 AND cardinality(k.conkey) = 1 AND {NOT_SYSTEM} ORDER BY 1, 2, 5"
        );
        let mut keys = Vec::new();
        for row in self.rows(&sql).await? {
            keys.push(ForeignKey {
                table: table_name(&row, 0)?,
                column: ColumnName::new(row.get::<_, String>(4))?,
                to_table: table_name(&row, 2)?,
                to_column: ColumnName::new(row.get::<_, String>(5))?,
            });
        }
        Ok(keys)
    }

    async fn public(&self) -> Result<PublicRights, DatabaseError> {
        let texts = async |sql: &str| {
            let rows = self.rows(sql).await?;
            Ok::<BTreeSet<String>, DatabaseError>(rows.iter().map(|row| row.get(0)).collect())
        };
        let database = "SELECT a.privilege_type FROM pg_database d
                        CROSS JOIN LATERAL aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
                        WHERE d.datname = current_database() AND a.grantee = 0";
        let schemas = format!(
            "SELECT n.nspname::text FROM pg_namespace n
             CROSS JOIN LATERAL aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
             WHERE a.grantee = 0 AND {NOT_SYSTEM}"
        );
        let languages = "SELECT l.lanname::text FROM pg_language l
                         CROSS JOIN LATERAL aclexplode(coalesce(l.lanacl, acldefault('l', l.lanowner))) a
                         WHERE a.grantee = 0 AND l.lanpltrusted";
        let functions = format!(
            "SELECT p.oid::regprocedure::text FROM pg_proc p WHERE {REVOKED_FUNCTIONS}
             AND EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0)"
        );
        let schemas: Result<BTreeSet<SchemaName>, NameError> =
            texts(&schemas).await?.into_iter().map(SchemaName::new).collect();
        Ok(PublicRights {
            database: texts(database).await?,
            schemas: schemas?,
            languages: texts(languages).await?,
            functions: texts(&functions).await?,
        })
    }
}
