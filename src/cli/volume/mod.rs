//! `berth volume`

use berth_api::{Error, Result};
use clap::{Subcommand, builder::NonEmptyStringValueParser};
use serde_json::Value;

use super::{
    assignment::{Assignment, collect},
    client::path,
    job::{detach, follow, outcome},
    session::{Session, Status},
    snapshot::SnapshotPath,
    unsupported,
};
use crate::view::{
    CreateVolume, MountVolume, Mounted, Repair, ResizeVolume, RollBack, SetVolume, VolumeView,
};

mod show;

/// The id under which the command line mounts unless it says otherwise.
const MOUNT_ID: &str = "cli";

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(super) enum Command {
    /// Create a volume; success if an equal one is there
    #[command(after_help = OPTIONS)]
    Create {
        /// Its name: letters, digits, `_`, `.` and `-`
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// An option of the volume, see below
        #[arg(short, long = "option", value_name = "KEY=VALUE")]
        options: Vec<Assignment>,
    },
    /// List volumes
    Ls {
        /// Those in the trash, latest first
        #[arg(long)]
        removed: bool,
    },
    /// Show all that is known of volumes
    Inspect {
        /// The volumes
        #[arg(required = true, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
        names: Vec<String>,
    },
    /// Remove volumes into the trash
    Rm {
        /// Delete for good, without the trash; also what is in the trash
        #[arg(long)]
        now: bool,
        /// The volumes
        #[arg(required = true, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
        names: Vec<String>,
    },
    /// Bring a volume back out of the trash
    Undelete {
        /// The name (the latest removed of that name) or the id of a removed volume
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
    },
    /// Mount a volume on this host and print where
    Mount {
        /// The volume
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// Whose mount it is; each id is counted
        #[arg(long, default_value = MOUNT_ID, value_parser = NonEmptyStringValueParser::new())]
        id: String,
    },
    /// Take back one mount of an id
    Unmount {
        /// The volume
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// Whose mount it was
        #[arg(long, default_value = MOUNT_ID, value_parser = NonEmptyStringValueParser::new())]
        id: String,
    },
    /// Change options: on-remove, uid, gid, mode
    Set {
        /// The volume
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// The options to change
        #[arg(required = true, value_name = "KEY=VALUE")]
        options: Vec<Assignment>,
    },
    /// Change the size, where the pool can limit
    Resize {
        /// The volume
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// Such as 10G or 512MiB
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        size: String,
    },
    /// Go back to a snapshot; what is there now is kept as another one
    Rollback {
        /// The volume and its snapshot
        #[arg(value_name = "NAME@SNAPSHOT")]
        snapshot: SnapshotPath,
        /// Print the job's id and do not wait
        #[arg(long)]
        detach: bool,
    },
    /// Bring a volume to this host (not built yet)
    Move {
        /// The volume
        name: String,
        /// Into this zone
        #[arg(long)]
        zone: Option<String>,
        /// Print the job's id and do not wait
        #[arg(long)]
        detach: bool,
    },
    /// Clear what holds a volume up
    Repair {
        /// The volume
        name: String,
        /// A host that will not come back, by name or id: take over what it was doing
        /// with the volume, and let others have it
        #[arg(long, value_name = "HOST")]
        forget_host: Option<String>,
    },
}

const OPTIONS: &str = "\
Options of a volume (the same as `docker volume create -d berth -o …`):
  pool=NAME             which pool (default: the configured default-pool)
  size=10G              what it may take, where the pool can limit (`berth doctor` says)
  from=VOLUME[@SNAPSHOT]
                        a copy of that volume, or of its snapshot
  uid=N, gid=N          owner of the volume's top directory
  mode=0750             its mode
  access=shared|single  how many hosts may write (default: shared)
  on-remove=delete|retain
                        into the trash for its time, or kept until `volume rm --now`
  policy=NAME[+NAME]    which policies it has; `set NAME policy=` takes them off
  mount-options=noatime,noexec
                        how it is mounted, on top of what an nfs pool says
  subdir=PATH           a directory that an nfs export has already, as a volume; never
                        removed
Known, and refused until they are built: fs, mkfs-options, encrypted, kms-key,
type, iops, throughput, volume-id.";

pub(super) fn run(session: &mut Session<'_>, command: Command) -> Result<Status> {
    match command {
        Command::Create { name, options } => create(session, name, options),
        Command::Ls { removed } => list(session, removed),
        Command::Inspect { names } => inspect(session, &names),
        Command::Rm { now, names } => remove(session, &names, now),
        Command::Undelete { name } => undelete(session, &name),
        Command::Mount { name, id } => mount(session, &name, id),
        Command::Unmount { name, id } => unmount(session, &name, id),
        Command::Set { name, options } => set(session, &name, options),
        Command::Resize { name, size } => resize(session, &name, size),
        Command::Rollback { snapshot, detach } => rollback(session, &snapshot, detach),
        Command::Move { .. } => Err(unsupported("volume move", "pools of several hosts are")),
        Command::Repair { name, forget_host } => repair(session, &name, forget_host),
    }
}

