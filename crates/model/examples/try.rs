#![allow(missing_docs, clippy::unwrap_used)]
use partita_model::engine::*;
use partita_model::whisper::*;
use std::time::Instant;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let gguf = std::path::Path::new(&args[1]);
    if !gguf.exists() {
        let t = Instant::now();
        let q = Quantization::from_name(&args[2]).unwrap();
        import(std::path::Path::new("/root/vendor/whisper-base/model.bin"), gguf, q).unwrap();
        println!("import {:?}", t.elapsed());
    }
    let padding = if args[2] == "full" { Padding::Full } else { Padding::Natural };
    let t = Instant::now();
    let mut w = Whisper::load(gguf, &candle_core::Device::Cpu, padding).unwrap();
    println!("load {:?}", t.elapsed());
    for f in &args[3..] {
        let samples = partita_audio::read_all(std::path::Path::new(f)).unwrap();
        for _ in 0..3 {
            let t = Instant::now();
            w.encode(&samples).unwrap();
            let e = t.elapsed();
            let t = Instant::now();
            let r = w
                .transcribe(&samples, &Request { timestamps: false, ..Default::default() })
                .unwrap();
            println!(
                "{:.2}s enc {:?} all {:?} {} {:.2} {:.2} tok {} {:?}",
                samples.len() as f64 / 16000.,
                e,
                t.elapsed(),
                r.language,
                r.language_probability,
                r.no_speech,
                r.text.tokens,
                r.text.segments
            );
        }
    }
    let s = std::fs::read_to_string("/proc/self/status").unwrap();
    println!(
        "{}",
        s.lines()
            .filter(|l| l.starts_with("VmHWM") || l.starts_with("VmRSS"))
            .collect::<Vec<_>>()
            .join(" ")
    );
}
