//! A bad line to a server: slow, broken, or dead.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

/// It carries until the process ends.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    delay: Duration,
    /// Bytes a second, on each connection and each way.
    rate: Option<u64>,
    dead: AtomicBool,
    carried: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
}

impl Line {
    /// Carries everything to `to`, each byte `delay` later, in both directions.
    pub(crate) fn to(to: SocketAddr, delay: Duration) -> Self {
        Self::new(to, delay, None)
    }

    /// Carries everything to `to`, little by little: so many bytes a second on each
    /// connection, in each direction.
    pub(crate) fn trickling(to: SocketAddr, rate: u64) -> Self {
        Self::new(to, Duration::ZERO, Some(rate))
    }

    fn new(to: SocketAddr, delay: Duration, rate: Option<u64>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            delay,
            rate,
            dead: AtomicBool::new(false),
            carried: AtomicU64::new(0),
            open: Mutex::default(),
        });
        let line = Self { address, state: state.clone() };
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(to) else { continue };
                for stream in [&near, &far] {
                    let _ = stream.set_nodelay(true);
                    state.open.lock().unwrap().extend(stream.try_clone());
                }
                let back = (far.try_clone().unwrap(), near.try_clone().unwrap());
                for (from, to) in [(near, far), back] {
                    carry(from, to, &state);
                }
            }
        });
        line
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many bytes came through, both ways.
    pub(crate) fn carried(&self) -> u64 {
        self.state.carried.load(SeqCst)
    }

    /// From now on nothing arrives any more, and nobody is told.
    pub(crate) fn die(&self) {
        self.state.dead.store(true, SeqCst);
    }

    /// Cuts all connections that there are.
    pub(crate) fn cut(&self) {
        for stream in self.state.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, state: &Arc<State>) {
    // Bounded, so that a sender is slowed down as by a real line.
    let (room, piece) = if state.rate.is_some() { (1, 4 << 10) } else { (1024, 64 << 10) };
    let (sender, receiver) = mpsc::sync_channel::<(Instant, Vec<u8>)>(room);
    let (delay, here) = (state.delay, state.clone());
    thread::spawn(move || {
        let mut buffer = vec![0; piece];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            if sender.send((Instant::now() + delay, buffer[..length].to_vec())).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || {
        for (due, bytes) in receiver {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if here.dead.load(SeqCst) {
                continue;
            }
            if let Some(rate) = here.rate {
                thread::sleep(Duration::from_nanos(bytes.len() as u64 * 1_000_000_000 / rate));
            }
            here.carried.fetch_add(bytes.len() as u64, SeqCst);
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        if !here.dead.load(SeqCst) {
            let _ = to.shutdown(Shutdown::Both);
        }
    });
}
