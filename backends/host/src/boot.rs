//! Which boot of the kernel this is.

use std::{fs, io};

/// The kernel's id of this boot, from `/proc/sys/kernel/random/boot_id`.
///
/// With the feature `testing`, `BERTH_TEST_BOOT_ID` stands in for a reboot.
///
/// # Errors
/// If `/proc` is not there.
pub fn id() -> io::Result<String> {
    #[cfg(feature = "testing")]
    if let Ok(id) = std::env::var("BERTH_TEST_BOOT_ID") {
        return Ok(id);
    }
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}
