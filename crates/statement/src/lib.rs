//! Reads what an SQL statement touches and does, with PostgreSQL's own grammar.
