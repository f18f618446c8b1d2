//! A condition of one core that tasks wait for, such as "draining" or "there is room again". Not
//! for other threads.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

use rustc_hash::FxHashMap;

#[derive(Debug, Default)]
pub struct Latch {
    set: Cell<bool>,
    next: Cell<u64>,
    waiting: RefCell<FxHashMap<u64, Waker>>,
}

impl Latch {
    pub fn is_set(&self) -> bool {
        self.set.get()
    }

    /// Wakes everybody who waits.
    pub fn set(&self) {
        self.set.set(true);
        for (_, waker) in self.waiting.take() {
            waker.wake();
        }
    }

    pub fn clear(&self) {
        self.set.set(false);
    }

    pub async fn wait(&self) {
        let place = self.next.get();
        self.next.set(place.wrapping_add(1));
        let _leave = Leave { latch: self, place };
        poll_fn(|cx| {
            if self.set.get() {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().insert(place, cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Takes a dropped wait off the list, which would grow without bound otherwise.
struct Leave<'a> {
    latch: &'a Latch,
    place: u64,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.latch.waiting.borrow_mut().remove(&self.place);
    }
}

/// Whichever of two futures ends first; the other is dropped.
pub enum First<A, B> {
    Left(A),
    Right(B),
}

pub async fn first<A: Future, B: Future>(left: A, right: B) -> First<A::Output, B::Output> {
    let (mut left, mut right) = (std::pin::pin!(left), std::pin::pin!(right));
    poll_fn(|cx| {
        if let Poll::Ready(done) = left.as_mut().poll(cx) {
            return Poll::Ready(First::Left(done));
        }
        right.as_mut().poll(cx).map(First::Right)
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Context;

    use super::*;

    #[test]
    fn a_dropped_wait_leaves_no_trace_and_a_set_latch_lets_all_through() {
        let latch = Latch::default();
        let mut cx = Context::from_waker(Waker::noop());
        {
            let mut wait = pin!(latch.wait());
            assert!(wait.as_mut().poll(&mut cx).is_pending());
            assert_eq!(latch.waiting.borrow().len(), 1);
        }
        assert!(latch.waiting.borrow().is_empty());
        let mut wait = pin!(latch.wait());
        assert!(wait.as_mut().poll(&mut cx).is_pending());
        latch.set();
        assert!(wait.as_mut().poll(&mut cx).is_ready());
    }
}
