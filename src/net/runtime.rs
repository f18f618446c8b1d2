//! The runtime of one worker thread: its ring, its tasks, its clock, its processor.
//!
//! One rule for everything that runs on it: a task must never wake itself in a loop. With
//! DEFER_TASKRUN monoio enters the kernel without reaping while a task is runnable, so every other
//! connection of the core would stand still. Anything that wants to go on later waits for the ring
//! or a timer. Not here: what the tasks do.

use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use core_affinity::CoreId;
use monoio::time::TimeDriver;
use monoio::{IoUringDriver, RuntimeBuilder};

use super::probe::Flags;
use crate::limits::{RING_COMPLETIONS, RING_ENTRIES};

pub struct Runtime(monoio::Runtime<TimeDriver<IoUringDriver>>);

impl Runtime {
    /// Builds the runtime of this thread with the best flags that the kernel takes. SINGLE_ISSUER
    /// binds the ring to the thread that makes it, so this has to be the worker's own.
    pub fn new() -> io::Result<(Runtime, Flags)> {
        let mut last = io::Error::from_raw_os_error(libc::EINVAL);
        for flags in Flags::BEST_FIRST {
            let mut ring = io_uring_monoio::IoUring::builder();
            ring.setup_cqsize(RING_COMPLETIONS);
            match flags {
                Flags::Defer => {
                    ring.setup_single_issuer().setup_defer_taskrun().setup_submit_all();
                }
                Flags::Coop => {
                    ring.setup_coop_taskrun().setup_submit_all();
                }
                Flags::None => {}
            }
            let built = RuntimeBuilder::<IoUringDriver>::new()
                .with_entries(RING_ENTRIES)
                .uring_builder(ring)
                .enable_timer()
                .build();
            match built {
                Ok(runtime) => return Ok((Runtime(runtime), flags)),
                Err(e) if e.raw_os_error() == Some(libc::EINVAL) => last = e,
                Err(e) => return Err(e),
            }
        }
        Err(last)
    }

    pub fn block_on<F: Future>(&mut self, future: F) -> F::Output {
        self.0.block_on(future)
    }
}

/// Runs a task on this thread. A panic ends the task alone; `on_panic` is told.
pub fn spawn(task: impl Future<Output = ()> + 'static, on_panic: impl FnOnce() + 'static) {
    drop(monoio::spawn(async move {
        let mut task = Box::pin(task);
        let mut on_panic = Some(on_panic);
        poll_fn(move |cx| {
            // After an unwind the task is never polled again, and what it shared is counters and
            // caches whose updates are single statements.
            match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx))) {
                Ok(poll) => poll,
                Err(_) => {
                    if let Some(tell) = on_panic.take() {
                        tell();
                    }
                    Poll::Ready(())
                }
            }
        })
        .await;
    }));
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

/// Runs `future` for at most `limit`, then drops it.
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    // Most waits are over at their first look, and a timer is 640 bytes and most of a microsecond:
    // it is made when there is something to wait for, and not inside of every future that waits.
    let mut timer = None;
    poll_fn(|cx| {
        if let Poll::Ready(done) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(done));
        }
        let timer = timer.get_or_insert_with(|| Box::pin(monoio::time::sleep(limit)));
        timer.as_mut().poll(cx).map(|()| Err(Elapsed))
    })
    .await
}

pub async fn sleep(duration: Duration) {
    monoio::time::sleep(duration).await;
}

/// The one clock of a worker.
pub fn now() -> Instant {
    Instant::now()
}

/// Processors that this process may use: its affinity mask, which the cpuset of a container already
/// bounds.
pub fn allowed_cores() -> Vec<usize> {
    core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect()
}

/// Binds this thread to one processor; false when the kernel refuses.
pub fn pin_to(core: usize) -> bool {
    core_affinity::set_for_current(CoreId { id: core })
}

/// Gives the memory that this thread freed back to the kernel. A burst of set-ups leaves megabytes,
/// and the allocator looks for them only when it is called again, which a core that has nothing but
/// idle tunnels never does. AEAD contexts and what else aws-lc allocates come from the C library's
/// own heap, which keeps it until asked as well.
pub fn give_back_memory() {
    // SAFETY: takes no pointer and touches only the calling thread's own free pages.
    unsafe { libmimalloc_sys::mi_collect(true) };
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer; it locks the heap that it gives free pages back of.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    #[test]
    fn a_panic_ends_one_task_only() {
        let (mut runtime, _) = Runtime::new().unwrap();
        let told = Rc::new(Cell::new(0));
        let survived = Rc::new(Cell::new(false));
        let (in_panic, in_other) = (Rc::clone(&told), Rc::clone(&survived));
        runtime.block_on(async move {
            spawn(async { panic!("on purpose") }, move || in_panic.set(in_panic.get() + 1));
            spawn(async move { in_other.set(true) }, || {});
            sleep(Duration::from_millis(1)).await;
        });
        assert_eq!((told.get(), survived.get()), (1, true));
    }

    #[test]
    fn a_timeout_ends_what_never_ends() {
        let (mut runtime, _) = Runtime::new().unwrap();
        runtime.block_on(async {
            let never = timeout(Duration::from_millis(1), std::future::pending::<()>()).await;
            assert_eq!(never, Err(Elapsed));
            assert_eq!(timeout(Duration::ZERO, async { 7 }).await, Ok(7));
        });
    }

    #[test]
    fn at_least_one_core_is_allowed_and_can_be_pinned() {
        let cores = allowed_cores();
        assert!(!cores.is_empty());
        assert!(pin_to(cores[0]));
    }
}
