//! Volumes in a directory of the host.
//!
//! A volume is a directory volume of [`berth_tree`], and its content is mounted
//! where it lies: attaching is opening, and detaching is nothing. This crate only
//! says that in the words of [`berth_api::Backend`].
//!
//! | module | noun |
//! |---|---|
//! | `advice` | what a pool could have elsewhere |
//! | `backend` | the pool, as a [`berth_api::Backend`] |
//! | `handle` | its names for a volume and a snapshot |
//! | `image` | an XFS in a file, for pools that lie in one |
//! | `snapshots` | the accessor for snapshots |

mod advice;
mod backend;
mod handle;
mod image;
mod snapshots;

pub use backend::Vfs;
pub use berth_tree::Sharing;
pub use image::ImageFile;
