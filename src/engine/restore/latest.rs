//! `backup:latest:VOLUME`: whose backup that is, where several hosts share a
//! repository. Hosts know nothing of each other, and their volumes may have one name.

use std::{collections::BTreeSet, sync::Arc};

use berth_api::{Error, Result, VolumeName};
use berth_vault::Backup;

use super::source::answered;
use crate::engine::{
    Engine,
    vault::{Listing, Repository},
};

/// How many hosts a refusal names.
const SHOWN: usize = 10;

type Found = (Arc<Repository>, Backup);

impl Engine {
    /// The newest backup of this host's volume of that name (whichever host made it, if
    /// several share the volume), or of one that a host of this name had; only where
    /// there is none, that of the one host that has any.
    ///
    /// # Errors
    /// `Unavailable` if not all repositories answered: a newer one may be in another.
    /// `NotFound` if there is none; `Conflict` if it may be one of several hosts.
    pub(super) fn latest(&self, listing: &Listing, volume: &VolumeName) -> Result<Found> {
        answered(listing)?;
        let all = listing.backups.iter().filter(|(_, backup)| backup.label.volume == *volume);
        // Oldest first.
        let all: Vec<&Found> = all.collect();
        let host = self.host.to_string();
        let mut ids: BTreeSet<_> = all
            .iter()
            .map(|(_, backup)| &backup.label)
            .filter(|label| label.host_id == host)
            .map(|label| label.volume_id)
            .collect();
        ids.extend(self.index.live(volume).map(|live| live.id));
        let ours = |found: &&&Found| ids.contains(&found.1.label.volume_id);
        let namesake = |found: &&&Found| found.1.label.host == self.host_name;
        if let Some(found) = all.iter().rfind(ours).or_else(|| all.iter().rfind(namesake)).copied()
        {
            return Ok(found.clone());
        }
        let hosts: BTreeSet<_> = all.iter().map(|(_, backup)| &backup.label.host).collect();
        match all.last() {
            Some(newest) if hosts.len() == 1 => Ok((*newest).clone()),
            Some(_) => Err(several(volume, &hosts)),
            None => Err(Error::not_found(format!("no backup of volume `{volume}`"))
                .with_hint("`berth backup ls` lists them")),
        }
    }
}

fn several(volume: &VolumeName, hosts: &BTreeSet<&String>) -> Error {
    // Hosts come out of a repository that others write to.
    let name = |host: &&String| {
        let shown: String = host.chars().take(40).flat_map(char::escape_debug).collect();
        format!("`{shown}`")
    };
    let names: Vec<_> = hosts.iter().take(SHOWN).map(name).collect();
    let more = if hosts.len() > SHOWN { ", …" } else { "" };
    Error::conflict(format!(
        "several hosts have backups of a volume `{volume}`: {}{more}",
        names.join(", ")
    ))
    .with_hint(format!("say which backup: `berth backup ls {volume}` shows them; `from=backup:ID`"))
}
