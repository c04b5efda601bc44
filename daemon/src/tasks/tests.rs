//! The executor of the control thread, with timers, wakers of other threads and real sockets.
//!
//! Both directions of twenty connections are filled beyond what the kernel buffers, so that every wait of `net.rs` happens; what a dropped future
//! leaves behind is counted, and so is the time that an idle executor spends.

use super::net::{Listener, Stream};
use super::*;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use std::io::{Read, Write};
use std::net::TcpStream;

#[test]
fn tasks_run_until_the_first_ends() {
    let seen = run(async {
        let seen = Rc::new(Cell::new(0));
        for _ in 0..3 {
            let seen = seen.clone();
            spawn(async move {
                sleep(Duration::from_millis(1)).await;
                seen.set(seen.get() + 1);
            });
        }
        spawn(std::future::pending());
        while seen.get() < 3 {
            sleep(Duration::from_millis(1)).await;
        }
        seen.get()
    });
    assert_eq!(seen.unwrap(), 3);
}

#[test]
fn timers_end_in_the_order_of_their_times() {
    let order = run(async {
        let order = Rc::new(RefCell::new(Vec::new()));
        for ms in [30, 10, 20] {
            let order = order.clone();
            spawn(async move {
                sleep(Duration::from_millis(ms)).await;
                order.borrow_mut().push(ms);
            });
        }
        sleep(Duration::from_millis(60)).await;
        order.take()
    });
    assert_eq!(order.unwrap(), [10, 20, 30]);
}

#[test]
fn what_takes_too_long_is_dropped_with_its_timers_and_interests() {
    let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let left = run(async {
        let waits = async {
            Watched::new(OwnedFd::from(ours)).readable().await;
            sleep(Duration::from_secs(60)).await;
        };
        assert_eq!(timeout(Duration::from_millis(5), waits).await, None);
        assert_eq!(timeout(Duration::from_secs(60), async { 7 }).await, Some(7));
        (here().timers.borrow().len(), here().interests.borrow().len())
    });
    assert_eq!(left.unwrap(), (0, 0));
}

#[test]
fn a_waker_may_be_called_from_another_thread() {
    let (sender, receiver) = std::sync::mpsc::channel::<Waker>();
    let other = std::thread::spawn(move || {
        let waker = receiver.recv().unwrap();
        std::thread::sleep(Duration::from_millis(10));
        waker.wake();
    });
    let mut told = false;
    let waits = std::future::poll_fn(move |context| {
        if std::mem::replace(&mut told, true) {
            return Poll::Ready(());
        }
        sender.send(context.waker().clone()).unwrap();
        Poll::Pending
    });
    run(waits).unwrap();
    other.join().unwrap();
}

#[test]
fn connections_are_accepted_read_and_written_side_by_side() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let peers = std::thread::spawn(move || {
        let mut streams: Vec<_> = (0..20).map(|_| TcpStream::connect(address).unwrap()).collect();
        // The last one speaks first; more than socket buffers hold, so that both directions wait.
        let sent = vec![9u8; 4 << 20];
        for stream in streams.iter_mut().rev() {
            let mut writes = stream.try_clone().unwrap();
            let bytes = sent.clone();
            let writer = std::thread::spawn(move || writes.write_all(&bytes).and_then(|()| writes.shutdown(std::net::Shutdown::Write)));
            let mut back = Vec::new();
            stream.read_to_end(&mut back).unwrap();
            writer.join().unwrap().unwrap();
            assert!(back == sent);
        }
    });
    run(async {
        let done = Rc::new(Cell::new(0));
        let listener = Listener::new(OwnedFd::from(listener));
        assert_eq!(listener.local_addr().unwrap(), address);
        for _ in 0..20 {
            let (mut stream, done): (Stream, _) = (listener.accept().await.unwrap(), done.clone());
            spawn(async move {
                let mut buffer = vec![0; 65536];
                while let Ok(bytes @ 1..) = stream.read(&mut buffer).await {
                    stream.write_all(&buffer[..bytes]).await.unwrap();
                }
                stream.close().await.unwrap();
                done.set(done.get() + 1);
            });
        }
        while done.get() < 20 {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .unwrap();
    peers.join().unwrap();
}

#[test]
fn nothing_is_spent_while_nothing_happens() {
    let before = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    run(sleep(Duration::from_millis(300))).unwrap();
    let after = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let spent = Duration::try_from(after).unwrap() - Duration::try_from(before).unwrap();
    assert!(spent < Duration::from_millis(20), "{spent:?}");
}
