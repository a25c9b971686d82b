//! Backends by name: the only file that names them.

use std::sync::Arc;

use berth_api::{Backend, Error, Result};
use berth_vfs::Vfs;

use crate::config::PoolConfig;

/// The backend of a configured pool. No I/O.
///
/// # Errors
/// `Unsupported` for a backend that this build does not have.
pub fn open(name: &str, pool: &PoolConfig) -> Result<Arc<dyn Backend>> {
    match pool.backend.as_str() {
        "vfs" => Ok(Arc::new(Vfs::open(name, &pool.path))),
        #[cfg(feature = "testing")]
        "fake" => Ok(Arc::new(berth_fake::Fake::open(name, &pool.path, &pool.extra)?)),
        other => Err(Error::unsupported(format!("pool `{name}`: backend `{other}` is not built"))),
    }
}
