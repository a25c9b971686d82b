//! `berth snapshot`

use std::{collections::BTreeMap, str::FromStr};

use berth_api::{Error, Result};
use clap::{Subcommand, builder::NonEmptyStringValueParser};

use super::{
    client::path,
    job::{detach, follow, outcome},
    render::{Block, Column, Table, ago, local, size},
    restore::new_volume,
    session::{Session, Status},
};
use crate::view::{CreateSnapshot, CreateVolume, SnapshotView};

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(super) enum Command {
    /// Take a snapshot and print VOLUME@NAME
    Create {
        /// The volume
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        volume: String,
        /// The snapshot's name; the time without
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: Option<String>,
        /// Bring the application to rest meanwhile
        #[arg(long, value_name = "HOOK", value_parser = NonEmptyStringValueParser::new())]
        quiesce: Option<String>,
        /// Print the job's id and do not wait
        #[arg(long)]
        detach: bool,
    },
    /// List snapshots
    Ls {
        /// Of this volume only
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        volume: Option<String>,
    },
    /// Show all that is known of snapshots
    Inspect {
        /// The snapshots
        #[arg(required = true, value_name = "VOLUME@NAME")]
        snapshots: Vec<SnapshotPath>,
    },
    /// Remove snapshots
    Rm {
        /// The snapshots
        #[arg(required = true, value_name = "VOLUME@NAME")]
        snapshots: Vec<SnapshotPath>,
    },
    /// Make a new volume of a snapshot
    Restore {
        /// The snapshot
        #[arg(value_name = "VOLUME@NAME")]
        snapshot: SnapshotPath,
        /// The name of the new volume
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        new_volume: String,
        /// Print the job's id and do not wait
        #[arg(long)]
        detach: bool,
    },
}

/// `VOLUME@NAME`
#[derive(Clone, Debug)]
pub(super) struct SnapshotPath {
    pub(super) volume: String,
    pub(super) snapshot: String,
}

impl FromStr for SnapshotPath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once('@') {
            Some((volume, snapshot)) if !volume.is_empty() && !snapshot.is_empty() => {
                Ok(Self { volume: volume.to_owned(), snapshot: snapshot.to_owned() })
            }
            _ => Err(Error::invalid("write VOLUME@NAME")),
        }
    }
}

impl SnapshotPath {
    /// Where it is in the control API.
    fn path(&self) -> String {
        path(["volumes", &self.volume, "snapshots", &self.snapshot])
    }
}

pub(super) fn run(session: &mut Session<'_>, command: Command) -> Result<Status> {
    match command {
        Command::Create { volume, name, quiesce, detach } => {
            create(session, &volume, &CreateSnapshot { name, quiesce }, detach)
        }
        Command::Ls { volume } => list(session, volume.as_deref()),
        Command::Inspect { snapshots } => inspect(session, &snapshots),
        Command::Rm { snapshots } => remove(session, &snapshots),
        Command::Restore { snapshot, new_volume, detach } => {
            restore(session, &snapshot, new_volume, detach)
        }
    }
}

fn create(
    session: &mut Session<'_>,
    volume: &str,
    request: &CreateSnapshot,
    leave: bool,
) -> Result<Status> {
    let job = session.client.post(&path(["volumes", volume, "snapshots"]), request)?;
    if leave {
        return detach(session, &job);
    }
    let job = follow(session, job)?;
    match (session.output.json, &job.outcome) {
        (true, Some(name)) => {
            let taken: SnapshotPath = name.parse()?;
            let view: SnapshotView = session.client.get(&taken.path())?;
            session.output.json(&view)?;
            Ok(Status::OK)
        }
        _ => outcome(session, &job),
    }
}

fn list(session: &mut Session<'_>, volume: Option<&str>) -> Result<Status> {
    let path =
        volume.map_or("/v1/snapshots".to_owned(), |volume| path(["volumes", volume, "snapshots"]));
    let snapshots: Vec<SnapshotView> = session.client.get(&path)?;
    if session.output.json {
        session.output.json(&snapshots)?;
        return Ok(Status::OK);
    }
    let mut table = Table::new(&[
        Column::Left("NAME"),
        Column::Left("POOL"),
        Column::Left("CONSISTENCY"),
        Column::Right("USED"),
        Column::Left("CREATED"),
    ]);
    for snapshot in &snapshots {
        table.row(&[
            snapshot.name.clone(),
            snapshot.pool.clone(),
            snapshot.consistency.as_str().to_owned(),
            size(snapshot.size_used),
            ago(snapshot.created),
        ]);
    }
    session.output.data(&table.text())?;
    Ok(Status::OK)
}

fn inspect(session: &mut Session<'_>, snapshots: &[SnapshotPath]) -> Result<Status> {
    let (views, status) = session.each_of(snapshots, |session, snapshot| {
        session.client.get::<SnapshotView>(&snapshot.path())
    });
    if session.output.json {
        session.output.json(&views)?;
    } else {
        let blocks: Vec<_> = views.iter().map(|view| block(view).text()).collect();
        session.output.data(&blocks.join("\n"))?;
    }
    Ok(status)
}

fn block(snapshot: &SnapshotView) -> Block {
    let mut block = Block::default();
    block.line("name", &snapshot.name);
    block.line("id", snapshot.id.to_string());
    block.line("volume", &snapshot.volume);
    block.line("pool", &snapshot.pool);
    block.line("consistency", snapshot.consistency.as_str());
    block.some("used", snapshot.size_used.map(|size| size.to_string()));
    block.line("created", format!("{} ({})", local(snapshot.created), ago(snapshot.created)));
    block
}

fn remove(session: &mut Session<'_>, snapshots: &[SnapshotPath]) -> Result<Status> {
    let (_, status) = session.each_of(snapshots, |session, snapshot| {
        session.client.delete::<serde_json::Value>(&snapshot.path())
    });
    if session.output.json {
        session.output.json(&serde_json::json!([]))?;
    }
    Ok(status)
}

fn restore(
    session: &mut Session<'_>,
    from: &SnapshotPath,
    name: String,
    leave: bool,
) -> Result<Status> {
    let from = format!("{}@{}", from.volume, from.snapshot);
    let options = BTreeMap::from([("from".to_owned(), from)]);
    new_volume(session, &CreateVolume { name, options }, leave)
}
