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
//! | `handle` | its name for a volume |
//! | `image` | an XFS in a file, for pools that lie in one |

mod advice;
mod backend;
mod handle;
mod image;

pub use backend::Vfs;
pub use image::ImageFile;
