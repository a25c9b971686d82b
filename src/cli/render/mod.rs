//! How answers look: tables and blocks for people, JSON for scripts, progress
//! for who waits. Knows the views, nothing of commands.

mod block;
mod output;
mod progress;
mod table;
mod time;

pub(super) use block::Block;
pub(super) use output::Output;
pub(super) use progress::{Progress, parts as progress_parts};
pub(super) use table::{Column, Table};
pub(super) use time::{ago, duration, exactly, local, until};

use berth_api::Bytes;

/// What a column shows where there is nothing to show.
pub(super) const NOTHING: &str = "-";

/// A size for people, or nothing where it is not known.
pub(super) fn size(bytes: Option<Bytes>) -> String {
    bytes.map_or_else(|| NOTHING.to_owned(), |bytes| bytes.to_string())
}

/// Text of the daemon without what would move the cursor or break a line.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .map(|character| if character.is_control() { '\u{fffd}' } else { character })
        .collect()
}
