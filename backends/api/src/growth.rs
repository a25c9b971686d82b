//! Pools that can become larger while they are used.

use crate::{Bytes, Op, Result};

/// Pools that can become larger while they are used.
pub trait Growth: Send + Sync {
    /// Makes the pool `size` large; without one, as large as it should be: what
    /// the configuration says, or what lies beneath has become. Being so large
    /// already is success. Answers how large what it lies in is now.
    ///
    /// # Errors
    /// `Invalid` for less than it has; `Exhausted`, `Unavailable`.
    fn grow(&self, op: &Op, size: Option<Bytes>) -> Result<Bytes>;
}
