//! How long a peer may stall.
//!
//! A connection between two requests may be idle for ever: Docker keeps its
//! connections, and one that we closed at the moment it was used again would
//! make Docker repeat the call with an empty body. But a request that began
//! must come to the end of its head, and a reply must be taken. hyper's own
//! timer does not tell the one from the other.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// Where a connection is between requests; the service tells the stream.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// A request's head was read.
    pub fn begin(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Its reply is ready. Each `begin` has one `end`.
    pub fn end(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts heads and replies: odd while a request is handled.
    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A stream that ends with `TimedOut` when its peer stalls.
#[derive(Debug)]
pub struct Patient<S> {
    stream: S,
    progress: Progress,
    /// The count when `head` was looked at last.
    seen: u64,
    limit: Duration,
    /// Runs while a head has begun and not ended.
    head: Option<Pin<Box<Sleep>>>,
    /// Runs while the peer takes nothing.
    reply: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    /// Waits at most `limit` for the rest of a head, and as long for a peer to
    /// take some of a reply.
    pub fn new(stream: S, progress: Progress, limit: Duration) -> Self {
        Self { stream, progress, seen: 0, limit, head: None, reply: None }
    }

    fn taken<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.reply = None;
            return poll;
        }
        let timer = self.reply.get_or_insert_with(|| Box::pin(sleep(self.limit)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let poll = Pin::new(&mut this.stream).poll_read(cx, buffer);
        let count = this.progress.count();
        if count != this.seen {
            // The head that the timer was for came to its end.
            this.seen = count;
            this.head = None;
        }
        let handled = count % 2 == 1;
        match poll {
            // The body has a limit of its own.
            _ if handled => poll,
            Poll::Ready(_) => {
                if buffer.filled().len() > before {
                    this.head.get_or_insert_with(|| Box::pin(sleep(this.limit)));
                }
                poll
            }
            Poll::Pending => match &mut this.head {
                Some(timer) => {
                    ready!(timer.as_mut().poll(cx));
                    Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
                }
                None => Poll::Pending,
            },
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.taken(cx, poll)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.stream).poll_flush(cx);
        this.taken(cx, poll)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.taken(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