fn create(session: &mut Session<'_>, name: String, options: Vec<Assignment>) -> Result<Status> {
    let request = CreateVolume { name, options: collect(options)? };
    let volume: VolumeView = session.client.post("/v1/volumes", &request)?;
    answer(session, &volume)
}

/// A changed volume: the whole of it for scripts, its name for people.
fn answer(session: &mut Session<'_>, volume: &VolumeView) -> Result<Status> {
    if session.output.json {
        session.output.json(volume)?;
    } else {
        session.output.line(&volume.name)?;
    }
    Ok(Status::OK)
}

fn list(session: &mut Session<'_>, removed: bool) -> Result<Status> {
    let path = if removed { "/v1/volumes?removed=true" } else { "/v1/volumes" };
    let volumes: Vec<VolumeView> = session.client.get(path)?;
    if session.output.json {
        session.output.json(&volumes)?;
        return Ok(Status::OK);
    }
    let table = if removed { show::removed(&volumes) } else { show::live(&volumes) };
    session.output.data(&table.text())?;
    Ok(Status::OK)
}

fn inspect(session: &mut Session<'_>, names: &[String]) -> Result<Status> {
    let (volumes, status) = session
        .each(names, |session, name| session.client.get::<VolumeView>(&path(["volumes", name])));
    if session.output.json {
        session.output.json(&volumes)?;
    } else {
        let blocks: Vec<_> = volumes.iter().map(|volume| show::block(volume).text()).collect();
        session.output.data(&blocks.join("\n"))?;
    }
    Ok(status)
}

fn remove(session: &mut Session<'_>, names: &[String], now: bool) -> Result<Status> {
    let query = if now { "?now=true" } else { "" };
    let (removed, status) = session.each(names, |session, name| {
        let path = format!("{}{query}", path(["volumes", name]));
        let kept: Option<VolumeView> = session.client.delete(&path)?;
        session.output.note(&show::whereabouts(name, kept.as_ref()));
        Ok(kept)
    });
    if session.output.json {
        session.output.json(&removed.into_iter().flatten().collect::<Vec<_>>())?;
    }
    Ok(status)
}

fn undelete(session: &mut Session<'_>, name: &str) -> Result<Status> {
    let path = path(["volumes", name, "undelete"]);
    let volume: VolumeView = session.client.post(&path, &serde_json::json!({}))?;
    answer(session, &volume)
}

fn mount(session: &mut Session<'_>, name: &str, id: String) -> Result<Status> {
    let path = path(["volumes", name, "mount"]);
    let mounted: Mounted = session.client.post(&path, &MountVolume { id })?;
    if session.output.json {
        session.output.json(&mounted)?;
    } else {
        session.output.line(&mounted.mountpoint)?;
    }
    Ok(Status::OK)
}

fn unmount(session: &mut Session<'_>, name: &str, id: String) -> Result<Status> {
    let path = path(["volumes", name, "unmount"]);
    session.client.post::<Value>(&path, &MountVolume { id })?;
    Ok(Status::OK)
}

fn repair(session: &mut Session<'_>, name: &str, host: Option<String>) -> Result<Status> {
    let forget_host = host.ok_or_else(|| {
        Error::invalid("what to repair was not said")
            .with_hint("berth volume repair NAME --forget-host HOST")
    })?;
    let left: Option<VolumeView> =
        session.client.post(&path(["volumes", name, "repair"]), &Repair { forget_host })?;
    if session.output.json {
        session.output.json(&left)?;
    }
    Ok(Status::OK)
}

fn rollback(session: &mut Session<'_>, to: &SnapshotPath, leave: bool) -> Result<Status> {
    let request = RollBack { snapshot: to.snapshot.clone() };
    let job = session.client.post(&path(["volumes", &to.volume, "rollback"]), &request)?;
    if leave {
        return detach(session, &job);
    }
    let job = follow(session, job)?;
    outcome(session, &job)
}

fn set(session: &mut Session<'_>, name: &str, options: Vec<Assignment>) -> Result<Status> {
    let request = SetVolume { options: collect(options)? };
    let volume: VolumeView = session.client.patch(&path(["volumes", name]), &request)?;
    if session.output.json {
        session.output.json(&volume)?;
    }
    Ok(Status::OK)
}

fn resize(session: &mut Session<'_>, name: &str, size: String) -> Result<Status> {
    let path = path(["volumes", name, "resize"]);
    let volume: VolumeView = session.client.post(&path, &ResizeVolume { size })?;
    if session.output.json {
        session.output.json(&volume)?;
    }
    Ok(Status::OK)
}
