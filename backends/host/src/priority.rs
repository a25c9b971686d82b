//! How much this thread may get in the way of others.

use std::cell::Cell;

thread_local! {
    static LOWERED: Cell<bool> = const { Cell::new(false) };
}

/// Gives the calling thread the lowest CPU priority and the idle I/O class, for
/// good. What the kernel refuses is left as it is: this is a courtesy.
///
/// `ioprio_set(2)`: class 3 is idle, in the upper 3 bits of 16; `who` 1 is a
/// thread, 0 the calling one. Linux counts `nice` per thread.
#[expect(unsafe_code, reason = "neither call has a wrapper; both take plain integers")]
pub fn lower_this_thread() {
    if LOWERED.replace(true) {
        return;
    }
    // SAFETY: both system calls take integers only and touch no memory of ours.
    unsafe {
        libc::syscall(libc::SYS_ioprio_set, 1, 0, 3 << 13);
        let thread = libc::syscall(libc::SYS_gettid);
        libc::setpriority(libc::PRIO_PROCESS, libc::id_t::try_from(thread).unwrap_or(0), 19);
    }
}
