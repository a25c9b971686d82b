//! Volumes in a directory of the host.
//!
//! A volume is a directory volume of [`berth_tree`], and its content is mounted
//! where it lies: attaching is opening, and detaching is nothing. This crate only
//! says that in the words of [`berth_api::Backend`].
//!
//! | module | noun |
//! |---|---|
//! | `backend` | the pool, as a [`berth_api::Backend`] |
//! | `handle` | its name for a volume |
//! | `image` | an XFS in a file, for pools that lie in one |

mod backend;
mod handle;
mod image;

pub use backend::Vfs;
pub use image::ImageFile;
