//! Room that several threads share: bytes of memory, or turns.

use std::sync::{Condvar, Mutex, PoisonError};

/// So much that may be taken at a time.
#[derive(Debug)]
pub(crate) struct Room {
    whole: u64,
    free: Mutex<u64>,
    /// Rung when something is given back.
    bell: Condvar,
}

/// A part of a [`Room`], until it is dropped.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    room: &'a Room,
    size: u64,
}

impl Room {
    /// One of this size.
    pub(crate) fn new(whole: u64) -> Self {
        Self { whole, free: Mutex::new(whole), bell: Condvar::new() }
    }

    /// Waits for that much, and takes it; who wants more than there is takes all.
    pub(crate) fn take(&self, size: u64) -> Part<'_> {
        let size = size.min(self.whole);
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let free = self.bell.wait_while(free, |free| *free < size);
        *free.unwrap_or_else(PoisonError::into_inner) -= size;
        Part { room: self, size }
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        *self.room.free.lock().unwrap_or_else(PoisonError::into_inner) += self.size;
        // All: the first may want more than there is now.
        self.room.bell.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU64, Ordering::SeqCst},
        thread,
    };

    use super::*;

    #[test]
    fn no_more_is_taken_than_there_is_and_everybody_has_a_turn() {
        let (room, held) = (Room::new(10), AtomicU64::new(0));
        thread::scope(|scope| {
            for size in [1, 3, 7, 10, 1000] {
                let (room, held) = (&room, &held);
                scope.spawn(move || {
                    for _ in 0..200 {
                        let part = room.take(size);
                        let now = held.fetch_add(part.size, SeqCst) + part.size;
                        assert!(now <= 10, "{now}");
                        thread::yield_now();
                        held.fetch_sub(part.size, SeqCst);
                    }
                });
            }
        });
        assert_eq!(*room.free.lock().expect("nobody panicked"), 10);
    }
}
