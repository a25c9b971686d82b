//! Restoring: the content of a backup, out of the repository into a directory or a
//! device.
//!
//! | module | noun |
//! |---|---|
//! | [`fetch`] | many blobs, in the order that they lie in packs |

pub mod fetch;
