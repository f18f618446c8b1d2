//! A condition of one core that tasks wait for, such as "draining" or "there is room again". Not
//! for other threads.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

use rustc_hash::FxHashMap;

#[derive(Debug, Default)]
pub struct Latch {
    set: Cell<bool>,
    released: Cell<usize>,
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

    /// Lets `n` of those who wait through, though nothing is set.
    pub fn release(&self, n: usize) {
        let mut waiting = self.waiting.borrow_mut();
        let places: Vec<u64> = waiting.keys().take(n).copied().collect();
        self.released.set(places.len());
        for waker in places.iter().filter_map(|place| waiting.remove(place)) {
            waker.wake();
        }
    }

    pub async fn wait(&self) {
        let place = self.next.get();
        self.next.set(place.wrapping_add(1));
        let _leave = Leave { latch: self, place };
        poll_fn(|cx| {
            if self.set.get() {
                return Poll::Ready(());
            }
            if let Some(left) = self.released.get().checked_sub(1) {
                self.released.set(left);
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

    #[test]
    fn a_release_lets_as_many_through_as_it_says() {
        let latch = Latch::default();
        let mut cx = Context::from_waker(Waker::noop());
        latch.release(1);
        let (mut a, mut b) = (pin!(latch.wait()), pin!(latch.wait()));
        assert!(a.as_mut().poll(&mut cx).is_pending() && b.as_mut().poll(&mut cx).is_pending());
        latch.release(1);
        assert!(a.as_mut().poll(&mut cx).is_ready() && b.as_mut().poll(&mut cx).is_pending());
    }
}
