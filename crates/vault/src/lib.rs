//! Keeps what commitments open to: sealed records, found by event and by person, erasable, and durable before anybody relies on them.
