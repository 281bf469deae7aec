//! What each person chose, kept in the operator's own PostgreSQL, and in force on every governed row in the same transaction.
