//! Whether a file server takes root for somebody else.

use berth_api::{Context as _, Error, Result, records::OperationId};
use berth_host::{beneath::Stat, durable};

use crate::{pool::Tree, records::SCRATCH};

impl Tree {
    /// Whether what root makes in the pool, which several hosts share, belongs to
    /// somebody else (`root_squash`).
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn is_squashed(&self) -> Result<bool> {
        let opened = self.opened()?;
        let scratch =
            opened.root.open_dir(SCRATCH).map_err(|error| self.unreadable(SCRATCH, error))?;
        let host = self.host().ok_or_else(|| Error::internal("no pool was accepted"))?;
        // Named as all that a host is writing: what a crash leaves is cleaned.
        let name = format!("{host}.{}", OperationId::random());
        let what = || format!("pool `{}`: find out whose files root makes", self.name);
        durable::write_unsynced(&scratch, &name, &[]).context(what)?;
        let owner = scratch.open_file(&name).and_then(Stat::of).map(|stat| stat.uid);
        scratch.unlink(&name).context(what)?;
        Ok(owner.context(what)? != 0)
    }
}
