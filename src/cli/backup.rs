//! `berth backup`

use std::str::FromStr;

use berth_api::{Error, Result};
use clap::{Subcommand, builder::NonEmptyStringValueParser};

use super::{
    assignment::Assignment,
    client::path,
    job::{detach, follow, outcome},
    render::{Block, Column, NOTHING, Table, ago, local},
    restore,
    session::{Session, Status},
};
use crate::view::{
    BackupView, Backups, CreateBackup, ErrorBody, JobView, RestoreHost, VerifyBackups,
};

/// How many digits of an id a table shows.
const SHOWN: usize = 12;

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(super) enum Command {
    /// Back up a volume and print the backup's id
    Create {
        /// What to back up; a snapshot is taken first, where that costs nothing
        #[arg(value_name = "VOLUME[@SNAPSHOT]")]
        source: Source,
        /// Into this repository; `default` without
        #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
        repository: Option<String>,
        /// Print the job's id and do not wait
        #[arg(long)]
        detach: bool,
    },
    /// List backups
    Ls {
        /// Of this volume only, by the name it had
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        volume: Option<String>,
        /// In this repository; in all without
        #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
        repository: Option<String>,
    },
    /// Show all that is known of backups
    Inspect {
        /// The first digits of their ids
        #[arg(required = true, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
        ids: Vec<String>,
        /// In this repository; in all without
        #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
        repository: Option<String>,
    },
    /// Remove backups; `berth repository prune` then frees their space
    Rm {
        /// The first digits of their ids
        #[arg(required = true, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
        ids: Vec<String>,
        /// In this repository; in all without
        #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
        repository: Option<String>,
    },
    /// Read all data of backups and check it
    Verify {
        /// The first digits of their ids; all without
        #[arg(value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
        ids: Vec<String>,
        /// In this repository; in all without
        #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
        repository: Option<String>,
        /// Print the job's id and do not wait
        #[arg(long)]
        detach: bool,
    },
    /// Restore a backup into a new volume, into its own, or all of a host
    Restore {
        /// The backup
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<String>,
        /// The name of the new volume
        #[arg(required_unless_present_any = ["all", "in_place"], conflicts_with_all = ["all", "in_place"])]
        new_volume: Option<String>,
        /// An option of the new volume
        #[arg(short, long = "option", value_name = "KEY=VALUE", conflicts_with_all = ["all", "in_place"])]
        options: Vec<Assignment>,
        /// Into the volume that was backed up
        #[arg(long)]
        in_place: bool,
        /// Everything that was backed up on a host
        #[arg(long, requires = "host")]
        all: bool,
        /// That host, by name or id
        #[arg(long, requires = "all")]
        host: Option<String>,
        /// From this repository; the one that has it without
        #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
        repository: Option<String>,
        /// Print the job's id and do not wait
        #[arg(long)]
        detach: bool,
    },
}

/// `VOLUME[@SNAPSHOT]`
#[derive(Clone, Debug)]
pub(super) struct Source {
    volume: String,
    snapshot: Option<String>,
}

impl FromStr for Source {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (volume, snapshot) = match text.split_once('@') {
            Some((volume, snapshot)) => (volume, Some(snapshot)),
            None => (text, None),
        };
        if volume.is_empty() || snapshot == Some("") {
            return Err(Error::invalid("write VOLUME or VOLUME@SNAPSHOT"));
        }
        Ok(Self { volume: volume.to_owned(), snapshot: snapshot.map(ToOwned::to_owned) })
    }
}

pub(super) fn run(session: &mut Session<'_>, command: Command) -> Result<Status> {
    match command {
        Command::Create { source, repository, detach } => {
            let request = CreateBackup { snapshot: source.snapshot, repository };
            create(session, &source.volume, &request, detach)
        }
        Command::Ls { volume, repository } => {
            list(session, volume.as_deref(), repository.as_deref())
        }
        Command::Inspect { ids, repository } => inspect(session, &ids, repository.as_deref()),
        Command::Rm { ids, repository } => remove(session, &ids, repository.as_deref()),
        Command::Verify { ids, repository, detach } => {
            verify(session, &VerifyBackups { ids, repository }, detach)
        }
        Command::Restore { host: Some(host), repository, detach, .. } => {
            restore::host(session, &RestoreHost { host, repository }, detach)
        }
        Command::Restore { id: Some(id), in_place: true, repository, detach, .. } => {
            let query = query(&[("repository", repository.as_deref())]);
            restore::in_place(session, &id, &query, detach)
        }
        Command::Restore {
            id: Some(id),
            new_volume: Some(name),
            options,
            repository,
            detach,
            ..
        } => restore::backup(session, &id, repository.as_deref(), name, options, detach),
        Command::Restore { .. } => Err(Error::invalid("restore what, and where?")
            .with_hint("berth backup restore ID NEW_VOLUME")),
    }
}

