//! `berth job`, and waiting for the jobs of other commands.

use berth_api::{Error, ErrorKind, Result};
use clap::{Subcommand, builder::NonEmptyStringValueParser};

use super::{
    client::path,
    render::{Block, Column, NOTHING, Progress, Table, ago, local, progress_parts},
    session::{Session, Status},
};
use crate::view::{JobState, JobView};

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(super) enum Command {
    /// List jobs: running first, then the latest ended
    Ls,
    /// Show all that is known of jobs
    Inspect {
        #[arg(required = true, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
        ids: Vec<String>,
    },
    /// Wait until jobs have ended; an error if one failed
    Wait {
        /// Which jobs; all that have not ended without
        #[arg(value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
        ids: Vec<String>,
    },
    /// Show how far jobs are until they have ended
    Watch {
        /// Which jobs; all that have not ended without
        #[arg(value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
        ids: Vec<String>,
    },
    /// Ask jobs to stop
    Cancel {
        #[arg(required = true, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
        ids: Vec<String>,
    },
}

pub(super) fn run(session: &mut Session<'_>, command: Command) -> Result<Status> {
    match command {
        Command::Ls => list(session),
        Command::Inspect { ids } => inspect(session, &ids),
        Command::Wait { ids } => wait(session, ids, false),
        Command::Watch { ids } => wait(session, ids, true),
        Command::Cancel { ids } => cancel(session, &ids),
    }
}

/// Answers with the job that goes on by itself.
pub(super) fn detach(session: &mut Session<'_>, job: &JobView) -> Result<Status> {
    if session.output.json {
        session.output.json(job)?;
    } else {
        session.output.line(&job.id)?;
    }
    Ok(Status::OK)
}

/// Waits for the job and shows how far it is.
pub(super) fn follow(session: &Session<'_>, job: JobView) -> Result<JobView> {
    let mut progress = Progress::new(session.output);
    let ended = poll(session, job, Some(&mut progress));
    progress.end();
    ended
}

/// Reports how a job ended: what it says of itself, or its error.
pub(super) fn outcome(session: &mut Session<'_>, job: &JobView) -> Result<Status> {
    if let Some(error) = failure(job) {
        return Err(error);
    }
    if session.output.json {
        session.output.json(job)?;
    } else if let Some(outcome) = &job.outcome {
        session.output.line(outcome)?;
    }
    Ok(Status::OK)
}

/// Waits for a job that does many things, or leaves it to itself: what was done is told,
/// whatever failed.
pub(super) fn finish(session: &mut Session<'_>, job: JobView, leave: bool) -> Result<Status> {
    if leave {
        return detach(session, &job);
    }
    let job = follow(session, job)?;
    let failure = failure(&job);
    if session.output.json {
        session.output.json(&job)?;
    } else if let Some(done) = &job.outcome {
        session.output.line(done)?;
    }
    failure.map_or(Ok(Status::OK), Err)
}

fn poll(
    session: &Session<'_>,
    mut job: JobView,
    mut progress: Option<&mut Progress>,
) -> Result<JobView> {
    loop {
        if let Some(progress) = &mut progress {
            progress.show(session.output, &job);
        }
        if job.state.is_final() {
            return Ok(job);
        }
        let seconds = progress.as_ref().map_or(20, |progress| progress.interval().as_secs());
        let wait = format!("{}?seconds={seconds}", path(["jobs", &job.id, "wait"]));
        job = session.client.get(&wait).map_err(|error| {
            let goes_on = format!("wait for job `{}`", job.id);
            error
                .context(goes_on)
                .with_hint(format!("it goes on by itself: berth job wait {}", job.id))
        })?;
    }
}

/// Why it did not end well, if it did not.
pub(super) fn failure(job: &JobView) -> Option<Error> {
    let what = format!("job `{}` ({})", job.id, job.kind);
    match job.state {
        JobState::Cancelled => Some(Error::conflict(format!("{what} was cancelled"))),
        JobState::Failed => {
            let why = job.error.as_deref().unwrap_or("it failed and does not say why");
            let error =
                Error::new(job.error_kind.unwrap_or(ErrorKind::Internal), format!("{what}: {why}"));
            Some(match &job.hint {
                Some(hint) => error.with_hint(hint),
                None => error,
            })
        }
        _ => None,
    }
}

