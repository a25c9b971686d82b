//! Directories opened beneath a root, and walks by descriptor.
//!
//! Whatever stands in a tree (symlinks planted, directories swapped, mounts
//! placed) nothing outside the opened root is reached: paths are resolved by
//! `openat2` with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV`.
