//! What a run cost, and the machine that it ran on.

pub use partita_model::machine::{cpu_seconds, memory_mib, peak_memory_mib};

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
