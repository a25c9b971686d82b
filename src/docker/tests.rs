use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixListener,
    thread::{self, JoinHandle},
};

use tempfile::TempDir;

use super::*;

/// An Engine that gives these answers, one a connection; it ends with the
/// requests it heard.
fn engine(answers: Vec<(u16, String)>) -> (TempDir, Docker, JoinHandle<Vec<String>>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("docker.sock");
    let listener = UnixListener::bind(&socket).expect("a new socket");
    let heard = thread::spawn(move || {
        let hear = |(status, body): (u16, String)| {
            let (mut stream, _) = listener.accept().expect("a caller");
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            while !request.ends_with(b"\r\n\r\n") {
                match stream.read(&mut buffer).expect("a request") {
                    0 => break,
                    length => request.extend_from_slice(&buffer[..length]),
                }
            }
            let head = format!("HTTP/1.1 {status} Said\r\nContent-Length: {}\r\n\r\n", body.len());
            // Status 0: it hangs up.
            if status > 0 {
                stream.write_all((head + &body).as_bytes()).expect("the caller waits");
            }
            String::from_utf8(request).expect("ASCII")
        };
        answers.into_iter().map(hear).collect()
    });
    let docker = Docker::at(Some(&socket));
    (folder, docker, heard)
}

fn said(message: &str) -> String {
    serde_json::json!({ "message": message }).to_string()
}

#[tokio::test]
async fn the_volume_is_asked_for_by_its_name() {
    let id = "ab".repeat(32);
    let listed = serde_json::json!([{
        "Id": id, "State": "running", "Names": ["/db"],
        "Mounts": [{"Type": "volume", "Name": "d.b-1", "Driver": "berth", "Destination": "/d"},
                   {"Type": "bind", "Source": "/etc"}],
    }]);
    let (_folder, docker, heard) = engine(vec![(200, listed.to_string())]);
    let found = docker.containers_of("d.b-1").await.expect("an answer");
    assert_eq!((found.len(), found[0].id.as_str(), found[0].state.as_str()), (1, &*id, "running"));
    assert_eq!(found[0].mounts[0].driver, "berth");
    assert_eq!((found[0].mounts[1].kind.as_str(), found[0].mounts[1].name.as_str()), ("bind", ""));
    let request = &heard.join().expect("it ended")[0];
    let filters = "%7B%22volume%22%3A%5B%22d%2Eb%2D1%22%5D%7D";
    assert!(request.starts_with(&format!("GET /containers/json?filters={filters} ")), "{request}");
}

#[tokio::test]
async fn what_docker_says_of_a_container_decides() {
    let id = "0".repeat(64);
    let answers = [
        (204, String::new(), Some(Changed::Done)),
        (304, String::new(), None),
        (404, said("No such container"), Some(Changed::Gone)),
        (409, said("is restarting"), Some(Changed::Not)),
        (500, said("Container 00 is already paused"), Some(Changed::Not)),
        (500, said("cannot pause: the \u{1b}[2J freezer\nis out"), None),
        (0, String::new(), None),
    ];
    let plain = answers.iter().map(|(status, body, _)| (*status, body.clone())).collect();
    let (_folder, docker, heard) = engine(plain);
    for (status, body, expected) in answers {
        match (docker.pause(&id).await, expected) {
            (Ok(changed), Some(expected)) => assert_eq!(changed, expected, "{status} {body}"),
            (Err(error), None) => {
                assert_eq!(error.kind(), berth_api::ErrorKind::Unavailable);
                let text = error.chain();
                assert!(!text.contains(['\n', '\u{1b}']), "{text:?}");
            }
            other => panic!("{status} {body}: {other:?}"),
        }
    }
    let request = &heard.join().expect("it ended")[0];
    assert!(request.starts_with(&format!("POST /containers/{id}/pause ")), "{request}");
}

#[tokio::test]
async fn what_is_no_container_is_asked_nothing() {
    let listed = serde_json::json!([{"Id": "../../volumes/prune", "State": "running"}]);
    let (_folder, docker, heard) =
        engine(vec![(200, listed.to_string()), (200, "[{".to_owned()), (500, said("no"))]);
    for _ in 0..3 {
        docker.containers_of("db").await.expect_err("not to be believed");
    }
    docker.unpause("../../volumes/prune").await.expect_err("no id");
    assert_eq!(heard.join().expect("it ended").len(), 3);
    let error = docker.pause(&"0".repeat(64)).await.expect_err("nobody listens");
    assert!(error.hint().is_some_and(|hint| hint.contains("docker-socket")));
}
