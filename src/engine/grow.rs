//! Making a pool larger while it is used.

use std::time::Duration;

use berth_api::{Bytes, Error, Op, Result};

use super::Engine;
use crate::view::Grown;

/// What `xfs_growfs` on a slow disk may take.
const LIMIT: Duration = Duration::from_secs(60);

impl Engine {
    /// Makes the pool `name` `size` large; without one, as large as it should be.
    ///
    /// # Errors
    /// `NotFound`; `Unsupported` if the pool cannot grow; `Invalid` for less than
    /// it has; `Unavailable`, `Exhausted`.
    pub async fn grow(&self, name: &str, size: Option<Bytes>) -> Result<Grown> {
        let pool = self.pools.get(name).ok_or_else(|| self.no_such_pool(name))?;
        if !pool.can_grow() {
            return Err(Error::unsupported(format!("pool `{name}` cannot grow by itself"))
                .with_hint("it has the space of the file system it lies on"));
        }
        pool.ready().await?;
        let size = pool
            .run(Op::new(LIMIT), move |backend, op| match backend.growth() {
                Some(growth) => growth.grow(op, size),
                None => Err(Error::unsupported("the pool cannot grow")),
            })
            .await?;
        Ok(Grown { size })
    }
}