fn create(
    session: &mut Session<'_>,
    volume: &str,
    request: &CreateBackup,
    leave: bool,
) -> Result<Status> {
    let job = session.client.post(&path(["volumes", volume, "backups"]), request)?;
    if leave {
        return detach(session, &job);
    }
    let job = follow(session, job)?;
    match (session.output.json, &job.outcome) {
        (true, Some(id)) => {
            let view: BackupView = session.client.get(&one(id, job.repository.as_deref()))?;
            session.output.json(&view)?;
            Ok(Status::OK)
        }
        _ => outcome(session, &job),
    }
}

fn list(
    session: &mut Session<'_>,
    volume: Option<&str>,
    repository: Option<&str>,
) -> Result<Status> {
    let query = query(&[("volume", volume), ("repository", repository)]);
    let Backups { backups, errors } = session.client.get(&format!("/v1/backups{query}"))?;
    if session.output.json {
        session.output.json(&backups)?;
    } else {
        let mut table = Table::new(&[
            Column::Left("ID"),
            Column::Left("VOLUME"),
            Column::Left("SNAPSHOT"),
            Column::Left("HOST"),
            Column::Left("REPOSITORY"),
            Column::Left("MODE"),
            Column::Right("SIZE"),
            Column::Right("ADDED"),
            Column::Left("CREATED"),
        ]);
        for backup in &backups {
            table.row(&[
                short(&backup.id).to_owned(),
                backup.volume.clone(),
                backup.snapshot.clone().unwrap_or_else(|| NOTHING.to_owned()),
                backup.host.clone(),
                backup.repository.clone(),
                backup.mode.clone(),
                backup.size.to_string(),
                backup.bytes_added.to_string(),
                ago(backup.created),
            ]);
        }
        session.output.data(&table.text())?;
    }
    let mut status = Status::OK;
    for error in errors {
        let error = Error::from(ErrorBody { error });
        session.output.error(&error);
        if status == Status::OK {
            status = Status::of(&error);
        }
    }
    Ok(status)
}

fn inspect(session: &mut Session<'_>, ids: &[String], repository: Option<&str>) -> Result<Status> {
    let (backups, status) =
        session.each(ids, |session, id| session.client.get::<BackupView>(&one(id, repository)));
    if session.output.json {
        session.output.json(&backups)?;
    } else {
        let blocks: Vec<_> = backups.iter().map(|backup| block(backup).text()).collect();
        session.output.data(&blocks.join("\n"))?;
    }
    Ok(status)
}

fn block(backup: &BackupView) -> Block {
    let mut block = Block::default();
    block.line("id", &backup.id);
    block.line("volume", &backup.volume);
    block.line("volume id", backup.volume_id.to_string());
    block.some("snapshot", backup.snapshot.as_ref());
    block.line("repository", &backup.repository);
    block.line("created", format!("{} ({})", local(backup.created), ago(backup.created)));
    block.line("consistency", backup.consistency.as_str());
    block.line("mode", &backup.mode);
    block.line("read", backup.bytes_read.to_string());
    block.line("added", backup.bytes_added.to_string());
    block.line("size", backup.size.to_string());
    block.line("files", backup.files.to_string());
    block.line("host", format!("{} ({})", backup.host, backup.host_id));
    block.line("pool", &backup.pool);
    block
}

fn remove(session: &mut Session<'_>, ids: &[String], repository: Option<&str>) -> Result<Status> {
    let (removed, status) =
        session.each(ids, |session, id| session.client.delete::<BackupView>(&one(id, repository)));
    if session.output.json {
        session.output.json(&removed)?;
    } else if let Some(backup) = removed.first() {
        session
            .output
            .note(&format!("the space is freed by `berth repository prune {}`", backup.repository));
    }
    Ok(status)
}

fn verify(session: &mut Session<'_>, request: &VerifyBackups, leave: bool) -> Result<Status> {
    let job: JobView = session.client.post("/v1/backups/verify", request)?;
    if leave {
        return detach(session, &job);
    }
    let job = follow(session, job)?;
    outcome(session, &job)
}

/// Where a backup is in the control API.
fn one(id: &str, repository: Option<&str>) -> String {
    format!("{}{}", path(["backups", id]), query(&[("repository", repository)]))
}

/// The query of what is given.
fn query(pairs: &[(&str, Option<&str>)]) -> String {
    let given = pairs.iter().filter_map(|(key, value)| {
        // A segment's encoding is one of a query's, too.
        Some(format!("{key}={}", path([(*value)?]).trim_start_matches("/v1/")))
    });
    let given: Vec<_> = given.collect();
    if given.is_empty() { String::new() } else { format!("?{}", given.join("&")) }
}

fn short(id: &str) -> &str {
    id.get(..SHOWN).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_volume_or_one_of_its_snapshots() {
        let source = |text: &str| text.parse::<Source>().map(|it| (it.volume, it.snapshot));
        assert_eq!(source("db").expect("valid"), ("db".to_owned(), None));
        assert_eq!(source("db@a").expect("valid"), ("db".to_owned(), Some("a".to_owned())));
        for text in ["", "@a", "db@"] {
            assert!(source(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_what_is_given_is_asked_for() {
        assert_eq!(query(&[("volume", None)]), "");
        assert_eq!(query(&[("volume", Some("a&b")), ("x", None)]), "?volume=a%26b");
    }
}
