//! The last backup of each volume, as this host remembers it.

use std::sync::Arc;

use berth_vault::Backup;

use super::Repository;
use crate::{
    engine::{Engine, volume::Volume},
    journal::{self, LastBackup},
};

impl Engine {
    /// Remembers a backup that was just made.
    pub(super) fn remember_last(&self, volume: &Volume, repository: &Repository, backup: &Backup) {
        self.note_last(volume, Some(last(repository, backup)));
    }

    /// Forgets a backup that was removed: the one before it is the last then.
    pub(in crate::engine) async fn forget_last(
        &self,
        repository: &Arc<Repository>,
        removed: &Backup,
    ) {
        let Some(volume) = self.index.by_id(removed.label.volume_id) else { return };
        let id = removed.id.to_string();
        let is_last =
            volume.read(|life| life.last_backup.as_ref().is_some_and(|last| last.id == id));
        if !is_last {
            return;
        }
        let listing = self.listing_of_backups(Some(&repository.name)).await.unwrap_or_default();
        let before = listing
            .backups
            .iter()
            .rev()
            .find(|(_, backup)| backup.label.volume_id == volume.id && backup.id != removed.id)
            .map(|(repository, backup)| last(repository, backup));
        self.note_last(&volume, before);
    }

    fn note_last(&self, volume: &Volume, last: Option<LastBackup>) {
        let (id, row) = (volume.id, last.clone());
        volume.write(|life| life.last_backup = last);
        self.writer.later(move |tx| match &row {
            Some(row) => journal::put_last_backup(tx, id, row),
            None => journal::delete_last_backup(tx, id),
        });
    }
}

fn last(repository: &Repository, backup: &Backup) -> LastBackup {
    LastBackup {
        created: backup.created,
        id: backup.id.to_string(),
        repository: repository.name.clone(),
    }
}
