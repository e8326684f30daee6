//! What the program asks of the system before it begins.

/// Tells the C library's allocator to keep what is freed. It would give each large tensor back to the
/// system and ask for it again, and the system would fill it with zeros again: a quarter of the time
/// of a step of training.
pub fn keep_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: only sets numbers of the allocator's own, before there is a second thread.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Small operations share their work among threads that spin while they wait for each other: where one
/// of them has to share its core with another program, all of them burn time. So they leave a core
/// free, unless they were told how many to be. Products use all cores.
pub fn leave_a_core() {
    const THREADS: &str = "CANDLE_NUM_THREADS";
    if std::env::var_os(THREADS).is_none() {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        // SAFETY: no other thread of this process is running yet.
        unsafe { std::env::set_var(THREADS, cores.saturating_sub(1).clamp(1, 8).to_string()) };
    }
}
