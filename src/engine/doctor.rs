//! `berth doctor`: what is wrong, and what to do.

use berth_api::{Health, Level};

use super::{Engine, Installation, mount::table};
use crate::{
    catalog::State,
    view::{Diagnosis, Finding, Severity},
};

impl Diagnosis {
    /// Findings, worst first.
    pub fn of(mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| finding.severity);
        let healthy = findings.iter().all(|finding| finding.severity != Severity::Error);
        Self { healthy, findings }
    }
}

pub(super) fn finding(
    severity: Severity,
    subject: impl Into<String>,
    message: impl Into<String>,
    hint: Option<&str>,
) -> Finding {
    Finding {
        severity,
        subject: subject.into(),
        message: message.into(),
        hint: hint.map(ToOwned::to_owned),
    }
}

impl Engine {
    /// What is wrong, and what to do.
    pub async fn doctor(&self) -> Diagnosis {
        let mut findings = vec![self.diagnose_catalog()];
        for pool in self.pools.values() {
            findings.extend(self.diagnose_pool(pool).await);
        }
        findings.extend(self.diagnose_repositories().await);
        findings.extend(self.diagnose_policies());
        self.diagnose_volumes(&mut findings);
        self.diagnose_mounts(&mut findings);
        self.diagnose_rests(&mut findings);
        let undying = berth_host::command::left_alone();
        if undying > 0 {
            findings.push(finding(
                Severity::Warning,
                "kernel",
                format!("{undying} programs were killed and cannot die"),
                Some("they wait for a server or a disk that does not answer; look at dmesg"),
            ));
        }
        if !self.sees_other_namespaces() {
            findings.push(finding(
                Severity::Warning,
                "kernel",
                "processes in other mount namespaces cannot be seen",
                Some("references of before a crash are then kept until they are unmounted"),
            ));
        }
        Diagnosis::of(findings)
    }

    fn diagnose_catalog(&self) -> Finding {
        if self.writer.is_frozen() {
            return finding(
                Severity::Error,
                "catalog",
                format!(
                    "the root `{}` is on a read-only file system",
                    self.setup.paths.root.display()
                ),
                Some("look at the disk (dmesg), make it writable, then restart berth"),
            );
        }
        let volumes = self.index.all_live().len();
        finding(Severity::Ok, "catalog", format!("sound, {volumes} volumes"), None)
    }

    async fn diagnose_pool(&self, pool: &super::pool::Pool) -> Vec<Finding> {
        let subject = format!("pool `{}`", pool.name);
        let mut findings = Vec::new();
        match pool.health() {
            Health::Unavailable(why) => findings.push(finding(
                Severity::Error,
                subject.as_str(),
                why,
                Some(&match pool.silence() {
                    Some(_) => "see whether the server runs and can be reached; Berth looks \
                                again by itself, and containers that wait go on"
                        .to_owned(),
                    None if pool.config.nfs.is_some() => {
                        "docs/nfs.md says what may be wrong; it is used again by itself".to_owned()
                    }
                    None => format!(
                        "mount its disk or correct its path, and it is used again by itself; if it \
                         came from another host: berth pool rebuild {} --take-over",
                        pool.name
                    ),
                }),
            )),
            Health::Ready => match pool.capacity().await {
                Some(capacity) if capacity.free.0 < capacity.total.0 / 20 => findings.push(finding(
                    Severity::Warning,
                    subject.as_str(),
                    format!("only {} of {} are free", capacity.free, capacity.total),
                    Some("the trash is emptied early; `berth volume ls --removed` shows what is in it"),
                )),
                Some(capacity) => findings.push(finding(
                    Severity::Ok,
                    subject.as_str(),
                    format!("ready, {} of {} free", capacity.free, capacity.total),
                    None,
                )),
                None => findings.push(finding(
                    Severity::Warning,
                    subject.as_str(),
                    "does not say how full it is",
                    Some("its disk or server may be hanging"),
                )),
            },
        }
        // Who has a pool on an image knows what that is good for.
        let advised = self.setup.config.pools.values().any(|other| other.image.is_some());
        for notice in pool.report().await.map(|report| report.notices).unwrap_or_default() {
            if advised && notice.level == Level::Note && pool.config.image.is_none() {
                continue;
            }
            let severity = match notice.level {
                Level::Warning => Severity::Warning,
                Level::Note => Severity::Note,
            };
            findings.push(finding(severity, &subject, notice.text, notice.hint.as_deref()));
        }
        if pool.stuck() > 0 {
            findings.push(finding(
                Severity::Error,
                subject,
                format!("{} calls are stuck in the kernel", pool.stuck()),
                Some("its disk or server does not answer; look at dmesg"),
            ));
        }
        if pool.health() == Health::Ready {
            findings.extend(self.diagnose_limits(pool).await);
        }
        findings
    }

    fn diagnose_volumes(&self, findings: &mut Vec<Finding>) {
        self.index.for_each_live(|name, volume| {
            volume.read(|life| {
                let subject = format!("volume `{name}`");
                if let State::Faulty { during, error } = &life.record.state {
                    let hint = format!("`berth volume rm {name}` clears it");
                    findings.push(finding(
                        Severity::Error,
                        subject,
                        format!("faulty since `{during}` failed: {error}"),
                        Some(&hint),
                    ));
                } else if !self.pools.contains_key(&life.record.pool) {
                    findings.push(finding(
                        Severity::Error,
                        subject,
                        format!("its pool `{}` is not in the configuration", life.record.pool),
                        Some("bring the pool back into the configuration"),
                    ));
                } else if life.held == Some(true) && !life.is_referenced() {
                    findings.push(finding(
                        Severity::Warning,
                        subject,
                        "a process holds it though no mount is counted",
                        Some("it is detached when that process ends"),
                    ));
                }
            });
        });
    }

    /// Where a volume is mounted from a mount of its pool's that was replaced since: the
    /// server does not know it any more.
    fn diagnose_mounts(&self, findings: &mut Vec<Finding>) {
        let shared = self.pools.values().any(|pool| pool.share().is_some());
        let Ok(table) = (if shared { table() } else { return }) else { return };
        self.index.for_each_live(|name, volume| {
            let pool = volume.read(|life| self.pools.get(&life.record.pool).cloned());
            let Some(pool) = pool.filter(|pool| pool.share().is_some()) else { return };
            let Some(mount) = table.at(&self.mountpoint(name.as_str())) else { return };
            let mut own = table
                .mounts
                .iter()
                .filter(|own| own.is_remote() && own.mountpoint.starts_with(&pool.config.path));
            let current = own.clone().next().is_none();
            if mount.is_remote() && !current && own.all(|own| own.device != mount.device) {
                findings.push(finding(
                    Severity::Warning,
                    format!("volume `{name}`"),
                    "what its containers have is stale: the server knows it no more",
                    Some("stop all containers that use the volume, then start them again"),
                ));
            }
        });
    }

    /// Whether `/proc` shows the processes of the host. As a managed plugin it
    /// may be the plugin's own; then nothing unconfirmed is ever dropped.
    pub(super) fn sees_other_namespaces(&self) -> bool {
        self.setup.installation == Installation::Host
    }
}
