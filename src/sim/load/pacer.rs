//! Wakes terminals when their messages are due, to the microsecond.
//!
//! The runtime's own timers have a grain of a millisecond, more than a sale takes here. A kernel timer
//! has none.

use std::io;
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use super::board::{Board, Timetable};

/// Rings the bells of a timetable until it is dropped.
pub(super) async fn keep(board: &Board, timetable: Timetable) -> io::Result<()> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    let timer = register(timerfd_create(TimerfdClockId::Monotonic, flags)?)?;
    let mut message = 0;
    loop {
        let now = board.clock().now();
        while timetable.due(message) <= now {
            board.ring(message);
            message += 1;
        }
        wait(&timer, timetable.due(message).since(now)).await?;
    }
}

#[expect(
    deprecated,
    reason = "its successor is unsafe for types that lie about their descriptor; OwnedFd does not"
)]
fn register(timer: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(timer)
}

async fn wait(timer: &AsyncFd<OwnedFd>, time: Duration) -> io::Result<()> {
    let never = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // A time of zero would disarm the timer.
    let time = time.max(Duration::from_nanos(1));
    let once = Itimerspec {
        it_interval: never,
        it_value: Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        },
    };
    timerfd_settime(timer, TimerfdTimerFlags::empty(), &once)?;
    loop {
        let mut ready = timer.readable().await?;
        let mut expirations = [0; 8];
        let read = ready.try_io(|fd| Ok(rustix::io::read(fd, &mut expirations)?));
        if let Ok(result) = read {
            return result.map(|_bytes| ());
        }
    }
}
