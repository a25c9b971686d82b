//! Removing backups.

use berth_api::{Op, Result};

use super::{repository::CALL, verbs};
use crate::{engine::Engine, view::BackupView};

impl Engine {
    /// Removes a backup, and says what it was. The space is freed by a prune.
    ///
    /// # Errors
    /// As [`find_backup`](Self::find_backup); `Busy` if the repository is locked.
    pub async fn remove_backup(&self, id: &str, repository: Option<&str>) -> Result<BackupView> {
        self.writable()?;
        let (repository, backup) = self.find_backup(id, repository).await?;
        let view = self.backup(&backup.id.to_string(), Some(&repository.name)).await?;
        let id = backup.id;
        repository.call(Op::new(CALL), move |open, op| verbs::forget(open, op, &[id])).await?;
        tracing::info!(backup = %id, volume = view.volume, repository = repository.name, "removed");
        self.forget_last(&repository, &backup).await;
        Ok(view)
    }
}
