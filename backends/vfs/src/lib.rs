//! Volumes in a directory of the host.
//!
//! A volume is a directory volume of [`berth_tree`], and its content is mounted
//! where it lies: attaching is opening, and detaching is nothing. This crate only
//! says what kind of place that is.
//!
//! | module | noun |
//! |---|---|
//! | `advice` | what a pool could have elsewhere |
//! | `local` | the directory, as a [`berth_tree::Place`] |
//! | `image` | an XFS in a file, for pools that lie in one |

mod advice;
mod image;
mod local;

pub use berth_tree::Sharing;
pub use image::ImageFile;
pub use local::{Local, Vfs};
