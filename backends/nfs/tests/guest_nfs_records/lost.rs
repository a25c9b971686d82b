//! The server does what it is asked, and its answer is lost; then it is restarted, and
//! its own memory of answers with it. So the client's repetition meets its own work:
//! EEXIST where it linked or made something, ENOENT where it moved something.

use std::{
    cell::Cell,
    fs,
    path::PathBuf,
    sync::{Arc, mpsc},
    thread,
};

use berth_api::{
    HostId, VolumeId,
    records::{Attached, Author},
};
use berth_host::failpoint;
use berth_tree::{Sharing, Tree};

use crate::{
    place::Scene,
    pool::{Host, is},
    support::{
        nfs::Setup,
        poll::{self, SOON},
    },
};

/// How long answers take, in milliseconds: long enough to begin to lose them, and shorter
/// than the client waits.
const DELAY: u32 = 2000;

/// A pool on the export, as one client sees it.
struct Sole<'a> {
    scene: &'a Scene,
    client: usize,
    /// As the server has it.
    pool: PathBuf,
    host: Host,
}

impl<'a> Sole<'a> {
    fn new(scene: &'a Scene, client: usize) -> Self {
        let folder = format!("pool-{client}");
        let pool = scene.server.disk().join(&folder);
        fs::create_dir(&pool).expect("made");
        let seen = scene.clients[client].mounted.join(&folder);
        let tree = Tree::shared("tried", &seen, Sharing { coherent: false });
        let author = Author { host: HostId::random(), name: "one".to_owned() };
        tree.identify(None, author.host).expect("a pool");
        Self { scene, client, pool, host: Host { tree: Arc::new(tree), author } }
    }

    /// `act` begins, and at the first pass of `point` the server's answers become slow, as
    /// the client first looks things up. Once it has `happened` the answer that is on its
    /// way is lost, and the server restarted; then it is heard again.
    fn losing<T: Send + 'static>(
        &self,
        point: &'static str,
        happened: impl Fn() -> bool,
        act: impl FnOnce(&Host) -> T + Send + 'static,
    ) -> T {
        let server = &self.scene.server;
        let ((reached, stops), (go, orders)) = (mpsc::channel(), mpsc::channel::<()>());
        let host = self.host.clone();
        let actor = thread::spawn(move || {
            let passed = Cell::new(false);
            failpoint::watch(move |name| {
                if name == point && !passed.replace(true) {
                    reached.send(()).expect("somebody waits for it");
                    orders.recv().expect("told to go on");
                }
                Ok(())
            });
            act(&host)
        });
        stops.recv().unwrap_or_else(|_| panic!("`{point}` was not passed"));
        server.delay(DELAY);
        go.send(()).expect("it waits");
        poll::holds("the server has done it", SOON, happened);
        server.drop_answers_to(self.scene.clients[self.client].address);
        server.delay(0);
        assert!(!actor.is_finished(), "it was answered");
        server.restart();
        server.end_grace();
        server.pass_packets();
        actor.join().expect("no panic")
    }

    fn record(&self, id: VolumeId) -> PathBuf {
        self.pool.join(".berth/records").join(id.to_string())
    }

    /// Versions are made by LINK.
    fn link(&self) {
        let (id, first) = self.host.volume("ready");
        let second = self.record(id).join("2");
        let written = self.losing(
            "beneath.link",
            || second.exists(),
            move |host| host.write(id, Some(&first.basis()), "written"),
        );
        assert_eq!(written.expect("it was linked").number, 2);
        assert!(is(&self.host.read(id).expect("readable").expect("there"), "written"));
    }

    /// The folder of a record is made by MKDIR.
    fn make(&self) {
        let id = VolumeId::random();
        let folder = self.record(id);
        let written = self.losing(
            "beneath.make-directory",
            || folder.exists(),
            move |host| host.write(id, None, "ready"),
        );
        assert_eq!(written.expect("it was made").number, 1);
    }

    /// The scratch file of a version is made by OPEN or CREATE, exclusively.
    fn create(&self) {
        let (id, first) = self.host.volume("ready");
        let scratch = self.pool.join(".berth/scratch");
        let there = || fs::read_dir(&scratch).expect("readable").count() > 0;
        let written = self.losing("durable.make-file", there, move |host| {
            host.write(id, Some(&first.basis()), "written")
        });
        // Whether it came about or not: there is one answer, and it is the truth.
        let now = self.host.read(id).expect("readable").expect("there");
        assert_eq!(is(&now, "written"), written.is_ok(), "{written:?}");
    }

    /// Attachments are put in their place by RENAME.
    fn attach(&self) {
        let (id, _) = self.host.volume("ready");
        let entry = self.host.author.host.to_string();
        let place = self.pool.join(".berth/attachments").join(id.to_string()).join(entry);
        let attached =
            self.losing("beneath.replace", || place.exists(), move |host| host.attach(id));
        assert!(matches!(attached.expect("it was moved"), Attached::Yes(_)));
    }

    /// A removal is a RENAME.
    fn remove(&self) {
        let id = VolumeId::random();
        let (volume, trashed) = (format!("volumes/{id}"), format!(".berth/trash/{id}"));
        fs::create_dir(self.pool.join(volume)).expect("made");
        let trashed = self.pool.join(trashed);
        let removed =
            self.losing("beneath.rename", || trashed.exists(), move |host| host.tree.remove(id));
        removed.expect("it was moved");
        assert!(trashed.exists());
    }
}

#[test]
fn an_answer_that_a_restarted_server_does_not_remember_is_settled() {
    let long = std::env::var("BERTH_LONG").is_ok_and(|long| long != "0");
    let scene = Scene::new("lost", Setup::new().version_3(), &["vers=4.2", "vers=3"]);
    for client in 0..scene.clients.len() {
        let sole = Sole::new(&scene, client);
        sole.link();
        if client == 0 || long {
            sole.attach();
        }
        if long {
            sole.make();
            sole.remove();
            sole.create();
        }
    }
}
