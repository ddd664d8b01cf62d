//! Calls that never come back by themselves.

use std::hint::black_box;
use std::mem::forget;
use std::time::Duration;

use lockkeeper_sdk::bindings::lockkeeper::datastore::digests::Hasher;

pub(crate) fn computing() {
    let mut count = 0_u64;
    loop {
        count = black_box(count.wrapping_add(1));
    }
}

pub(crate) fn allocating() {
    loop {
        forget(black_box(vec![1_u8; 1 << 20]));
    }
}

pub(crate) fn recursing() {
    fn deeper(depth: u64) -> u64 {
        // Used after the call as well, or the compiler would make a loop of it.
        black_box(depth).wrapping_add(black_box(next()(depth.wrapping_add(1))))
    }
    fn next() -> fn(u64) -> u64 {
        black_box(deeper)
    }
    black_box(deeper(0));
}

pub(crate) fn hashing() {
    loop {
        forget(black_box(Hasher::new()));
    }
}

pub(crate) fn waiting() {
    std::thread::sleep(Duration::from_secs(365 * 24 * 60 * 60));
}
