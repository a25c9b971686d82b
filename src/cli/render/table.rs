//! Listings for people: one line each, no borders, so that `grep` and `awk` work.

use comfy_table::{Cell, CellAlignment, ContentArrangement, presets};

use super::plain;

/// One column of a table.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) enum Column {
    /// Words.
    Left(&'static str),
    /// Numbers.
    Right(&'static str),
}

/// A table being filled.
#[derive(Debug)]
pub(in crate::cli) struct Table {
    table: comfy_table::Table,
    columns: Vec<Column>,
}

impl Table {
    pub(in crate::cli) fn new(columns: &[Column]) -> Self {
        let mut table = comfy_table::Table::new();
        // A line is never wrapped: what is narrow is the terminal, not the data.
        table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(columns.iter().map(|column| match column {
            Column::Left(title) => Cell::new(title),
            Column::Right(title) => Cell::new(title).set_alignment(CellAlignment::Right),
        }));
        Self { table, columns: columns.to_vec() }
    }

    /// Adds a line; as many cells as there are columns.
    pub(in crate::cli) fn row<const N: usize>(&mut self, cells: &[String; N]) {
        debug_assert_eq!(N, self.columns.len(), "a cell for each column");
        let cells = cells.iter().zip(&self.columns).map(|(text, column)| match column {
            Column::Left(_) => Cell::new(plain(text)),
            Column::Right(_) => Cell::new(plain(text)).set_alignment(CellAlignment::Right),
        });
        self.table.add_row(cells.collect::<Vec<_>>());
    }

    /// The lines of the table, its header first.
    pub(in crate::cli) fn text(mut self) -> String {
        for column in self.table.column_iter_mut() {
            column.set_padding((0, 3));
        }
        let mut text = String::new();
        for line in self.table.lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::{Column, Table};

    #[test]
    fn lines_are_aligned_and_end_where_their_text_ends() {
        let mut table = Table::new(&[Column::Left("NAME"), Column::Right("REFS")]);
        table.row(&["db".into(), "12".into()]);
        table.row(&["a-long-name\n".into(), "3".into()]);
        assert_eq!(
            table.text(),
            "NAME           REFS\ndb               12\na-long-name\u{fffd}      3\n"
        );
    }
}
