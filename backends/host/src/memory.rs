//! Memory that is no longer needed.

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
