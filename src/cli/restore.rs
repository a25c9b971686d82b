//! Restoring: snapshots and backups into new volumes, backups in place, all of a host.

use std::collections::BTreeMap;

use berth_api::{Error, Result};

use super::{
    assignment::{Assignment, collect},
    client::path,
    job::{detach, finish, follow, outcome},
    session::{Session, Status},
};
use crate::view::{CreateVolume, JobView, RestoreHost, VolumeView};

/// Restores a backup into a new volume.
pub(super) fn backup(
    session: &mut Session<'_>,
    id: &str,
    repository: Option<&str>,
    name: String,
    options: Vec<Assignment>,
    leave: bool,
) -> Result<Status> {
    let mut options = collect(options)?;
    let from = match repository {
        Some(repository) => format!("backup:{repository}/{id}"),
        None => format!("backup:{id}"),
    };
    if options.insert("from".to_owned(), from).is_some() {
        return Err(Error::invalid("option `from` is the backup, and is not given again"));
    }
    new_volume(session, &CreateVolume { name, options }, leave)
}

/// Makes a volume whose content is made by a job, and waits for that.
pub(super) fn new_volume(
    session: &mut Session<'_>,
    request: &CreateVolume,
    leave: bool,
) -> Result<Status> {
    let volume: VolumeView = session.client.post("/v1/volumes", request)?;
    // It is a job, also where it took only a moment. The latest comes first of those
    // that run, and of those that have ended.
    let jobs: Vec<JobView> = session.client.get("/v1/jobs")?;
    let own = |job: &&JobView| {
        job.kind == "create" && job.volume.as_deref() == Some(volume.name.as_str())
    };
    let Some(job) = jobs.iter().find(own).cloned() else {
        session.output.line(&volume.name)?;
        return Ok(Status::OK);
    };
    if leave {
        return detach(session, &job);
    }
    let job = follow(session, job)?;
    let status = outcome(session, &job)?;
    if !session.output.json {
        session.output.line(&volume.name)?;
    }
    Ok(status)
}

/// Puts the content of a backup into the volume it was made of.
pub(super) fn in_place(
    session: &mut Session<'_>,
    id: &str,
    query: &str,
    leave: bool,
) -> Result<Status> {
    let target = format!("{}{query}", path(["backups", id, "restore"]));
    let job: JobView = session.client.post(&target, &BTreeMap::<String, String>::new())?;
    if leave {
        return detach(session, &job);
    }
    let job = follow(session, job)?;
    outcome(session, &job)
}

/// Restores everything that was backed up on a host.
pub(super) fn host(
    session: &mut Session<'_>,
    request: &RestoreHost,
    leave: bool,
) -> Result<Status> {
    let job: JobView = session.client.post("/v1/backups/restore", request)?;
    finish(session, job, leave)
}
