//! The table, and what is computed from samples.

use std::{
    io::{self, Write as _},
    time::Duration,
};

/// Rows of figure, value and target.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<[String; 3]>,
    notes: Vec<String>,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a row, and shows it at once: a benchmark takes its time.
    pub(crate) fn row(&mut self, figure: &str, value: &str, target: &str) {
        let _ = writeln!(io::stderr(), "{figure}: {value}");
        self.rows.push([figure, value, target].map(ToOwned::to_owned));
    }

    /// Adds a remark below the table.
    pub(crate) fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }

    /// Prints all rows in columns.
    pub(crate) fn print(&self) {
        let heading = ["figure", "measured", "target"].map(ToOwned::to_owned);
        let width = |column: usize| {
            let rows = self.rows.iter().chain([&heading]);
            rows.map(|row| row[column].chars().count()).max().unwrap_or(0)
        };
        let (first, second) = (width(0), width(1));
        let mut out = io::stdout().lock();
        let _ = writeln!(out);
        for [figure, value, target] in [&heading].into_iter().chain(&self.rows) {
            let line = format!("{figure:<first$}  {value:>second$}  {target}");
            let _ = writeln!(out, "{}", line.trim_end());
        }
        for note in &self.notes {
            let _ = writeln!(out, "({note})");
        }
    }
}

/// Durations of single calls.
#[derive(Debug)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    pub(crate) fn new(mut samples: Vec<Duration>) -> Self {
        assert!(!samples.is_empty(), "nothing was measured");
        samples.sort_unstable();
        Self(samples)
    }

    /// The value that `percent` of the samples do not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let index = (self.0.len() * percent / 100).min(self.0.len() - 1);
        self.0[index]
    }

    pub(crate) fn p50(&self) -> Duration {
        self.percentile(50)
    }

    pub(crate) fn p99(&self) -> Duration {
        self.percentile(99)
    }
}

/// Milliseconds with three digits.
pub(crate) fn ms(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}

/// A rate.
pub(crate) fn per_second(count: usize, time: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let count = count as f64;
    count / time.as_secs_f64()
}
