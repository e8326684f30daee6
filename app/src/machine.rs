//! What a run cost, and the machine that it ran on.

pub use partita_model::machine::{memory_mib, peak_memory_mib};

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
