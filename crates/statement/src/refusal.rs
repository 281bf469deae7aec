//! What is refused whoever asks, by its name in SQL, with the reason that is told.
//!
//! Not a list of what is dangerous: everything that [`mod@crate::read`] does not know ends here. The list only finds
//! better words for what people try.

use pg_query::{NodeEnum, protobuf::DiscardMode};

use crate::{
    reading::{Statement, Unreadable},
    walk::unknown_node,
};

/// Returns the refusal of a statement that is no other kind of statement.
pub(crate) fn refuse(node: &NodeEnum) -> Statement {
    let (what, why) = match node {
        NodeEnum::DoStmt(_) => ("DO", "it runs code that nobody has read"),
        NodeEnum::CallStmt(_) => ("CALL", "procedures may do anything, and end transactions"),
        NodeEnum::ListenStmt(_) => ("LISTEN", "notifications carry what others wrote past every policy"),
        NodeEnum::UnlistenStmt(_) => ("UNLISTEN", "there is nothing to listen to here"),
        NodeEnum::NotifyStmt(_) => ("NOTIFY", "notifications carry values past every policy"),
        NodeEnum::LockStmt(_) => ("LOCK", "locks on whole tables hold up everybody else"),
        NodeEnum::LoadStmt(_) => ("LOAD", "it loads code into the database server"),
        NodeEnum::DiscardStmt(it) => match it.target() {
            DiscardMode::DiscardAll => ("DISCARD ALL", "the gate resets sessions itself"),
            DiscardMode::DiscardPlans => ("DISCARD PLANS", "the gate resets sessions itself"),
            DiscardMode::DiscardSequences => ("DISCARD SEQUENCES", "the gate resets sessions itself"),
            DiscardMode::DiscardTemp | DiscardMode::Undefined => ("DISCARD TEMP", "the gate resets sessions itself"),
        },
        NodeEnum::CreateTableAsStmt(_) => ("CREATE TABLE AS", "it makes a copy that no policy governs"),
        NodeEnum::RefreshMatViewStmt(_) => ("REFRESH MATERIALIZED VIEW", "it makes a copy that no policy governs"),
        NodeEnum::CreateStmt(_) => ("CREATE TABLE", DEFINES),
        NodeEnum::ViewStmt(_) => ("CREATE VIEW", DEFINES),
        NodeEnum::CreateFunctionStmt(_) => ("CREATE FUNCTION", "a cheap function sees rows before the policies do"),
        NodeEnum::DefineStmt(_) => ("CREATE AGGREGATE, OPERATOR or TYPE", DEFINES),
        NodeEnum::IndexStmt(_) => ("CREATE INDEX", DEFINES),
        NodeEnum::CreateSchemaStmt(_) => ("CREATE SCHEMA", DEFINES),
        NodeEnum::CreateSeqStmt(_) => ("CREATE SEQUENCE", DEFINES),
        NodeEnum::CreateTrigStmt(_) => ("CREATE TRIGGER", DEFINES),
        NodeEnum::CreateExtensionStmt(_) => ("CREATE EXTENSION", DEFINES),
        NodeEnum::CreateRoleStmt(_) => ("CREATE ROLE", "who may do what is decided in the policies"),
        NodeEnum::AlterRoleStmt(_) | NodeEnum::AlterRoleSetStmt(_) => {
            ("ALTER ROLE", "who may do what is decided in the policies")
        }
        NodeEnum::GrantStmt(_) | NodeEnum::GrantRoleStmt(_) => {
            ("GRANT or REVOKE", "who may do what is decided in the policies")
        }
        NodeEnum::CreatePolicyStmt(_) | NodeEnum::AlterPolicyStmt(_) => {
            ("CREATE or ALTER POLICY", "who may do what is decided in the policies")
        }
        NodeEnum::AlterTableStmt(_) => ("ALTER TABLE", DEFINES),
        NodeEnum::AlterSystemStmt(_) => ("ALTER SYSTEM", "settings of the server are the operator's"),
        NodeEnum::DropStmt(_) => ("DROP", DEFINES),
        NodeEnum::TruncateStmt(_) => ("TRUNCATE", "it removes rows without looking at the policies"),
        NodeEnum::VacuumStmt(_) => ("VACUUM or ANALYZE", "maintenance is the operator's"),
        NodeEnum::ClusterStmt(_) => ("CLUSTER", "maintenance is the operator's"),
        NodeEnum::ReindexStmt(_) => ("REINDEX", "maintenance is the operator's"),
        NodeEnum::CheckPointStmt(_) => ("CHECKPOINT", "maintenance is the operator's"),
        NodeEnum::ConstraintsSetStmt(_) => ("SET CONSTRAINTS", "when constraints are checked is the operator's to say"),
        NodeEnum::CommentStmt(_) => ("COMMENT", DEFINES),
        NodeEnum::SecLabelStmt(_) => ("SECURITY LABEL", DEFINES),
        other => {
            let Unreadable::Unknown { construct } = unknown_node(Some(other)) else { unreachable!("it names a node") };
            let what = construct.strip_suffix("Stmt").unwrap_or(&construct).to_owned();
            return Statement::refused(what, "the gate does not know it");
        }
    };
    Statement::refused(what, why)
}

/// Returns the refusal of a setting that decides who the session is, whatever is done to it.
pub(crate) fn setting(name: &str) -> Option<Statement> {
    match name {
        "role" => Some(Statement::refused("SET ROLE", "the gate decides as whom a session reads")),
        "session_authorization" => {
            Some(Statement::refused("SET SESSION AUTHORIZATION", "the gate decides as whom a session reads"))
        }
        _ => None,
    }
}

const DEFINES: &str = "what the database consists of is changed by the operator, not through the gate";
