//! What is wrong with repositories.

use std::{os::unix::fs::MetadataExt as _, path::Path, sync::Arc, time::Duration};

use berth_api::{Op, Result};

use super::Repository;
use crate::{
    config::Place,
    engine::{Engine, doctor::finding},
    view::{Finding, Severity},
};

/// What a look at a path may take.
const STAT: Duration = Duration::from_secs(2);

impl Engine {
    /// What is wrong with each repository. Bounded in time, whatever hangs.
    pub(in crate::engine) async fn diagnose_repositories(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for repository in self.repositories.all() {
            findings.extend(self.diagnose_repository(repository).await);
        }
        findings
    }

    async fn diagnose_repository(&self, repository: &Arc<Repository>) -> Vec<Finding> {
        let subject = format!("repository `{}`", repository.name);
        let name = &repository.name;
        match repository.exists().await {
            // The built-in one is made when it is first used.
            Ok(false) if repository.config.builtin => return Vec::new(),
            Ok(false) => {
                return vec![finding(
                    Severity::Warning,
                    subject,
                    format!("there is none in `{}` yet", repository.location()),
                    Some(&format!("`berth repository init {name}` makes it")),
                )];
            }
            Ok(true) => {}
            Err(error) => return vec![failed(subject, &error)],
        }
        let opened = repository.call(Op::new(super::repository::LOOK), |_, _| Ok(())).await;
        let mut findings = match opened {
            Ok(()) => vec![finding(
                Severity::Ok,
                &*subject,
                format!("ready, in `{}`", repository.location()),
                None,
            )],
            Err(error) => vec![failed(subject.clone(), &error)],
        };
        let confirmed = repository.remembered().and_then(|row| row.key_confirmed).is_some();
        if !confirmed {
            let file = repository.config.password_file.display();
            findings.push(finding(
                Severity::Warning,
                &*subject,
                format!("nobody said that a copy of its key `{file}` is elsewhere"),
                Some(&format!(
                    "without the key its backups are worthless: copy the file to another place, \
                     then say `berth repository key {name} --confirm`"
                )),
            ));
        }
        if let Some(row) = repository.remembered()
            && row.problems > 0
        {
            findings.push(finding(
                Severity::Error,
                &*subject,
                "its last check found damage",
                Some(&format!(
                    "`berth repository check {name} --read-data` names the backups hurt"
                )),
            ));
        }
        findings.extend(self.diagnose_place(repository, &subject).await);
        findings
    }

    /// Whether it lies on the device of a pool: both are lost at once then.
    async fn diagnose_place(&self, repository: &Arc<Repository>, subject: &str) -> Option<Finding> {
        let Place::Directory(directory) = repository.config.place.clone() else { return None };
        let own = repository.in_time(Op::new(STAT), move |_| device(&directory)).await.ok()?;
        let mut same = Vec::new();
        for pool in self.pools.values() {
            let path = pool.config.path.clone();
            let looked = pool.run(Op::new(STAT), move |_, _| device(&path));
            if let Ok(Ok(of)) = tokio::time::timeout(STAT, looked).await
                && of == own
            {
                same.push(format!("`{}`", pool.name));
            }
        }
        if same.is_empty() {
            return None;
        }
        let pools = if same.len() == 1 { "pool" } else { "pools" };
        Some(finding(
            Severity::Warning,
            subject,
            format!("it lies on the device of {pools} {}", same.join(", ")),
            Some("with that device volumes and backups are lost together: use another place"),
        ))
    }
}

fn device(path: &Path) -> Result<u64> {
    use berth_api::Context as _;
    Ok(std::fs::metadata(path).context(|| format!("look at `{}`", path.display()))?.dev())
}

fn failed(subject: String, error: &berth_api::Error) -> Finding {
    finding(Severity::Error, subject, error.chain(), error.hint())
}
