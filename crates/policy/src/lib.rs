//! Decides who may read what, where and for which purpose: a data map and Cedar policies in, contexts and the SQL that enforces them out.
