//! Memory that is no longer needed.

/// From which size on memory is the kernel's again as soon as it is freed, in bytes: the
/// packs of a backup and pieces of them, of which each thread's arena would keep some.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 2 << 20;

/// Has large pieces of memory mapped apart, for the whole process. Left to itself the
/// allocator takes them from the heaps of threads once the first of them was freed.
///
/// Does nothing where the C library has no `mallopt(3)`.
pub fn keep_large_apart() {
    #[cfg(target_env = "gnu")]
    {
        #[expect(unsafe_code, reason = "mallopt has no wrapper")]
        // SAFETY: it takes integers; a value that it does not like changes nothing.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
            // It was twice the other before, and would be as little as 128 KiB now.
            libc::mallopt(libc::M_TRIM_THRESHOLD, 2 * LARGE);
        }
    }
}

/// Hands memory that was freed back to the kernel. Reading a large catalog needs
/// several times what is kept of it, and the allocator holds on to the rest.
///
/// Does nothing where the C library has no `malloc_trim(3)`.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    {
        #[expect(unsafe_code, reason = "malloc_trim has no wrapper")]
        // SAFETY: it takes an integer, and frees only what nobody holds.
        unsafe {
            libc::malloc_trim(0);
        }
    }
}
