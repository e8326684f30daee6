//! Decoders run over bytes of unknown origin; a panic in one of them must not end the program.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; `None` if it panicked. Whatever it changed must not be used after that.
///
/// The first call wraps the process's panic hook, so that a panic caught here prints nothing; all
/// others are reported as before.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let report = take_hook();
        set_hook(Box::new(move |panic| {
            if !GUARDED.get() {
                report(panic);
            }
        }));
    });
    let outer = GUARDED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    outcome.ok()
}

#[cfg(test)]
mod tests {
    use super::guarded;

    #[test]
    fn a_panic_is_contained() {
        assert_eq!(guarded(|| 3), Some(3));
        assert_eq!(guarded(|| [1, 2].iter().position(|n| *n == 4).unwrap()), None);
    }
}
