//! One object for people: a key and a value on each line.

use super::plain;

/// A block being filled.
#[derive(Debug, Default)]
pub(in crate::cli) struct Block {
    lines: Vec<(String, String)>,
}

impl Block {
    /// Adds a line.
    pub(in crate::cli) fn line(&mut self, key: &str, value: impl AsRef<str>) {
        self.lines.push((plain(key), plain(value.as_ref())));
    }

    /// Adds a line if there is something to say.
    pub(in crate::cli) fn some(&mut self, key: &str, value: Option<impl AsRef<str>>) {
        if let Some(value) = value {
            self.line(key, value);
        }
    }

    /// The lines, their values in one column.
    pub(in crate::cli) fn text(&self) -> String {
        let width = self.lines.iter().map(|(key, _)| key.len() + 1).max().unwrap_or_default();
        self.lines
            .iter()
            .map(|(key, value)| {
                let key = format!("{key}:");
                format!("{key:width$}  {value}").trim_end().to_owned() + "\n"
            })
            .collect()
    }
}
