//! A server seen with keys that may read and not write: what changes something is
//! denied, as a policy without `s3:PutObject` and `s3:DeleteObject` does it.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

const DENIED: &str = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";

/// It serves until the process ends.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    address: SocketAddr,
    strict: Arc<AtomicBool>,
    denied: Arc<AtomicUsize>,
}

impl Guard {
    /// In front of `to`; lets everything through at first.
    pub(crate) fn before(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let guard = Self { address, strict: Arc::default(), denied: Arc::default() };
        let own = guard.clone();
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let own = own.clone();
                thread::spawn(move || own.serve(&near, to));
            }
        });
        guard
    }

    /// From now on nothing can be written through it.
    pub(crate) fn deny_writing(&self) {
        self.strict.store(true, SeqCst);
    }

    /// How many requests it denied.
    pub(crate) fn denied(&self) -> usize {
        self.denied.load(SeqCst)
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Carries one connection; requests come one after the other.
    fn serve(&self, near: &TcpStream, to: SocketAddr) -> Option<()> {
        let far = TcpStream::connect(to).ok()?;
        near.set_nodelay(true).ok()?;
        far.set_nodelay(true).ok()?;
        let (mut answers, mut back) = (far.try_clone().ok()?, near.try_clone().ok()?);
        thread::spawn(move || {
            let _ = std::io::copy(&mut answers, &mut back);
            let _ = back.shutdown(Shutdown::Both);
        });
        let (mut requests, mut far, mut near) = (BufReader::new(near), &far, near);
        loop {
            let (mut head, mut length) = (String::new(), 0);
            while !head.ends_with("\r\n\r\n") {
                let from = head.len();
                if requests.read_line(&mut head).ok()? == 0 {
                    let _ = far.shutdown(Shutdown::Both);
                    return None;
                }
                let line = head[from..].to_ascii_lowercase();
                if let Some(value) = line.strip_prefix("content-length:") {
                    length = value.trim().parse().ok()?;
                }
            }
            let mut body = requests.by_ref().take(length);
            let reads = head.starts_with("GET ") || head.starts_with("HEAD ");
            if reads || !self.strict.load(SeqCst) {
                far.write_all(head.as_bytes()).ok()?;
                std::io::copy(&mut body, &mut far).ok()?;
                continue;
            }
            self.denied.fetch_add(1, SeqCst);
            std::io::copy(&mut body, &mut std::io::sink()).ok()?;
            let length = DENIED.len();
            let head = format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {length}\r\n\r\n");
            near.write_all((head + DENIED).as_bytes()).ok()?;
        }
    }
}
