use std::sync::mpsc;

use berth_api::Op;

use super::*;

#[tokio::test]
async fn a_panic_is_an_error_and_the_thread_lives_on() {
    let threads = Threads::new("test");
    let result: Result<()> = threads.run(|| panic!("on purpose")).await;
    assert!(result.is_err());
    assert_eq!(threads.run(|| Ok(7)).await.expect("still works"), 7);
}

#[tokio::test]
async fn more_calls_than_threads_all_run() {
    let threads = Threads::new("test");
    let calls: Vec<_> = (0..100_u32)
        .map(|n| {
            let threads = threads.clone();
            tokio::spawn(async move { threads.run(move || Ok(n)).await })
        })
        .collect();
    for (n, call) in (0_u32..).zip(calls) {
        assert_eq!(call.await.expect("no panic").expect("runs"), n);
    }
    assert!(threads.lock().threads <= LIMIT);
}

#[tokio::test]
async fn a_stuck_pool_refuses_at_once() {
    let threads = Threads::new("test");
    let (release, held) = mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    for _ in 0..LIMIT {
        let (threads, held) = (threads.clone(), held.clone());
        tokio::spawn(async move {
            threads.run(move || Ok(held.lock().map(|held| held.recv().is_ok()).is_ok())).await
        });
    }
    while threads.lock().running.len() < LIMIT {
        tokio::task::yield_now().await;
    }
    // What runs is made to look as old as a call that is stuck.
    for since in threads.lock().running.values_mut() {
        *since -= STUCK * 2;
    }
    let error = threads.run(|| Ok(())).await.expect_err("refused");
    assert_eq!(error.kind(), berth_api::ErrorKind::Unavailable);
    drop(release);
}

#[tokio::test]
async fn work_without_a_thread_is_queued_and_leaves_when_it_is_cancelled() {
    let threads = Threads::walkers("test");
    let (release, held) = mpsc::channel::<()>();
    let first = Op::new(Duration::from_secs(60));
    let (own, op) = (threads.clone(), first.clone());
    let at_work =
        tokio::spawn(async move { own.run_in_turn(&op, move |_| Ok(held.recv().is_ok())).await });
    while threads.lock().running.is_empty() || first.is_queued() {
        tokio::task::yield_now().await;
    }
    let second = Op::new(Duration::from_secs(60));
    let (own, op) = (threads.clone(), second.clone());
    let waits = tokio::spawn(async move { own.run_in_turn(&op, |_| Ok(())).await });
    while !second.is_queued() {
        tokio::task::yield_now().await;
    }
    second.cancel();
    let error = waits.await.expect("no panic").expect_err("it never began");
    assert_eq!(error.kind(), berth_api::ErrorKind::Conflict);
    assert!(!second.is_queued());
    release.send(()).expect("somebody waits");
    assert!(at_work.await.expect("no panic").expect("it ends"), "the other one was not hurt");
    assert!(threads.run(|| Ok(true)).await.expect("the thread lives on"));
}
