//! Files damaged at random, and how many bytes reading them holds.

use proptest::prelude::*;
use proptest::sample::Index;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, Ordering};

/// Counts the bytes that each thread holds and that all hold together, and their peaks.
struct Counting;

/// What all threads hold, and the peak of that.
static ALL: [AtomicIsize; 2] = [AtomicIsize::new(0), AtomicIsize::new(0)];

thread_local! {
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

fn count(change: isize) {
    let all = ALL[0].fetch_add(change, Ordering::Relaxed) + change;
    ALL[1].fetch_max(all, Ordering::Relaxed);
    let _ = HELD.try_with(|held| {
        let (now, peak) = held.get();
        held.set((now + change, peak.max(now + change)));
    });
}

// SAFETY: hands every request to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that were held at once while `work` was done, by whatever thread.
#[allow(dead_code, reason = "most tests read with one thread")]
pub fn peak_of_all<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = ALL[0].load(Ordering::Relaxed);
    ALL[1].store(before, Ordering::Relaxed);
    let done = work();
    (done, (ALL[1].load(Ordering::Relaxed) - before).max(0) as usize)
}

/// The most bytes that `work` held at once.
#[allow(dead_code, reason = "some tests have work done by several threads")]
pub fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let (before, _) = HELD.get();
    HELD.set((before, before));
    let done = work();
    (done, (HELD.get().1 - before) as usize)
}

/// One change of a file.
#[derive(Debug, Clone)]
enum Edit {
    Byte(Index, u8),
    Flip(Index, u8),
    /// A field of 1, 2, 4 or 8 bytes overwritten.
    Field(Index, u64, u8),
    Remove(Index, usize),
    Insert(Index, Vec<u8>),
    Repeat(Index, usize),
    Cut(Index),
}

impl Edit {
    /// Headers matter most: half of the edits fall into the first kilobytes.
    fn apply(&self, bytes: &mut Vec<u8>, early: bool) {
        let reach = if early { bytes.len().min(2048) } else { bytes.len() };
        if reach == 0 {
            return;
        }
        let end = |at: usize, length: usize, bytes: &Vec<u8>| (at + length).min(bytes.len());
        match self {
            Self::Byte(at, byte) => bytes[at.index(reach)] = *byte,
            Self::Flip(at, bit) => bytes[at.index(reach)] ^= 1 << (bit % 8),
            Self::Field(at, value, width) => {
                let at = at.index(reach);
                let end = end(at, 1 << (width % 4), bytes);
                bytes[at..end].copy_from_slice(&value.to_le_bytes()[..end - at]);
            }
            Self::Remove(at, length) => {
                let at = at.index(reach);
                let end = end(at, *length, bytes);
                bytes.drain(at..end);
            }
            Self::Insert(at, new) => {
                let at = at.index(reach);
                bytes.splice(at..at, new.iter().copied());
            }
            Self::Repeat(at, length) => {
                let at = at.index(reach);
                let again = bytes[at..end(at, *length, bytes)].to_vec();
                bytes.splice(at..at, again);
            }
            Self::Cut(at) => bytes.truncate(at.index(bytes.len())),
        }
    }
}

fn edit() -> impl Strategy<Value = (Edit, bool)> {
    let at = any::<Index>;
    let telling = prop_oneof![
        any::<u64>(),
        0u64..300,
        Just(u64::MAX),
        Just(u64::MAX - 31),
        (0u32..64).prop_map(|bit| 1 << bit),
    ];
    let edit = prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Byte(at, byte)),
        4 => (at(), any::<u8>()).prop_map(|(at, bit)| Edit::Flip(at, bit)),
        4 => (at(), telling, any::<u8>()).prop_map(|(at, value, w)| Edit::Field(at, value, w)),
        1 => (at(), 1usize..40).prop_map(|(at, length)| Edit::Remove(at, length)),
        1 => (at(), prop::collection::vec(any::<u8>(), 1..40)).prop_map(|(a, v)| Edit::Insert(a, v)),
        1 => (at(), 1usize..80).prop_map(|(at, length)| Edit::Repeat(at, length)),
        1 => at().prop_map(Edit::Cut),
    ];
    (edit, any::<bool>())
}

/// The bytes with some changes.
pub fn damaged(bytes: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(edit(), 1..5).prop_map(move |edits| {
        let mut bytes = bytes.clone();
        edits.iter().for_each(|(edit, early)| edit.apply(&mut bytes, *early));
        bytes
    })
}
