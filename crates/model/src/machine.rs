//! What a process may use of its machine, and what it has used.

/// Threads of the two pools that networks compute on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threads {
    /// Of float products and all else.
    pub all: usize,
    /// Of quantized products.
    pub spinning: usize,
}

impl Threads {
    /// So many, or one a core.
    ///
    /// The threads of quantized products spin while they wait for each other: where one of them has
    /// to share its core with other programs, all of them burn time (seen: 25 times slower). So they
    /// leave a core free, and more than four gain nothing on small matrices.
    pub fn of(count: Option<u16>) -> Self {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let all = count.map_or_else(cores, usize::from).max(1);
        Self { all, spinning: all.saturating_sub(1).clamp(1, 4) }
    }

    /// The environment variables, with their values, that the pools read when they start.
    pub fn variables(self) -> [(&'static str, String); 2] {
        [
            ("RAYON_NUM_THREADS", self.all.to_string()),
            ("CANDLE_NUM_THREADS", self.spinning.to_string()),
        ]
    }
}

/// CPU seconds, all threads, that this process has used; `None` where the system does not say.
pub fn cpu_seconds() -> Option<f64> {
    #[cfg(unix)]
    {
        use nix::sys::resource::{UsageWho, getrusage};
        use nix::sys::time::TimeValLike;
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
        let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        Some(micros as f64 / 1e6)
    }
    #[cfg(not(unix))]
    None
}

/// Largest memory in MiB that this process has held, mapped files included; `None` where the system
/// does not say.
pub fn peak_memory_mib() -> Option<f64> {
    memory("VmHWM:")
}

/// Memory in MiB that this process holds now; `None` where the system does not say.
pub fn memory_mib() -> Option<f64> {
    memory("VmRSS:")
}

fn memory(key: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantized_products_leave_a_core_free() {
        assert_eq!(Threads::of(Some(8)), Threads { all: 8, spinning: 4 });
        assert_eq!(Threads::of(Some(2)), Threads { all: 2, spinning: 1 });
        assert_eq!(Threads::of(Some(0)), Threads { all: 1, spinning: 1 });
        assert_eq!(Threads::of(Some(3)).variables()[1], ("CANDLE_NUM_THREADS", "2".to_owned()));
    }
}
