//! What a run cost, and the machine that it ran on.

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

/// Largest memory in MiB that this process has held; `None` where the system does not say.
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
