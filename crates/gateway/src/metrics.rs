//! What a gateway counts, in the text format of Prometheus. Counts and durations only: no names, no statements, no rows.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Upper bounds of the buckets of waiting times, in microseconds.
const BOUNDS_US: [u64; 12] = [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000, 10_000_000];

/// A number that only grows, or goes up and down.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

/// How long something took.
#[derive(Debug, Default)]
pub struct Durations {
    buckets: [AtomicU64; BOUNDS_US.len()],
    count: AtomicU64,
    sum_us: AtomicU64,
}

/// All that a gateway counts.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Clients that are connected.
    pub sessions: Count,
    /// Clients that connected.
    pub connections: Count,
    /// Clients that could not say who they are.
    pub refused_logins: Count,
    /// Statements that were let through.
    pub permitted: Count,
    /// Statements and purposes that were denied.
    pub denied: Count,
    /// Rows that left.
    pub rows: Count,
    /// Rows that the stop set held back.
    pub stopped_rows: Count,
    /// Statements whose rows did not leave because they could not be logged.
    pub not_logged: Count,
    /// Sealed cells that were opened.
    pub opened_cells: Count,
    /// Sealed cells that did not open, and left as they are.
    pub closed_cells: Count,
    /// Values of sealed columns that were not sealed.
    pub unsealed_cells: Count,
    /// Errors of the server whose words were replaced.
    pub scrubbed: Count,
    /// Times that a session came to stand on a ticket of emergency.
    pub break_glass: Count,
    /// Uses of break-glass that nobody reviewed within 24 hours, when they were last counted.
    pub overdue_reviews: Count,
    /// Connections that were ready when a session needed one, and those that were not.
    pub warm: Count,
    /// See above.
    pub cold: Count,
    /// From a result's end to its durable entry.
    pub logging: Durations,
}

impl Count {
    /// Adds one.
    pub fn one(&self) {
        self.add(1);
    }

    /// Adds some.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Takes one away.
    pub fn less(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Replaces the number.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// Returns the number.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Durations {
    /// Adds one.
    pub fn add(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = BOUNDS_US.iter().position(|bound| us <= *bound) {
            self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }
}

impl Metrics {
    /// Writes everything in the text format of Prometheus.
    pub fn to_text(&self, stopped_people: usize, stop_set_fresh: bool) -> String {
        let mut text = String::new();
        let mut line = |kind: &str, name: &str, help: &str, value: u64| {
            let _ = writeln!(text, "# HELP vigie_gateway_{name} {help}\n# TYPE vigie_gateway_{name} {kind}");
            let _ = writeln!(text, "vigie_gateway_{name} {value}");
        };
        line("gauge", "sessions", "Clients that are connected.", self.sessions.value());
        line("counter", "connections_total", "Clients that connected.", self.connections.value());
        line(
            "counter",
            "refused_logins_total",
            "Clients that could not say who they are.",
            self.refused_logins.value(),
        );
        line("counter", "permitted_total", "Statements let through.", self.permitted.value());
        line("counter", "denied_total", "Statements and purposes denied.", self.denied.value());
        line("counter", "rows_total", "Rows of people that left.", self.rows.value());
        line("counter", "stopped_rows_total", "Rows that the stop set held back.", self.stopped_rows.value());
        line(
            "counter",
            "not_logged_total",
            "Results held back because they could not be logged.",
            self.not_logged.value(),
        );
        line("counter", "opened_cells_total", "Sealed cells that were opened.", self.opened_cells.value());
        line(
            "counter",
            "closed_cells_total",
            "Sealed cells that did not open: changed, moved, or of an unknown key.",
            self.closed_cells.value(),
        );
        line(
            "counter",
            "unsealed_cells_total",
            "Values of sealed columns that were not sealed.",
            self.unsealed_cells.value(),
        );
        line("counter", "scrubbed_total", "Errors of the server whose words were replaced.", self.scrubbed.value());
        line(
            "counter",
            "break_glass_total",
            "Times that a session came to stand on a ticket of emergency.",
            self.break_glass.value(),
        );
        line(
            "gauge",
            "overdue_reviews",
            "Uses of break-glass that nobody reviewed within 24 hours.",
            self.overdue_reviews.value(),
        );
        line("counter", "warm_total", "Sessions that found a connection ready.", self.warm.value());
        line("counter", "cold_total", "Sessions that had to wait for a login.", self.cold.value());
        line("gauge", "stopped_people", "People in the stop set.", stopped_people as u64);
        line("gauge", "stop_set_fresh", "1 if the stop set was heard of recently.", stop_set_fresh.into());
        let name = "vigie_gateway_logging_seconds";
        let _ = writeln!(text, "# HELP {name} From a result's end to its durable entry.\n# TYPE {name} histogram");
        let mut below = 0;
        for (bound, bucket) in BOUNDS_US.iter().zip(&self.logging.buckets) {
            below += bucket.load(Ordering::Relaxed);
            let _ = writeln!(text, "{name}_bucket{{le=\"{}\"}} {below}", *bound as f64 / 1e6);
        }
        let count = self.logging.count.load(Ordering::Relaxed);
        let sum = self.logging.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
        let _ = writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_once_and_cumulated() {
        let metrics = Metrics::default();
        metrics.logging.add(Duration::from_micros(70));
        metrics.logging.add(Duration::from_secs(100));
        metrics.rows.add(3);
        let text = metrics.to_text(2, true);
        for line in [
            "vigie_gateway_logging_seconds_bucket{le=\"0.00005\"} 0",
            "vigie_gateway_logging_seconds_bucket{le=\"0.0001\"} 1",
            "vigie_gateway_logging_seconds_bucket{le=\"10\"} 1",
            "vigie_gateway_logging_seconds_bucket{le=\"+Inf\"} 2",
            "vigie_gateway_rows_total 3",
            "vigie_gateway_stopped_people 2",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
        }
    }
}
