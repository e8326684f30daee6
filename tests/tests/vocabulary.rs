//! Whisper with the tokens of some languages alone: a smaller file, the same text.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use partita_tests::{Run, Sample, models_installed, program};
use std::fs;
use std::process::Command;

const LANGUAGES: [&str; 3] = ["en", "es", "it"];

#[test]
fn whisper_with_fewer_tokens_writes_the_same() {
    if !models_installed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let clips = LANGUAGES.map(Sample::of);
    fs::create_dir_all(path("text/sentences")).unwrap();
    for clip in &clips {
        // Sentences as people write them, and as they begin where something was said before.
        let lines = format!("{}\n{}\n", clip.text, clip.text.to_lowercase()).repeat(60);
        fs::write(path(&format!("text/sentences/{}.txt", clip.lang)), lines).unwrap();
    }
    let languages = LANGUAGES.join(",");
    let (whole, few) = (path("whole"), path("few"));
    let export = ["gguf", "whisper-base", "--quant", "q6_k", "-o"];
    let text = path("text");
    let cut = ["--vocab-for", &languages, "--vocab-text", &text];
    Run::new("partita-export", &[&export[..], &[&whole]].concat()).success();
    let said = Run::new("partita-export", &[&export[..], &[&few], &cut].concat()).success();
    assert!(said.contains("of 51865 tokens"), "{said}");
    let file = |folder: &str| format!("{folder}/whisper-base-Q6_K.gguf");
    let [before, after] = [&whole, &few].map(|folder| fs::metadata(file(folder)).unwrap().len());
    println!("{before} bytes, {after} with fewer tokens");
    assert!(after + 15_000_000 < before);

    let texts = [&whole, &few].map(|folder| {
        let home = path(&format!("home-{}", folder.ends_with("few")));
        let partita = |arguments: &[&str]| {
            let mut command = Command::new(program("partita"));
            Run::of(command.args(arguments).env("PARTITA_HOME", &home), &[]).success()
        };
        partita(&["models", "import", &file(folder), "--name", "own"]);
        let heard = clips.iter().map(|clip| {
            let own = ["--engine", "whisper", "--model", "own", "--no-vad", "--lang", &clip.lang];
            let text = partita(&[&["transcribe", "--quiet", &clip.path], &own[..]].concat());
            assert!(clip.error_rate(&text) <= 0.2, "{text}");
            text
        });
        heard.collect::<Vec<_>>()
    });
    assert_eq!(texts[0], texts[1]);
}
