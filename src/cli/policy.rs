//! `berth policy`

use std::collections::BTreeMap;

use berth_api::Result;
use clap::{Subcommand, builder::NonEmptyStringValueParser};
use jiff::Timestamp;

use super::{
    client::path,
    job::finish,
    render::{Block, Column, NOTHING, Table, ago, local, until},
    session::{Session, Status},
};
use crate::view::{JobView, PlannedView, PolicyView, TaskView};

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(super) enum Command {
    /// List policies
    Ls,
    /// Show all that is known of a policy, and what it did to each volume
    Inspect {
        /// Which policy; all without
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: Option<String>,
    },
    /// Do now what a policy asks for; its schedule goes on as before
    Run {
        /// Which policy; all without
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: Option<String>,
        /// Only say what would be made and removed
        #[arg(long)]
        dry_run: bool,
        /// Print the job's id and do not wait
        #[arg(long, conflicts_with = "dry_run")]
        detach: bool,
    },
}

pub(super) fn run(session: &mut Session<'_>, command: Command) -> Result<Status> {
    match command {
        Command::Ls => list(session),
        Command::Inspect { name } => inspect(session, name),
        Command::Run { name, dry_run: true, .. } => plan(session, name.as_deref()),
        Command::Run { name, detach: leave, .. } => {
            let target = path(["policies", name.as_deref().unwrap_or("-"), "run"]);
            let job: JobView = session.client.post(&target, &serde_json::json!({}))?;
            finish(session, job, leave)
        }
    }
}

fn list(session: &mut Session<'_>) -> Result<Status> {
    let policies: Vec<PolicyView> = session.client.get("/v1/policies")?;
    if session.output.json {
        session.output.json(&policies)?;
        return Ok(Status::OK);
    }
    let mut table = Table::new(&[
        Column::Left("NAME"),
        Column::Left("SNAPSHOT"),
        Column::Left("BACKUP"),
        Column::Left("REPOSITORY"),
        Column::Left("KEEP"),
        Column::Right("VOLUMES"),
        Column::Left("NEXT"),
    ]);
    for policy in &policies {
        table.row(&[
            policy.name.clone(),
            or_nothing(policy.snapshot.as_ref()),
            or_nothing(policy.backup.as_ref()),
            or_nothing(policy.repository.as_ref()),
            keep(policy),
            policy.volumes.to_string(),
            match (policy.failing, policy.next) {
                (0, next) => next.map_or_else(|| NOTHING.to_owned(), until),
                (count, _) => format!("{count} failing"),
            },
        ]);
    }
    session.output.data(&table.text())?;
    Ok(Status::OK)
}

/// `snapshots: hourly 24; backups: daily 7`
fn keep(policy: &PolicyView) -> String {
    let mut parts = Vec::new();
    if policy.snapshot.is_some() {
        parts.push(format!("snapshots: {}", rules(&policy.keep_snapshots)));
    }
    if policy.backup.is_some() {
        parts.push(format!("backups: {}", rules(&policy.keep_backups)));
    }
    parts.join("; ")
}

fn rules(rules: &BTreeMap<String, u32>) -> String {
    if rules.is_empty() {
        return "all".to_owned();
    }
    // From the shortest time to the longest.
    let order = ["last", "hourly", "daily", "weekly", "monthly", "yearly"];
    let known = order.into_iter().filter_map(|name| Some((name, rules.get(name)?)));
    known.map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}

fn inspect(session: &mut Session<'_>, name: Option<String>) -> Result<Status> {
    let names = if let Some(name) = name {
        vec![name]
    } else {
        let policies: Vec<PolicyView> = session.client.get("/v1/policies")?;
        policies.into_iter().map(|policy| policy.name).collect()
    };
    let (policies, status) = session
        .each(&names, |session, name| session.client.get::<PolicyView>(&path(["policies", name])));
    if session.output.json {
        session.output.json(&policies)?;
    } else {
        let blocks: Vec<_> = policies.iter().map(block).collect();
        session.output.data(&blocks.join("\n"))?;
    }
    Ok(status)
}

