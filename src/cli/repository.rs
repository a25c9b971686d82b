//! `berth repository`

use std::path::PathBuf;

use berth_api::{Context as _, Result};
use clap::{Subcommand, ValueHint, builder::NonEmptyStringValueParser};

use super::{
    client::path,
    job::{detach, follow, outcome},
    render::{Block, Column, NOTHING, Table, ago, local, size},
    session::{Session, Status},
};
use crate::view::{
    AddKey, CheckRepository, CopyBackups, JobView, KeyView, PruneRepository, RepositoryView,
};

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(super) enum Command {
    /// Make an empty repository, and its key file if there is none
    Init {
        /// Which repository; `default` without
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: Option<String>,
    },
    /// List repositories
    Ls,
    /// Show all that is known of a repository
    Inspect {
        /// Which repository; `default` without
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: Option<String>,
    },
    /// Check that a repository is whole
    Check {
        /// Which repository; `default` without
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: Option<String>,
        /// Read all data back, too
        #[arg(long)]
        read_data: bool,
        /// Print the job's id and do not wait
        #[arg(long)]
        detach: bool,
    },
    /// Free what no backup needs
    Prune {
        /// Which repository; `default` without
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: Option<String>,
        /// Only say what would be freed
        #[arg(long)]
        dry_run: bool,
        /// Print the job's id and do not wait
        #[arg(long)]
        detach: bool,
    },
    /// Copy backups into a second repository
    Copy {
        /// From this repository; `default` without
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: Option<String>,
        /// Into this repository
        #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
        to: String,
        /// Only this backup, by the first digits of its id; may be repeated
        #[arg(long = "backup", value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
        backups: Vec<String>,
        /// Print the job's id and do not wait
        #[arg(long)]
        detach: bool,
    },
    /// List the keys that open a repository, or change them
    Key {
        /// Which repository; `default` without
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: Option<String>,
        /// Let the first line of this file open it, too
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, group = "change")]
        add: Option<PathBuf>,
        /// Take away the key whose id begins so
        #[arg(long, value_name = "ID", group = "change", value_parser = NonEmptyStringValueParser::new())]
        remove: Option<String>,
        /// Say that a copy of the key file is in another place
        #[arg(long, group = "change")]
        confirm: bool,
    },
}

pub(super) fn run(session: &mut Session<'_>, command: Command) -> Result<Status> {
    match command {
        Command::Init { name } => init(session, name.as_deref()),
        Command::Ls => list(session),
        Command::Inspect { name } => inspect(session, name.as_deref()),
        Command::Check { name, read_data, detach } => {
            let request = CheckRepository { read_data };
            let job = session.client.post(&at(name.as_deref(), &["check"]), &request)?;
            wait(session, job, detach)
        }
        Command::Prune { name, dry_run, detach } => {
            let request = PruneRepository { dry_run };
            let job = session.client.post(&at(name.as_deref(), &["prune"]), &request)?;
            wait(session, job, detach)
        }
        Command::Copy { name, to, backups, detach } => {
            let request = CopyBackups { to, ids: backups };
            let job = session.client.post(&at(name.as_deref(), &["copy"]), &request)?;
            wait(session, job, detach)
        }
        Command::Key { name, add: Some(file), .. } => {
            // The daemon reads it, from wherever it was started.
            let password_file = std::path::absolute(&file)
                .context(|| format!("find the place of `{}`", file.display()))?;
            let path = at(name.as_deref(), &["keys"]);
            let keys: Vec<KeyView> = session.client.post(&path, &AddKey { password_file })?;
            show_keys(session, &keys)
        }
        Command::Key { name, remove: Some(id), .. } => {
            let keys: Vec<KeyView> = session.client.delete(&at(name.as_deref(), &["keys", &id]))?;
            show_keys(session, &keys)
        }
        Command::Key { name, confirm: true, .. } => {
            let path = at(name.as_deref(), &["keys", "confirm"]);
            let view: RepositoryView = session.client.post(&path, &serde_json::json!({}))?;
            if session.output.json {
                session.output.json(&view)?;
            }
            Ok(Status::OK)
        }
        Command::Key { name, .. } => {
            let keys: Vec<KeyView> = session.client.get(&at(name.as_deref(), &["keys"]))?;
            show_keys(session, &keys)
        }
    }
}

