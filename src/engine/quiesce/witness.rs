//! Whether nobody wrote while a volume's content was copied.

use std::collections::BTreeMap;

use tokio::{runtime::Handle, sync::watch};

use super::pause::Target;
use crate::{
    engine::volume::{Life, Volume},
    journal::{Client, Key, Reference},
};

/// What was so when the copy began; asked once the content is copied.
#[derive(Debug)]
pub(in crate::engine) struct Witness {
    began: Began,
    said: watch::Sender<Option<bool>>,
}

#[derive(Debug)]
enum Began {
    /// Nothing was asked to rest.
    AsItWas { mounted: bool, generation: u64 },
    /// A hook has brought to rest who had it mounted.
    AtRest { references: BTreeMap<Key, Reference>, paused: Option<(Target, Handle)> },
}

impl Witness {
    /// Of a copy that nothing rests for: it is quiet if nobody uses the volume.
    pub(super) fn of(volume: &Volume) -> Self {
        let began = volume
            .read(|life| Began::AsItWas { mounted: life.mounted, generation: life.generation });
        Self { began, said: watch::Sender::new(None) }
    }

    /// Of a copy that those with `references` rest for; with `paused`, its
    /// containers must not run.
    pub(super) fn at_rest(references: BTreeMap<Key, Reference>, paused: Option<Target>) -> Self {
        let paused = paused.map(|target| (target, Handle::current()));
        Self { began: Began::AtRest { references, paused }, said: watch::Sender::new(None) }
    }

    /// What it will have said; closed without, if it is dropped before.
    pub(super) fn listen(&self) -> watch::Receiver<Option<bool>> {
        self.said.subscribe()
    }

    /// Whether the volume was quiet until now. Asked on a thread of the pool, once
    /// its content is copied: from then on who rests may go on.
    pub(in crate::engine) fn testify(&self, volume: &Volume) -> bool {
        let quiet = match &self.began {
            Began::AsItWas { mounted, generation } => {
                !mounted && volume.read(|life| !life.mounted && life.generation == *generation)
            }
            Began::AtRest { references, paused } => {
                let by_hand = paused.is_none();
                volume.read(|life| is_unused(life, references, by_hand))
                    && paused.as_ref().is_none_or(|(target, runtime)| {
                        runtime.block_on(target.running()).is_ok_and(|ids| ids.is_empty())
                    })
            }
        };
        self.said.send_replace(Some(quiet));
        quiet
    }
}

/// Whether nobody has the volume mounted who is not known to rest. What is mounted
/// by hand rests if a hook says so; pausing containers does not reach it.
fn is_unused(life: &Life, known: &BTreeMap<Key, Reference>, by_hand: bool) -> bool {
    life.references.iter().all(|(key, now)| {
        (by_hand || key.client != Client::Command)
            && known.get(key).is_some_and(|then| now.count <= then.count)
    })
}
