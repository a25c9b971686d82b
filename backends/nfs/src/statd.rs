//! Whether files can be locked on NFS 3: its locks are a protocol of their own, for which
//! the kernel needs `rpc.statd` on this host. Without it the first lock of a program
//! waits or fails, long after the mount was made; without rpcbind the mount itself is
//! refused, in words that look like the server's (`Connection refused`).

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use berth_api::{Error, Result};

/// Where rpcbind listens (RFC 1833).
const RPCBIND: u16 = 111;
/// How long it may take: it is on this host.
const PATIENCE: Duration = Duration::from_secs(1);

/// The numbers of a call (RFC 5531) of rpcbind's `GETPORT` (RFC 1833, program 100000,
/// version 2, procedure 3) for statd's (program 100024, version 1) over TCP (6).
const QUESTION: [u32; 14] = [0xbe27, 0, 2, 100_000, 2, 3, 0, 0, 0, 0, 100_024, 1, 6, 0];
/// The numbers of an answer: length, id, reply, accepted, no verifier (2), success, port.
const ANSWER: usize = 8;

/// Makes sure that statd runs.
///
/// # Errors
/// `Unavailable` if it does not.
pub(crate) fn check() -> Result<()> {
    match port() {
        Ok(port) if port != 0 => Ok(()),
        answer => {
            let error = Error::unavailable(
                "files cannot be locked on NFS 3: no `rpc.statd` runs on this host",
            );
            let error = match answer {
                Err(source) => error.with_source(source),
                Ok(_) => error,
            };
            Err(error.with_hint(
                "start rpcbind and rpc.statd (Debian: apt install nfs-common; systemctl start \
                 rpc-statd), or add `nolock` to `mount-options`: locks then stay on one host",
            ))
        }
    }
}

/// The port of statd on this host; 0 if there is none.
fn port() -> io::Result<u32> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, RPCBIND));
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let words: Vec<u8> = QUESTION.iter().flat_map(|word| word.to_be_bytes()).collect();
    // One fragment, which is the last.
    let length = u32::try_from(words.len()).unwrap_or_default() | 1 << 31;
    stream.write_all(&[&length.to_be_bytes()[..], &words].concat())?;
    let mut answer = [0; 4 * ANSWER];
    // All answers that tell a port have this length.
    stream.read_exact(&mut answer)?;
    parsed(&answer)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no answer of rpcbind"))
}

/// The port in an answer, length included.
fn parsed(answer: &[u8; 4 * ANSWER]) -> Option<u32> {
    let words: Vec<_> = answer
        .chunks_exact(4)
        .map(|word| word.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte)))
        .collect();
    match words[..] {
        [_, id, 1, 0, _, _, 0, port] if id == QUESTION[0] => Some(port),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_read_from_an_answer_and_from_nothing_else() {
        let bytes = |words: [u32; ANSWER]| {
            let mut bytes = [0; 4 * ANSWER];
            for (to, word) in bytes.chunks_exact_mut(4).zip(words) {
                to.copy_from_slice(&word.to_be_bytes());
            }
            bytes
        };
        let good = [0x8000_001c, QUESTION[0], 1, 0, 0, 0, 0, 662];
        assert_eq!(parsed(&bytes(good)), Some(662));
        for (at, word) in [(1, 7), (2, 0), (3, 1), (6, 1)] {
            let mut bad = good;
            bad[at] = word;
            assert_eq!(parsed(&bytes(bad)), None, "{bad:?}");
        }
    }
}