fn init(session: &mut Session<'_>, name: Option<&str>) -> Result<Status> {
    let view: RepositoryView = session.client.post(&at(name, &["init"]), &serde_json::json!({}))?;
    if session.output.json {
        session.output.json(&view)?;
        return Ok(Status::OK);
    }
    session.output.line(&view.name)?;
    session.output.note(&format!(
        "its key is in {key}\n\
         copy that file to another place: without it the backups are worthless, and nobody can \
         bring it back\nthen say: berth repository key {name} --confirm",
        key = view.key_file,
        name = view.name
    ));
    Ok(Status::OK)
}

fn list(session: &mut Session<'_>) -> Result<Status> {
    let repositories: Vec<RepositoryView> = session.client.get("/v1/repositories")?;
    if session.output.json {
        session.output.json(&repositories)?;
        return Ok(Status::OK);
    }
    let mut table = Table::new(&[
        Column::Left("NAME"),
        Column::Left("STATE"),
        Column::Right("BACKUPS"),
        Column::Left("CHECKED"),
        Column::Left("PRUNED"),
        Column::Left("LOCATION"),
    ]);
    for repository in &repositories {
        let name = &repository.name;
        table.row(&[
            if repository.default { format!("{name} *") } else { name.clone() },
            repository.state.clone(),
            repository.backups.map_or_else(|| NOTHING.to_owned(), |count| count.to_string()),
            repository.checked.map_or_else(|| NOTHING.to_owned(), ago),
            repository.pruned.map_or_else(|| NOTHING.to_owned(), ago),
            repository.location.clone(),
        ]);
    }
    session.output.data(&table.text())?;
    Ok(Status::OK)
}

fn inspect(session: &mut Session<'_>, name: Option<&str>) -> Result<Status> {
    let view: RepositoryView = session.client.get(&at(name, &[]))?;
    if session.output.json {
        session.output.json(&[view])?;
    } else {
        session.output.data(&block(&view).text())?;
    }
    Ok(Status::OK)
}

fn block(repository: &RepositoryView) -> Block {
    let mut block = Block::default();
    let count = |count: Option<u64>| count.map(|count| count.to_string());
    block.line("name", &repository.name);
    block.some("id", repository.id.as_ref());
    block.line("location", &repository.location);
    block.line("default", if repository.default { "yes" } else { "no" });
    block.line("state", &repository.state);
    block.some("reason", repository.reason.as_ref());
    block.line("key file", &repository.key_file);
    let confirmed = |time| format!("yes, said {} ({})", local(time), ago(time));
    block.line(
        "copy of the key",
        repository.key_confirmed.map_or_else(|| "nobody said that there is one".into(), confirmed),
    );
    block.some("keys", count(repository.keys));
    block.some("backups", count(repository.backups));
    block.some("size", repository.size.map(|bytes| size(Some(bytes))));
    let found = |problems: Option<u64>| match problems {
        Some(0) | None => "sound",
        Some(_) => "damage found",
    };
    block.line(
        "checked",
        repository.checked.map_or_else(
            || "never".to_owned(),
            |time| format!("{} ({})", ago(time), found(repository.problems)),
        ),
    );
    block.line("pruned", repository.pruned.map_or_else(|| "never".to_owned(), ago));
    block
}

fn show_keys(session: &mut Session<'_>, keys: &[KeyView]) -> Result<Status> {
    if session.output.json {
        session.output.json(keys)?;
        return Ok(Status::OK);
    }
    let mut table = Table::new(&[
        Column::Left("ID"),
        Column::Left("USER"),
        Column::Left("HOST"),
        Column::Left("CREATED"),
    ]);
    for key in keys {
        let id = key.id.get(..12).unwrap_or(&key.id);
        table.row(&[
            if key.current { format!("{id} *") } else { id.to_owned() },
            key.username.clone(),
            key.hostname.clone(),
            ago(key.created),
        ]);
    }
    session.output.data(&table.text())?;
    Ok(Status::OK)
}

fn wait(session: &mut Session<'_>, job: JobView, leave: bool) -> Result<Status> {
    if leave {
        return detach(session, &job);
    }
    let job = follow(session, job)?;
    outcome(session, &job)
}

/// Where a repository is in the control API; `-` is the default one.
fn at(name: Option<&str>, rest: &[&str]) -> String {
    path([&["repositories", name.unwrap_or("-")], rest].concat())
}
