//! Hours of audio through the loader in a second, of one thread:
//! `cargo bench --workspace --bench loader -- speech.jsonl`.
//!
//! The manifest is one that `partita-train prepare` wrote. Each way is run over one epoch, or as
//! much of it as takes ten seconds. The page cache is warm from the second way on.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use partita_train::data::{
    Augment, CacheOptions, FeatureMaker, Loader, LoaderOptions, Sampler, SamplerOptions,
    SetOptions, SpeechSet, Stored,
};

const SECONDS: f64 = 10.0;

/// Processor time of this process: what counts on a machine that has other work too.
fn processor_seconds() -> f64 {
    #[cfg(unix)]
    {
        use nix::sys::resource::{UsageWho, getrusage};
        let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
        let seconds =
            |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        seconds(usage.user_time()) + seconds(usage.system_time())
    }
    #[cfg(not(unix))]
    f64::NAN
}

fn main() {
    let manifest = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let Some(manifest) = manifest.map(PathBuf::from) else {
        println!("skipped: no manifest given");
        return;
    };
    let options = SetOptions { sources: vec![manifest], ..SetOptions::default() };
    let set = Arc::new(SpeechSet::open(&options).unwrap());
    let folder = std::env::temp_dir().join(format!("partita-bench-{}", std::process::id()));
    let cache = || {
        let folder = folder.clone();
        Some(CacheOptions { folder, max_bytes: 8 << 30, stored: Stored::F16 })
    };
    println!("{} clips", set.clips().len());
    println!(
        "way                               batches   hours  seconds  hours/s  ×real time  wait"
    );
    let ways: [(&str, Option<Augment>, Option<CacheOptions>); 7] = [
        ("decode + mel (cold)", None, None),
        ("decode + mel", None, None),
        ("+ speed, room, noise, gain, masks", Some(Augment::default()), None),
        ("+ speed only", Some(Augment { speed: [0.9, 1.1], ..Augment::masks_only() }), None),
        ("cache, filling", None, cache()),
        ("cache, filled", None, cache()),
        ("cache, filled, masks", Some(Augment::masks_only()), cache()),
    ];
    for (name, augment, cache) in ways {
        let options = SamplerOptions { padded_share: 0.0, ..SamplerOptions::default() };
        let sampler = Sampler::new(set.items(), options).unwrap();
        let batches = sampler.batches_in_epoch();
        let maker = Arc::new(FeatureMaker::new(set.clone(), 0, 80, augment, cache).unwrap());
        let options = LoaderOptions { threads: 1, ahead: 1, ..LoaderOptions::default() };
        let (begin, used) = (Instant::now(), processor_seconds());
        let mut loader = Loader::start(maker, sampler, options).unwrap();
        let (mut heard, mut count) = (0.0, 0);
        while count < batches
            && (begin.elapsed().as_secs_f64() < SECONDS || name.contains("filling"))
        {
            heard += loader.next().unwrap().seconds();
            count += 1;
        }
        let (seconds, used) = (begin.elapsed().as_secs_f64(), processor_seconds() - used);
        println!(
            "{name:<34}{count:>7} {:>7.3} {seconds:>8.2} {:>8.4} {used:>12.2} {:>18.4} {:>5.2}",
            heard / 3600.0,
            heard / 3600.0 / seconds,
            heard / 3600.0 / used,
            loader.wait_share(),
        );
        for bad in loader.bad_rows() {
            println!("    {bad}");
        }
    }
    std::fs::remove_dir_all(folder).ok();
}
