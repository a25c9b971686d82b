//! Attachments: that this host has a volume of a shared pool.
//!
//! Written before the record is read a last time and the volume mounted, taken
//! away after the last unmount. Of this host's own only those of earlier boots,
//! and of volumes that are not mounted, are cleared by itself.

use std::{sync::Arc, time::Duration};

use berth_api::{
    Access, Error, ErrorKind, Op, Result,
    records::{Admission, Attached, Attachment, Holder},
};

use super::publish::{at_work, unshared};
use crate::{
    catalog::{Record, State},
    engine::{Engine, pool::Pool, time, volume::Volume},
};

/// How long a Mount waits for what another host is in the middle of.
const OTHERS: Duration = Duration::from_secs(5);
/// How long a removal that may yet be taken back is waited for.
const PATIENCE: Duration = Duration::from_millis(250);

impl Engine {
    /// Makes sure that no other host takes the volume away while it is mounted
    /// here, and that what is known of it is so. The caller has the lock.
    ///
    /// # Errors
    /// `Busy`, naming the holder, where only one host may have the volume;
    /// `Unavailable` if another host is in the middle of something with it.
    pub(in crate::engine) async fn hold(self: &Arc<Self>, volume: &Arc<Volume>) -> Result<()> {
        let end = tokio::time::Instant::now() + OTHERS;
        loop {
            match self.hold_once(volume).await {
                Err(error) if error.kind() == ErrorKind::Unavailable && self.is_theirs(volume) => {
                    if tokio::time::Instant::now() >= end {
                        return Err(error);
                    }
                }
                other => return other,
            }
            tokio::time::sleep(PATIENCE).await;
        }
    }

    /// Whether another host is about to do something that a Mount waits for.
    fn is_theirs(&self, volume: &Volume) -> bool {
        let record = volume.record();
        let Some((_, share)) = self.sharing(&record) else { return false };
        !share.is_own(volume.id) && is_being_moved(&record)
    }

    async fn hold_once(self: &Arc<Self>, volume: &Arc<Volume>) -> Result<()> {
        let record = volume.record();
        let Some((pool, share)) = self.sharing(&record) else { return Ok(()) };
        // Of a damaged one nothing can be said, and it is not mounted.
        if volume.read(|life| life.mounted || life.is_damaged()) {
            return Ok(());
        }
        pool.ready().await?;
        let (id, host) = (volume.id, share.author.host);
        let holder = Holder { author: share.author.clone(), boot: self.boot.clone() };
        let own = holder.author.host;
        // What is due would be read as what it was before.
        let turn = share.turn(id);
        let turn = turn.lock().await;
        let owes = share.owes(id);
        let attached = pool
            .run(Op::new(time::CALL), move |backend, op| {
                let records = backend.records().ok_or_else(unshared)?;
                let attached = records.attach(op, &holder, id, PATIENCE, &|version| {
                    // Of this host's own create the outcome is not written yet.
                    let own = owes && version.author.host == own;
                    match serde_json::from_value::<Record>(version.body.clone()) {
                        Ok(record) => match record.state {
                            State::Ready => Admission::Ready,
                            _ if own => Admission::Ready,
                            State::Removing { .. } => Admission::Removing,
                            _ => Admission::Refused,
                        },
                        Err(_) => Admission::Refused,
                    }
                })?;
                let others = match &attached {
                    Attached::Yes(_) => records.attachments(op, id)?,
                    Attached::No(_) => Vec::new(),
                };
                Ok((attached, others))
            })
            .await?;
        drop(turn);
        let (attached, mut others) = attached;
        let (version, yes) = match attached {
            Attached::Yes(version) => (Some(version), true),
            Attached::No(version) => (version, false),
        };
        let Some(version) = version else {
            return Err(Error::not_found(format!("no such volume: `{}`", record.name)));
        };
        if !owes && share.standing(id).is_none_or(|known| known.basis.number < version.number) {
            let record = super::adopt::parse(pool, &version)?;
            share.note(id, &version, false);
            self.adopt_record(Some(volume.clone()), record);
        }
        if !yes {
            return Ok(());
        }
        let record = volume.record();
        if version.author.host != host && is_being_moved(&record) {
            self.let_go(volume).await?;
            return Err(at_work(&record, &version.author));
        }
        others.retain(|other| other.entry != host.to_string());
        if record.options.access == Access::Single && !others.is_empty() {
            self.let_go(volume).await?;
            let hosts: Vec<_> = others.iter().map(Attachment::who).collect();
            return Err(Error::busy(format!(
                "volume `{}` is for one host, and is in use on the host {}",
                record.name,
                hosts.join(", ")
            ))
            .with_hint(format!(
                "stop its containers there; if that host will not come back: \
                 berth volume repair {} --forget-host HOST",
                record.name
            )));
        }
        Ok(())
    }