fn block(policy: &PolicyView) -> String {
    let mut block = Block::default();
    block.line("name", &policy.name);
    block.some("snapshot", policy.snapshot.as_ref());
    block.some("keep snapshots", policy.snapshot.as_ref().map(|_| rules(&policy.keep_snapshots)));
    block.some("backup", policy.backup.as_ref());
    block.some("repository", policy.repository.as_ref());
    block.some("keep backups", policy.backup.as_ref().map(|_| rules(&policy.keep_backups)));
    block.line("volumes", policy.volumes.to_string());
    block.line("next", policy.next.map_or_else(|| "never".to_owned(), when));
    let mut text = block.text();
    if policy.tasks.is_empty() {
        return text;
    }
    let mut table = Table::new(&[
        Column::Left("VOLUME"),
        Column::Left("KIND"),
        Column::Left("STATE"),
        Column::Left("LAST"),
        Column::Left("NEXT"),
        Column::Left("OUTCOME"),
    ]);
    for task in &policy.tasks {
        table.row(&[
            task.volume.clone(),
            task.kind.clone(),
            task.state.clone(),
            task.last.map_or_else(|| "never".to_owned(), ago),
            task.next.map_or_else(|| "never".to_owned(), until),
            outcome(task),
        ]);
    }
    text.push('\n');
    text.push_str(&table.text());
    text
}

/// What came of a task, or what is in its way.
fn outcome(task: &TaskView) -> String {
    if let Some(error) = &task.error {
        let since =
            task.failing_since.map_or_else(String::new, |time| format!("{}: ", local(time)));
        return format!("failing since {since}{error}");
    }
    let made = || match (task.kind.as_str(), &task.outcome) {
        // As listings show it.
        ("backup", Some(id)) => id.get(..8).unwrap_or(id).to_owned(),
        (_, Some(name)) => name.clone(),
        (_, None) => NOTHING.to_owned(),
    };
    match (&task.reason, &task.removal_error) {
        (Some(reason), _) => reason.clone(),
        (None, Some(error)) => format!("{}; nothing removed: {error}", made()),
        (None, None) => made(),
    }
}

fn plan(session: &mut Session<'_>, name: Option<&str>) -> Result<Status> {
    let plan: Vec<PlannedView> =
        session.client.get(&path(["policies", name.unwrap_or("-"), "plan"]))?;
    if session.output.json {
        session.output.json(&plan)?;
        return Ok(Status::OK);
    }
    let mut table = Table::new(&[
        Column::Left("POLICY"),
        Column::Left("VOLUME"),
        Column::Left("WOULD"),
        Column::Left("WHAT"),
        Column::Left("WHY"),
    ]);
    for planned in &plan {
        let row = |would: &str, what: String, why: String| {
            [planned.policy.clone(), planned.volume.clone(), would.to_owned(), what, why]
        };
        if let Some(reason) = &planned.reason {
            table.row(&row("skip", planned.kind.clone(), reason.clone()));
            continue;
        }
        let what = match (&planned.makes, &planned.repository) {
            (Some(snapshot), _) => snapshot.clone(),
            (None, Some(repository)) => format!("backup into {repository}"),
            (None, None) => planned.kind.clone(),
        };
        table.row(&row("make", what, "it was asked for".to_owned()));
        for removal in &planned.removes {
            let short = match planned.kind.as_str() {
                "backup" => removal.name.get(..8).unwrap_or(&removal.name),
                _ => &removal.name,
            };
            let why = format!("of {}; {}", local(removal.created), removal.reason);
            table.row(&row("remove", short.to_owned(), why));
        }
    }
    session.output.data(&table.text())?;
    Ok(Status::OK)
}

/// `2026-05-04 12:30:00 CEST (in 3 hours)`
fn when(time: Timestamp) -> String {
    format!("{} ({})", local(time), until(time))
}

fn or_nothing(text: Option<&String>) -> String {
    text.cloned().unwrap_or_else(|| NOTHING.to_owned())
}
