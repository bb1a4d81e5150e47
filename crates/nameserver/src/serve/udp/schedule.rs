//! What an answering thread asks of the kernel's scheduler. All of it is a wish: where the kernel is older or says no, the
//! thread answers as well, only later at times.

#![allow(unsafe_code, reason = "neither std nor nix knows the two calls for scheduling attributes")]

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use std::time::Duration;

/// How late a sleeping thread may wake up; 50 µs unless said.
const TIMER_SLACK: Duration = Duration::from_micros(1);
/// Turns this short let the thread in before longer ones are over, so that compiling a plan on the same processor does not
/// keep queries waiting (Linux 6.12 and newer; the shortest it allows).
const SLICE: Duration = Duration::from_micros(100);

/// Processors that this process may use.
pub fn processors() -> Vec<usize> {
    let Ok(allowed) = sched_getaffinity(Pid::from_raw(0)) else { return Vec::new() };
    (0..CpuSet::count()).filter(|processor| allowed.is_set(*processor).unwrap_or(false)).collect()
}

/// For the calling thread.
pub fn settle(processor: Option<usize>) {
    let pinned = processor.map_or(Ok(()), |processor| {
        let mut set = CpuSet::new();
        set.set(processor).and_then(|()| sched_setaffinity(Pid::from_raw(0), &set))
    });
    if let Err(error) = pinned {
        tracing::debug!(processor, %error, "an answering thread is not pinned");
    }
    if let Err(error) = nix::sys::prctl::set_timerslack(TIMER_SLACK.as_nanos() as u64) {
        tracing::debug!(%error, "an answering thread sleeps longer than it wants");
    }
    if let Err(error) = take_short_turns() {
        tracing::debug!(%error, "an answering thread may wait for others' turns");
    }
}

/// What the calling thread has used of its processor so far.
pub fn processor_time() -> Option<Duration> {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).ok().map(Duration::from)
}

/// Everything but the length of a turn stays as it is.
fn take_short_turns() -> std::io::Result<()> {
    // SAFETY: all-zero bytes are a valid value of this plain C struct of integers.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    let size = size_of::<libc::sched_attr>() as libc::c_uint;
    // SAFETY: the pointer is valid for writes of `size` octets, which is what the kernel is told; thread 0 is the caller.
    let read = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) };
    if read != 0 {
        return Err(std::io::Error::last_os_error());
    }
    attributes.size = size;
    attributes.sched_flags = 0;
    attributes.sched_runtime = SLICE.as_nanos() as u64;
    // SAFETY: the pointer is valid for reads of `attributes.size` octets; the kernel only reads them.
    match unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}
