//! When to look: when the kernel says that something in the directory changed, and now and then all the same.
//!
//! A notification may be lost (a full queue, a network file system, a directory that was replaced), so there is a poll beside it, at a random
//! moment of each interval: a fleet that was started together does not read together.

use crate::control::Requests;
use crate::tasks::{self, Watched};
use rustix::fs::inotify;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Looks whenever something in the directory is renamed, written or made. Ends with the executor.
pub async fn notice(path: PathBuf, requests: Requests, poll: Duration) {
    loop {
        let watched = watch(&path);
        requests.reload(); // what came before the watch was set up
        match watched {
            Ok(watched) => listen(&watched, &requests).await,
            Err(error) => tracing::debug!(path = %path.display(), "not watched, only polled: {error}"),
        }
        tasks::sleep(poll).await; // it may be there again
    }
}

fn watch(path: &PathBuf) -> rustix::io::Result<Arc<OwnedFd>> {
    use inotify::{CreateFlags, WatchFlags};
    let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    inotify::add_watch(
        &fd,
        path,
        WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE | WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF | WatchFlags::ONLYDIR,
    )?;
    Ok(Arc::new(fd))
}

/// Until the directory is gone.
async fn listen(watched: &Arc<OwnedFd>, requests: &Requests) {
    let wake = Watched::new(watched.clone());
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    loop {
        wake.readable().await;
        let (mut about_the_manifest, mut gone) = (false, false);
        let mut events = inotify::Reader::new(watched, &mut buffer);
        while let Ok(event) = events.next() {
            let flags = event.events();
            about_the_manifest |= event.file_name().is_some_and(|name| name.to_bytes() == b"manifest");
            gone |= flags.intersects(inotify::ReadFlags::DELETE_SELF | inotify::ReadFlags::MOVE_SELF | inotify::ReadFlags::IGNORED);
            about_the_manifest |= flags.contains(inotify::ReadFlags::QUEUE_OVERFLOW);
        }
        if about_the_manifest || gone {
            requests.reload();
        }
        if gone {
            return;
        }
    }
}

/// Half to one and a half of `interval`, drawn anew each time.
pub fn jittered(interval: Duration, random: &mut u64) -> Duration {
    *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    interval / 2 + interval.mul_f64((*random >> 40) as f64 / (1u64 << 24) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_of_a_fleet_spread_over_the_whole_interval() {
        let interval = Duration::from_secs(30);
        let mut waits: Vec<f64> =
            (0..1000u64).map(|node| jittered(interval, &mut { node.wrapping_mul(0x9E37_79B9_7F4A_7C15) }).as_secs_f64()).collect();
        waits.sort_by(f64::total_cmp);
        assert!(waits[0] >= 15.0 && waits[999] < 45.0);
        assert!(waits[100] < 20.0 && waits[900] > 40.0, "a tenth is below {} s, a tenth above {} s", waits[100], waits[900]);
    }
}