fn list(session: &mut Session<'_>) -> Result<Status> {
    let jobs: Vec<JobView> = session.client.get("/v1/jobs")?;
    if session.output.json {
        session.output.json(&jobs)?;
        return Ok(Status::OK);
    }
    let mut table = Table::new(&[
        Column::Left("ID"),
        Column::Left("KIND"),
        Column::Left("VOLUME"),
        Column::Left("POOL"),
        Column::Left("STATE"),
        Column::Left("PROGRESS"),
        Column::Left("CREATED"),
    ]);
    for job in &jobs {
        table.row(&[
            job.id.clone(),
            job.kind.clone(),
            job.volume.clone().unwrap_or_else(|| NOTHING.to_owned()),
            job.pool.clone().unwrap_or_else(|| NOTHING.to_owned()),
            job.state.as_str().to_owned(),
            or_nothing(&progress_parts(job)),
            ago(job.created),
        ]);
    }
    session.output.data(&table.text())?;
    Ok(Status::OK)
}

fn or_nothing(parts: &[String]) -> String {
    if parts.is_empty() { NOTHING.to_owned() } else { parts.join(", ") }
}

fn inspect(session: &mut Session<'_>, ids: &[String]) -> Result<Status> {
    let (jobs, status) =
        session.each(ids, |session, id| session.client.get::<JobView>(&path(["jobs", id])));
    if session.output.json {
        session.output.json(&jobs)?;
    } else {
        let blocks: Vec<_> = jobs.iter().map(|job| block(job).text()).collect();
        session.output.data(&blocks.join("\n"))?;
    }
    Ok(status)
}

fn block(job: &JobView) -> Block {
    let mut block = Block::default();
    block.line("id", &job.id);
    block.line("kind", &job.kind);
    block.some("volume", job.volume.as_ref());
    block.some("pool", job.pool.as_ref());
    block.some("repository", job.repository.as_ref());
    block.line("state", job.state.as_str());
    block.some("waiting", job.waiting.as_ref());
    block.line("progress", or_nothing(&progress_parts(job)));
    for line in job.note.iter().flat_map(|note| note.lines()) {
        block.line("note", line);
    }
    block.some("error", job.error.as_ref());
    block.some("hint", job.hint.as_ref());
    block.some("outcome", job.outcome.as_ref());
    block.line("created", format!("{} ({})", local(job.created), ago(job.created)));
    block.some("finished", job.finished.map(|time| format!("{} ({})", local(time), ago(time))));
    block
}

fn wait(session: &mut Session<'_>, ids: Vec<String>, watch: bool) -> Result<Status> {
    let ids = if ids.is_empty() {
        let jobs: Vec<JobView> = session.client.get("/v1/jobs")?;
        jobs.into_iter().filter(|job| !job.state.is_final()).map(|job| job.id).collect()
    } else {
        ids
    };
    let mut ended = Vec::new();
    let (_, status) = session.each(&ids, |session, id| {
        let job: JobView = session.client.get(&path(["jobs", id]))?;
        let job = if watch { follow(session, job)? } else { poll(session, job, None)? };
        let failure = failure(&job);
        if let (false, Some(outcome)) = (session.output.json, &job.outcome) {
            session.output.line(outcome)?;
        }
        ended.push(job);
        failure.map_or(Ok(()), Err)
    });
    if session.output.json {
        session.output.json(&ended)?;
    }
    Ok(status)
}

fn cancel(session: &mut Session<'_>, ids: &[String]) -> Result<Status> {
    let (jobs, status) = session.each(ids, |session, id| {
        let path = path(["jobs", id, "cancel"]);
        session.client.post::<JobView>(&path, &serde_json::json!({}))
    });
    if session.output.json {
        session.output.json(&jobs)?;
    }
    Ok(status)
}
