//! Who lets calls through to the mounts.
//!
//! The first call on a mount whose server has gone waits in the kernel for 20 s and more,
//! and nobody can tell beforehand that it will. So none goes out unless the server was
//! heard a moment ago; else a program looks first, which can be killed.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use berth_api::{Error, Result};
use berth_tree::Gate;

use crate::{
    mounting::{self, Look},
    silence::Silence,
};

/// A server that was heard so lately is taken to be there. A call that it leaves alone
/// after that waits as long as the kernel does, so this is short; a pool in use is heard
/// all the time, and one that is not pays a look (2 ms) for its first call.
const LATELY: Duration = Duration::from_secs(1);

/// The gate in front of the control mount.
#[derive(Debug)]
pub(crate) struct Watch {
    silence: Arc<Silence>,
    control: PathBuf,
    /// Held by whoever looks: the others wait for what it finds.
    looking: Mutex<()>,
}

impl Watch {
    /// In front of the mount at `control`.
    pub(crate) fn new(silence: Arc<Silence>, control: PathBuf) -> Self {
        Self { silence, control, looking: Mutex::default() }
    }

    /// Looks whether the server answers: at most a few seconds.
    ///
    /// # Errors
    /// `Unavailable` if it does not, or did not before: what ends a silence is that the
    /// mounts were seen to.
    pub(crate) fn look(&self) -> Result<()> {
        match mounting::look(&self.control)? {
            Look::Alive => self.silence.heard(),
            Look::Stale => self.silence.noted(mounting::STALE),
            Look::Silent => self.silence.noted(mounting::no_answer()),
        }
        self.silence.error().map_or(Ok(()), Err)
    }

    /// What is known already: away, there, or neither.
    fn known(&self) -> Option<Result<()>> {
        match self.silence.error() {
            Some(error) => Some(Err(error)),
            None => self.silence.was_heard_within(LATELY).then_some(Ok(())),
        }
    }
}

impl Gate for Watch {
    fn pass(&self) -> Result<()> {
        if let Some(known) = self.known() {
            return known;
        }
        let _looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = self.known() {
            return known;
        }
        self.look()
    }

    fn answered(&self) {
        self.silence.heard();
    }

    fn failed(&self, error: &Error) {
        self.silence.failed(error);
    }
}