    /// Ends [`hold`](Self::hold): nothing of the volume is mounted here.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(in crate::engine) async fn let_go(&self, volume: &Volume) -> Result<()> {
        let record = volume.record();
        let Some((pool, share)) = self.sharing(&record) else { return Ok(()) };
        let (id, entry) = (volume.id, share.author.host.to_string());
        pool.run(Op::new(time::CALL), move |backend, op| {
            backend.records().ok_or_else(unshared)?.detach(op, id, &entry).map(drop)
        })
        .await
    }

    /// The same; what cannot be taken back now is when the pool is recovered.
    pub(in crate::engine) async fn let_go_by_and_by(&self, volume: &Volume) {
        let Err(error) = self.let_go(volume).await else { return };
        let record = volume.record();
        tracing::info!(volume = %record.name, error = %error.chain(), "let go later");
        if let Some((pool, _)) = self.sharing(&record) {
            pool.recover_later();
        }
    }

    /// Clears what earlier boots, and crashes of this one, left of this host in a
    /// shared pool.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(in crate::engine) async fn clear_own(self: &Arc<Self>, pool: &Arc<Pool>) -> Result<()> {
        let Some(share) = pool.share() else { return Ok(()) };
        let host = share.author.host;
        let own = pool
            .run(Op::new(time::CALL), move |backend, op| {
                backend.records().ok_or_else(unshared)?.attached_by(op, host)
            })
            .await?;
        for (id, boot) in own {
            let volume = self.index.by_id(id);
            let _lock = match &volume {
                Some(volume) => match volume.try_lock() {
                    Some(lock) => Some(lock),
                    None => continue,
                },
                None => None,
            };
            let mounted = volume.as_ref().is_some_and(|volume| volume.read(|life| life.mounted));
            if mounted {
                continue;
            }
            let entry = host.to_string();
            pool.run(Op::new(time::CALL), move |backend, op| {
                backend.records().ok_or_else(unshared)?.detach(op, id, &entry).map(drop)
            })
            .await?;
            tracing::info!(%id, boot, pool = pool.name, "cleared an attachment of before");
        }
        Ok(())
    }

    /// Makes sure that no other host has a volume before what a crash interrupted
    /// goes on: it may have died before it looked.
    ///
    /// # Errors
    /// `Busy`, naming the hosts; `Unavailable`.
    pub(in crate::engine) async fn nobody_else(&self, volume: &Volume) -> Result<()> {
        let others = self.other_hosts(volume).await?;
        if others.is_empty() {
            return Ok(());
        }
        let hosts: Vec<_> = others.iter().map(Attachment::who).collect();
        let name = volume.record().name;
        Err(Error::busy(format!("volume `{name}` is in use on the host {}", hosts.join(", "))))
    }

    async fn other_hosts(&self, volume: &Volume) -> Result<Vec<Attachment>> {
        let record = volume.record();
        let Some((pool, share)) = self.sharing(&record) else { return Ok(Vec::new()) };
        let (id, own) = (volume.id, share.author.host.to_string());
        let mut attachments = pool
            .run(Op::new(time::CALL), move |backend, op| {
                backend.records().ok_or_else(unshared)?.attachments(op, id)
            })
            .await?;
        attachments.retain(|attachment| attachment.entry != own);
        Ok(attachments)
    }

    /// Takes a removal back that a crash interrupted, if another host has the
    /// volume: it attached before the removal was written, and was not looked for
    /// yet. Whether it did.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(in crate::engine) async fn take_removal_back(
        self: &Arc<Self>,
        volume: &Arc<Volume>,
    ) -> Result<bool> {
        let record = volume.record();
        if !matches!(record.state, State::Removing { .. })
            || self.other_hosts(volume).await?.is_empty()
        {
            return Ok(false);
        }
        let back = Record { state: State::Ready, ..record };
        tracing::info!(volume = %back.name, "another host has it: the removal is taken back");
        self.commit(volume, back).await?;
        Ok(true)
    }
}

/// Whether a host is about to move the content or to change its owner: all that
/// keeps another from mounting it. A snapshot that is being taken does not.
fn is_being_moved(record: &Record) -> bool {
    record.unsettled || record.rollback.is_some()
}
