//! What people see of volumes.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::{
    cli::render::{Block, Column, NOTHING, Table, ago, local, size, until},
    view::VolumeView,
};

/// All that live.
pub(super) fn live(volumes: &[VolumeView]) -> Table {
    let mut table = Table::new(&[
        Column::Left("NAME"),
        Column::Left("POOL"),
        Column::Left("STATE"),
        Column::Right("USED"),
        Column::Right("REFS"),
        Column::Left("CREATED"),
    ]);
    for volume in volumes {
        table.row(&[
            volume.name.clone(),
            volume.pool.clone(),
            state(volume),
            used(volume),
            volume.references.to_string(),
            ago(volume.created),
        ]);
    }
    table
}

/// All that are in the trash.
pub(super) fn removed(volumes: &[VolumeView]) -> Table {
    let mut table = Table::new(&[
        Column::Left("NAME"),
        Column::Left("ID"),
        Column::Left("POOL"),
        Column::Right("USED"),
        Column::Left("REMOVED"),
        Column::Left("EXPIRES"),
    ]);
    for volume in volumes {
        table.row(&[
            volume.name.clone(),
            volume.id.to_string(),
            volume.pool.clone(),
            used(volume),
            volume.removed.map_or_else(|| NOTHING.to_owned(), ago),
            volume.expires.map_or_else(|| "never".to_owned(), until),
        ]);
    }
    table
}

/// One, with all that is known of it.
pub(super) fn block(volume: &VolumeView) -> Block {
    let mut block = Block::default();
    block.line("name", &volume.name);
    block.line("id", volume.id.to_string());
    block.line("pool", format!("{} ({})", volume.pool, volume.backend));
    block.line("state", state(volume));
    block.some("reason", volume.reason.as_ref());
    block.line("mountpoint", &volume.mountpoint);
    block.line("mounted", if volume.mounted { "yes" } else { "no" });
    block.line("references", volume.references.to_string());
    match volume.held {
        Some(true) => block.line("held", "yes, by a process that nothing is counted for"),
        None if volume.mounted => block.line("held", "unknown"),
        Some(false) | None => {}
    }
    block.line("size", size(volume.size));
    block.line("used", used(volume));
    block.line("created", format!("{} ({})", local(volume.created), ago(volume.created)));
    block.some("removed", volume.removed.map(|time| format!("{} ({})", local(time), ago(time))));
    block.some("expires", volume.expires.map(|time| format!("{} ({})", local(time), until(time))));
    block.line("snapshots", volume.snapshots.to_string());
    block.line("last backup", volume.last_backup.map_or_else(|| "never".to_owned(), ago));
    block.line("host", &volume.host);
    block.line("options", options(volume));
    block.line("given", words(volume.given.iter().map(|(key, value)| format!("{key}={value}"))));
    block.line("can", volume.capabilities.join(", "));
    block
}

/// What it takes, and how long ago that was so if it may have changed since.
fn used(volume: &VolumeView) -> String {
    let text = size(volume.used);
    match volume.used_at {
        Some(time) if volume.used.is_some() && is_old(time) => format!("{text} ({})", ago(time)),
        _ => text,
    }
}

/// Whether a figure of then is worth its age.
fn is_old(time: Timestamp) -> bool {
    Timestamp::now().duration_since(time) >= SignedDuration::from_mins(1)
}

/// Its state; of when, where that is not now.
fn state(volume: &VolumeView) -> String {
    match volume.age {
        Some(age) => format!("{} ({age} s ago)", volume.state),
        None => volume.state.clone(),
    }
}

/// The options in force as `-o` would say them.
fn options(volume: &VolumeView) -> String {
    let Ok(Value::Object(options)) = serde_json::to_value(&volume.options) else {
        return NOTHING.to_owned();
    };
    words(options.iter().map(|(key, value)| match value {
        Value::String(text) => format!("{key}={text}"),
        other => format!("{key}={other}"),
    }))
}

fn words(words: impl Iterator<Item = String>) -> String {
    let words: Vec<_> = words.collect();
    if words.is_empty() { NOTHING.to_owned() } else { words.join(" ") }
}

/// Where a removed volume is now.
pub(super) fn whereabouts(name: &str, removed: Option<&VolumeView>) -> String {
    match removed {
        None => format!("`{name}` is removed for good"),
        Some(VolumeView { expires: Some(time), .. }) => {
            format!("`{name}` is in the trash until {}: berth volume undelete {name}", local(*time))
        }
        Some(_) => format!("`{name}` is kept without expiry: berth volume undelete {name}"),
    }
}
