//! A server that gives one answer to everything, as no real one can be made to.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

/// It serves until the process ends.
#[derive(Debug)]
pub(crate) struct Canned {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Canned {
    /// Answers with this status, such as `507 Insufficient Storage`, and code.
    pub(crate) fn saying(status: &str, code: &str) -> Self {
        let body = format!("<Error><Code>{code}</Code></Error>");
        let length = body.len();
        Self::answering(Some(format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        )))
    }

    /// Takes every connection and says nothing.
    pub(crate) fn silent() -> Self {
        Self::answering(None)
    }

    fn answering(answer: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<AtomicUsize>::default();
        let count = asked.clone();
        thread::spawn(move || {
            let mut open = Vec::new();
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, SeqCst);
                match &answer {
                    Some(answer) => drop(say(stream, answer)),
                    None => open.push(stream),
                }
            }
        });
        Self { address, asked }
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests came.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }
}

fn say(mut stream: TcpStream, answer: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        if line.trim().is_empty() {
            break;
        }
    }
    // Unread data would reset the connection before the answer is read.
    std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
    stream.write_all(answer.as_bytes())
}
