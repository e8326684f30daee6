//! What a run cost, and the machine that it ran on.

pub use partita_model::machine::{cpu_seconds, memory_mib, peak_memory_mib};

/// Tells the C library's allocator to keep one heap for all threads. By default each has its own,
/// which holds on to the most that its thread ever needed: memory that grows for hours.
///
/// To be called before there is a second thread.
pub fn keep_one_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: only sets a number of the allocator's own.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// The processor's name and those of its features that the fast products ask for.
pub fn processor() -> (String, Vec<&'static str>) {
    let system = sysinfo::System::new_with_specifics(
        sysinfo::RefreshKind::nothing().with_cpu(sysinfo::CpuRefreshKind::nothing()),
    );
    let name = system.ok().and_then(|s| Some(s.cpus().first()?.brand().trim().to_owned()));
    let mut features = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! detect {
            ($($feature:tt),*) => { $( if is_x86_feature_detected!($feature) { features.push($feature); } )* };
        }
        detect!("avx2", "fma", "f16c", "avxvnni", "avx512f", "avx512vnni");
    }
    #[cfg(target_arch = "aarch64")]
    {
        macro_rules! detect {
            ($($feature:tt),*) => { $( if std::arch::is_aarch64_feature_detected!($feature) { features.push($feature); } )* };
        }
        detect!("neon", "dotprod", "i8mm", "fp16");
    }
    (name.unwrap_or_default(), features)
}
