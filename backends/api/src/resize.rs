//! Pools that limit a volume and know what it takes.

use crate::{Bytes, Handle, Op, Result};

/// What a volume takes, and what it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Space it takes now; `None` where only counting would tell.
    pub used: Option<Bytes>,
    /// Its limit, if one is in force.
    pub limit: Option<Bytes>,
}

/// Pools that can limit volumes. A limit comes with the volume's options
/// (`size`): [`Backend::create`](crate::Backend::create),
/// [`apply`](crate::Backend::apply) and [`describe`](crate::Backend::describe)
/// put it in force.
pub trait Resize: Send + Sync {
    /// Whether limits can be had here.
    ///
    /// # Errors
    /// `Unsupported` with the reason and what would help.
    fn can_limit(&self, op: &Op) -> Result<()>;

    /// What the volume takes, from what the storage knows without a walk.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    fn usage(&self, op: &Op, volume: &Handle) -> Result<Usage>;

    /// Has the storage know what the volume takes, from now on and without a
    /// walk; where it never did so, by one walk now. Nobody may use the volume
    /// meanwhile: that is the caller's part.
    ///
    /// # Errors
    /// `Unsupported` as [`can_limit`](Self::can_limit); `Conflict` if cancelled, a
    /// repetition begins anew; `NotFound`, `Unavailable`.
    fn enrol(&self, op: &Op, volume: &Handle) -> Result<Usage>;

    /// Counts what the volume takes, by a walk that yields to others.
    ///
    /// # Errors
    /// `Conflict` if cancelled; `NotFound`, `Unavailable`.
    fn count(&self, op: &Op, volume: &Handle) -> Result<Bytes>;
}
