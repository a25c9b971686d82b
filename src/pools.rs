//! Backends by name: the only file that opens them.

use std::sync::Arc;

use berth_api::{Backend, Error, Result};
use berth_nfs::Share;
use berth_vfs::{ImageFile, Local, Sharing, Vfs};

use crate::config::{ImageConfig, PoolConfig};

/// The backend of a configured pool. No I/O.
///
/// # Errors
/// `Unsupported` for a backend that this build does not have.
pub fn open(name: &str, pool: &PoolConfig) -> Result<Arc<dyn Backend>> {
    match pool.backend.as_str() {
        "vfs" => Ok(Arc::new(vfs(name, pool))),
        "nfs" => {
            let export = pool.nfs.clone().ok_or_else(|| Error::internal("no export was read"))?;
            Ok(Arc::new(Share::open(name, export, &pool.path).labelled(pool.label.clone())))
        }
        #[cfg(feature = "testing")]
        "fake" => Ok(Arc::new(berth_fake::Fake::open(name, &pool.path, &pool.extra)?)),
        other => Err(Error::unsupported(format!("pool `{name}`: backend `{other}` is not built"))),
    }
}

fn vfs(name: &str, pool: &PoolConfig) -> Vfs {
    let vfs = match pool.image.clone() {
        Some(ImageConfig { file, size }) => {
            Local::on_image(name, &pool.path, ImageFile { file, size })
        }
        None if pool.shared => Local::shared(name, &pool.path, Sharing { coherent: pool.coherent }),
        None => Local::open(name, &pool.path),
    };
    vfs.labelled(pool.label.clone())
}
