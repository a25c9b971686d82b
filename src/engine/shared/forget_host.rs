//! `volume repair --forget-host`: an operator's word that a host will not come
//! back. Nothing else ends what a host has or is in the middle of.

use std::sync::Arc;

use berth_api::{
    Error, ErrorKind, Op, Result, VolumeId,
    records::{Attachment, Author},
};

use super::{
    is_in_flux,
    publish::{body, unshared},
};
use crate::{
    engine::{Engine, time, volume::Volume},
    view::VolumeView,
};

impl Engine {
    /// Takes away that `host` (an id, or a name) has the volume, and takes over what
    /// it was in the middle of. Answers what is left of the volume.
    ///
    /// # Errors
    /// `NotFound` if there is no such volume, or that host has nothing to do with
    /// it; `Invalid` for this host; `Unsupported` for pools of one host.
    pub async fn forget_host(
        self: &Arc<Self>,
        name_or_id: &str,
        host: &str,
    ) -> Result<Option<VolumeView>> {
        let deadline = time::short(self.setup.installation);
        self.writable()?;
        self.ask(name_or_id).await;
        self.look_around_now().await;
        let volume = self.meant(name_or_id)?;
        let lock = volume.lock_by(deadline).await?;
        let record = volume.record();
        let name = &record.name;
        let Some((pool, share)) = self.sharing(&record) else {
            return Err(Error::unsupported(format!(
                "pool `{}` of volume `{name}` belongs to this host alone",
                record.pool
            )));
        };
        if host == share.author.host.to_string() {
            return Err(Error::invalid("this is that host")
                .with_hint("what this host began it finishes by itself"));
        }
        let id = volume.id;
        let held = pool
            .run(Op::new(time::CALL), move |backend, op| {
                backend.records().ok_or_else(unshared)?.attachments(op, id)
            })
            .await?;
        let own = share.author.host.to_string();
        let held: Vec<_> = held.into_iter().filter(|entry| entry.entry != own).collect();
        let author = share.standing(id).and_then(|standing| standing.author);
        let author = author.filter(|author| author.host != share.author.host);
        let began = author.as_ref().is_some_and(|author| is(author, host));
        let gone: Vec<_> = held.iter().filter(|entry| has(entry, host)).cloned().collect();
        if gone.is_empty() && !began {
            return Err(nothing_of(&volume, host, &held, author.as_ref()));
        }
        for attachment in gone {
            let who = attachment.who();
            pool.run(Op::new(time::CALL), move |backend, op| {
                backend.records().ok_or_else(unshared)?.detach(op, id, &attachment.entry).map(drop)
            })
            .await?;
            tracing::warn!(volume = %name, host = who, "forgot that it has the volume");
        }
        if began && (is_in_flux(&record) || record.state.is_removed()) {
            self.take_from(&volume).await?;
            tracing::warn!(volume = %name, host, "took over what it was in the middle of");
            self.recover(&volume, &pool.clone(), lock).await?;
        }
        Ok(self.index.by_id(id).map(|volume| self.view(&volume)))
    }

    /// The volume of this id, or the one of this name: the live one, or one that
    /// some host is in the middle of.
    fn meant(&self, name_or_id: &str) -> Result<Arc<Volume>> {
        if let Some(volume) =
            name_or_id.parse::<VolumeId>().ok().and_then(|id| self.index.by_id(id))
        {
            return Ok(volume);
        }
        let live = match self.index.find(name_or_id) {
            Err(error) if error.kind() == ErrorKind::NotFound => Err(error),
            found => return found,
        };
        let named = |volume: &Arc<Volume>| {
            volume.read(|life| life.record.name.as_str() == name_or_id && is_in_flux(&life.record))
        };
        self.index.all().into_iter().find(named).map_or(live, Ok)
    }

    /// Writes the record as this host's own: the next steps are its.
    async fn take_from(&self, volume: &Arc<Volume>) -> Result<()> {
        let record = volume.record();
        let Some((pool, share)) = self.sharing(&record) else { return Ok(()) };
        let turn = share.turn(record.id);
        let _turn = turn.lock().await;
        let Some(standing) = share.standing(record.id) else {
            return Err(Error::conflict("it was just changed").with_hint("repeat the command"));
        };
        let (author, id, body) = (share.author.clone(), record.id, body(&record));
        let version = pool
            .run(Op::new(time::CALL), move |backend, op| {
                let records = backend.records().ok_or_else(unshared)?;
                records.write(op, &author, id, Some(&standing.basis), &body)
            })
            .await
            .inspect_err(|_| share.doubt(id))?;
        share.note(id, &version, false);
        Ok(())
    }
}

fn is(author: &Author, host: &str) -> bool {
    author.host.to_string() == host || author.name == host
}

fn has(attachment: &Attachment, host: &str) -> bool {
    attachment.entry == host
        || attachment.holder.as_ref().is_some_and(|holder| is(&holder.author, host))
}

fn nothing_of(volume: &Volume, host: &str, held: &[Attachment], author: Option<&Author>) -> Error {
    let name = volume.record().name;
    let shown: String = host.chars().take(64).collect();
    let mut others: Vec<_> = held.iter().map(Attachment::who).collect();
    others.extend(author.map(|author| format!("`{}` ({})", author.name, author.host)));
    others.dedup();
    let error = Error::not_found(format!(
        "host `{}` has nothing to do with volume `{name}`",
        shown.escape_debug()
    ));
    if others.is_empty() {
        error
    } else {
        error.with_hint(format!("these have: {}", others.join(", ")))
    }
}
