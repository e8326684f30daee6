//! `partita-train eval` on a small run: files, sums, checkpoints, and what goes wrong.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod recordings;
mod small_speech;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use partita_corpus::bleu::{BleuCounts, Tokenizer};
use partita_corpus::chrf::ChrfCounts;
use partita_corpus::error_rate::{ErrorCounts, words};
use partita_corpus::normalize::english;
use partita_train::evaluate::{Row, Summary, Task, compare, read_rows, summarize};

fn program(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_partita-train");
    Command::new(program).args(arguments).args(["--quiet"]).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// As its text says: the last bit of a number may not survive being read.
fn told(summary: &Summary) -> Summary {
    serde_json::from_slice(&serde_json::to_vec(summary).unwrap()).unwrap()
}

/// A folder with a run that the program trained, going by BLEU.
struct Trained {
    folder: tempfile::TempDir,
}

impl Trained {
    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn eval(&self, arguments: &[&str]) -> Output {
        let (run, manifest) = (self.path("run"), self.path("speech.jsonl"));
        program(&[&["eval", &run, &manifest, "--split", "dev"], arguments].concat())
    }

    fn summary(&self, arguments: &[&str]) -> Summary {
        let output = self.eval(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn rows(&self, name: &str) -> Vec<Row> {
        read_rows(Path::new(&self.path(&format!("run/eval/{name}.jsonl")))).unwrap()
    }

    fn steps(&self) -> Vec<u64> {
        let folder = self.path("run/checkpoints");
        let mut steps: Vec<u64> = fs::read_dir(folder)
            .unwrap()
            .filter_map(|entry| {
                entry.unwrap().file_name().to_str()?.strip_prefix("step-")?.parse().ok()
            })
            .collect();
        steps.sort_unstable();
        steps
    }
}

static TRAINED: LazyLock<Trained> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let recipe = small_speech::recipe(folder.path());
    let settings = fs::read_to_string(&recipe).unwrap();
    fs::write(&recipe, settings.replace("clips = 8", "clips = 8\nmetric = \"bleu\"")).unwrap();
    let trained = Trained { folder };
    let output = program(&["train", recipe.to_str().unwrap(), "--out", &trained.path("run")]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    trained
});

fn hypotheses(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| row.hypothesis.as_str()).collect()
}

fn near(ours: f64, wanted: f64) {
    assert!((ours - wanted).abs() < 1e-9, "{ours}, not {wanted}");
}

#[test]
fn rows_and_scores_are_written_and_agree() {
    let trained = &*TRAINED;
    let summary = trained.summary(&[]);
    let rows = trained.rows("speech-dev");
    // Ten clips, each transcribed and translated, and one of noise.
    let of = |task: Task, lang: &str| -> Vec<&Row> {
        rows.iter().filter(|row| row.task == task && row.lang == lang).collect()
    };
    let (asr, st) = (of(Task::Asr, "en"), of(Task::St, "en"));
    assert_eq!((asr.len(), st.len(), rows.len()), (10, 10, 22));
    let first = asr.first().unwrap();
    assert_eq!((first.id.as_str(), first.reference.as_str()), ("5.wav", "two two one"));
    assert!((first.seconds - 1.05).abs() < 1e-9 && first.decode_seconds > 0.0);
    let joint = st.first().unwrap();
    assert_eq!((joint.to.as_deref(), joint.reference.as_str()), (Some("de"), "zwei zwei eins"));
    assert_eq!(joint.transcript.as_ref().unwrap().reference, "two two one");

    // The sums, counted anew.
    let scores = summary.languages.first().unwrap();
    let errors: ErrorCounts =
        asr.iter().map(|row| words(&english(&row.reference), &english(&row.hypothesis))).sum();
    near(scores.error_rate.unwrap().value, 100.0 * errors.rate().unwrap());
    let joint = st.iter().map(|row| {
        let text = row.transcript.as_ref().unwrap();
        words(&english(&text.reference), &english(&text.hypothesis))
    });
    let joint = joint.sum::<ErrorCounts>().rate().unwrap();
    near(scores.joint_error_rate.unwrap().value, 100.0 * joint);
    let counts = |row: &&Row| BleuCounts::of(&row.reference, &row.hypothesis, Tokenizer::Mteval13a);
    let bleu: BleuCounts = st.iter().map(counts).sum();
    let chrf: ChrfCounts =
        st.iter().map(|row| ChrfCounts::of(&row.reference, &row.hypothesis)).sum();
    let translation = scores.translations.first().unwrap();
    assert_eq!(scores.translations.len(), 1);
    assert_eq!(
        (translation.task, translation.to.as_str(), translation.clips),
        (Task::St, "de", 10)
    );
    near(translation.bleu.value, bleu.score());
    near(translation.chrf.value, chrf.score());
    assert!(translation.bleu.low <= translation.bleu.value);
    assert!(translation.bleu.value <= translation.bleu.high);
    assert_eq!(translation.signature, "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp");
    let right = rows.iter().filter(|row| row.lang == "en" && row.heard == "en").count();
    near(scores.language_accuracy, 100.0 * right as f64 / 20.0);
    assert_eq!((scores.clips, scores.answers), (10, 20));
    assert_eq!(scores.loops, asr.iter().chain(&st).filter(|row| row.looped).count());
    near(scores.hours, 10.5 / 3600.0);
    let noise = summary.noise.unwrap();
    let written = rows.iter().filter(|row| row.lang == "none" && row.heard != "none").count();
    assert_eq!((noise.clips, noise.answers, noise.written), (1, 2, written));
    let sum = |value: fn(&Row) -> f64| rows.iter().map(value).sum::<f64>();
    near(summary.real_time_factor, sum(|row| row.decode_seconds) / sum(|row| row.seconds));
    let about = summary.about.as_ref().unwrap();
    assert_eq!((about.weights.as_str(), about.device.as_str()), ("step 90", "cpu"));

    // The file, what was printed and the summary of the rows are the same.
    let file = fs::read(trained.path("run/eval/speech-dev.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Summary>(&file).unwrap(), summary);
    let of_rows = Summary { about: summary.about.clone(), ..summarize(&rows) };
    assert_eq!(told(&of_rows), summary);
    let table = text(&trained.eval(&["--task", "asr,st"]).stdout);
    println!("{table}");
    for part in [
        "WER",
        "mean",
        "en → de",
        "tok:13a",
        "clips without speech: 1; with text: ",
        "(step 90, floats, cpu)",
    ] {
        assert!(table.contains(part), "{part}: {table}");
    }
}

#[test]
fn development_is_measured_by_translations() {
    let metrics = fs::read_to_string(TRAINED.path("run/metrics.jsonl")).unwrap();
    let lines =
        metrics.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let evaluations: Vec<_> = lines.filter(|line| line["kind"] == "evaluation").collect();
    assert!(evaluations.len() >= 3);
    for line in &evaluations {
        let value = |name: &str| line["values"][name].as_f64().unwrap();
        println!("{} {}", line["step"], line["values"]);
        assert!((0.0..=100.0).contains(&value("bleu")) && (0.0..=100.0).contains(&value("chrf")));
        assert!(value("wer") >= 0.0 && (0.0..=1.0).contains(&value("silence")));
    }
}

#[test]
fn checkpoints_and_the_folders_own_weights_can_be_asked_for() {
    let trained = &*TRAINED;
    let out = |name: &str| trained.path(name);
    let asr = |more: &[&str]| trained.summary(&[&["--task", "asr"], more].concat());
    let rows = |folder: &str, name: &str| {
        read_rows(&PathBuf::from(out(folder)).join(format!("{name}.jsonl"))).unwrap()
    };
    let label = |summary: &Summary| summary.about.as_ref().unwrap().weights.clone();
    asr(&["--out", &out("last")]);
    let last = rows("last", "speech-dev");

    // What training ended with is in the folder as well.
    let copy = PathBuf::from(out("copy"));
    fs::create_dir(&copy).unwrap();
    for name in ["model.json", "weights.safetensors"] {
        fs::copy(Path::new(&out("run")).join(name), copy.join(name)).unwrap();
    }
    let (copy, manifest) = (out("copy"), out("speech.jsonl"));
    let own = ["eval", &copy, &manifest, "--split", "dev", "--task", "asr"];
    let output = program(&own);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let own = rows("copy/eval", "speech-dev");
    assert_eq!(hypotheses(&own), hypotheses(&last));

    // An early checkpoint, as of a run that goes on.
    let steps = trained.steps();
    let first = steps.first().unwrap().to_string();
    assert!(steps.len() > 1, "{steps:?}");
    assert_eq!(
        label(&asr(&["--checkpoint", &first, "--out", &out("first")])),
        format!("step {first}")
    );
    let early = rows("first", &format!("speech-dev-step-{first}"));
    assert_ne!(hypotheses(&early), hypotheses(&last));
    assert!(label(&asr(&["--checkpoint", "best", "--out", &out("best")])).starts_with("step "));
    let mean = asr(&["--checkpoint", "average:2", "--out", &out("mean")]);
    assert!(label(&mean).starts_with("mean of steps "), "{}", label(&mean));
    assert_eq!(rows("mean", "speech-dev-average-2").len(), 11);
    // Nothing stays of the mean; other tests may be at work on theirs.
    let left = || {
        let names = fs::read_dir(out("run")).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_str().unwrap().starts_with(".weights")).count()
    };
    let patience = Instant::now() + Duration::from_secs(20);
    while left() > 0 && Instant::now() < patience {
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(left(), 0);

    // The same clips, side by side.
    let rate = |rows: &[Row]| summarize(rows).mean.error_rate.unwrap().value;
    let difference = compare(&early, &last).unwrap().error_rate.unwrap();
    near(difference.value, rate(&early) - rate(&last));
    assert!(difference.low <= difference.value && difference.value <= difference.high);
    let same = compare(&last, &own).unwrap().error_rate.unwrap();
    assert_eq!((same.value, same.low, same.high), (0.0, 0.0, 0.0));
    let unlike = compare(&last, &last[..last.len() - 1]).unwrap_err().to_string();
    assert!(unlike.contains("is not in both"), "{unlike}");
}

#[test]
fn clips_tasks_and_languages_are_chosen() {
    let trained = &*TRAINED;
    let out = trained.path("chosen");
    let arguments = ["--task", "direct", "--clips", "3", "--languages", "en", "--beam", "2"];
    let engine = ["--precision", "engine", "--out", &out];
    let summary = trained.summary(&[&arguments[..], &engine].concat());
    let rows = read_rows(&Path::new(&out).join("speech-dev-engine-beam-2.jsonl")).unwrap();
    let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    // Of ten clips, the first, fourth and seventh.
    assert_eq!(ids, ["noise2.wav", "5.wav", "23.wav", "41.wav"]);
    assert!(rows.iter().all(|row| row.task == Task::Direct && row.transcript.is_none()));
    assert_eq!(summary.mean.error_rate, None);
    assert_eq!(summary.mean.translations.len(), 1);

    // A clip that is not there is named, and the others are heard.
    let manifest = fs::read_to_string(trained.path("speech.jsonl")).unwrap();
    let gone = manifest.replace("\"audio_filepath\":\"11.wav\"", "\"audio_filepath\":\"gone.wav\"");
    assert_ne!(manifest, gone);
    fs::write(trained.path("gone.jsonl"), gone).unwrap();
    let (run, gone) = (trained.path("run"), trained.path("gone.jsonl"));
    let output = program(&["eval", &run, &gone, "--split", "dev", "--task", "asr", "--out", &out]);
    assert!(output.status.success());
    let complaint = text(&output.stderr);
    assert!(
        complaint.contains("missing audio file") && complaint.contains("gone.wav"),
        "{complaint}"
    );
    assert_eq!(read_rows(&Path::new(&out).join("gone-dev.jsonl")).unwrap().len(), 10);
}

#[test]
fn a_packed_model_is_evaluated_as_its_run() {
    let trained = &*TRAINED;
    let (run, manifest, packed) =
        (trained.path("run"), trained.path("speech.jsonl"), trained.path("packed.gguf"));
    let pack = ["pack", &run, "--out", &packed];
    let made = Command::new(env!("CARGO_BIN_EXE_partita-train")).args(pack).output().unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    let eval =
        |more: &[&str]| program(&[&["eval", &packed, &manifest, "--split", "dev"], more].concat());
    let output = eval(&["--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let summary: Summary = serde_json::from_slice(&output.stdout).unwrap();
    let whole = trained.summary(&["--checkpoint", "last"]);
    assert_eq!(summary.about.as_ref().unwrap().weights, "packed");
    let rate = |summary: &Summary| summary.mean.error_rate.unwrap().value;
    let (packed_rate, rate) = (rate(&summary), rate(&whole));
    assert!((packed_rate - rate).abs() < 0.2, "{packed_rate} packed, {rate} before");
    let refused = eval(&["--checkpoint", "best"]);
    assert!(!refused.status.success());
    assert!(text(&refused.stderr).contains("packed model, which has no checkpoints"));
}

#[test]
fn what_cannot_be_evaluated_is_said_in_one_line() {
    let trained = &*TRAINED;
    let (run, manifest) = (trained.path("run"), trained.path("speech.jsonl"));
    let refused = |arguments: &[&str], reason: &str| {
        let output = program(&[&["eval"], arguments].concat());
        let complaint = text(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(complaint.contains(reason), "{arguments:?}: {complaint}");
        assert!(!complaint.contains("backtrace") && !complaint.contains("panicked"), "{complaint}");
        assert_eq!(complaint.trim_end().lines().count(), 1, "{complaint}");
    };
    let (folder, missing) = (trained.path(""), trained.path("nothing.jsonl"));
    refused(&[&folder, &manifest], "no trained speech model here (there is no model.json)");
    refused(&[&missing, &manifest], "no trained speech model here");
    refused(&[&run, &missing], "nothing.jsonl");
    refused(&[&run, &manifest], "nothing to hear in en");
    let dev = |more: &[&str], reason: &str| {
        refused(&[&[run.as_str(), manifest.as_str(), "--split", "dev"], more].concat(), reason);
    };
    dev(&["--checkpoint", "7"], "no checkpoint after step 7; there are ");
    dev(&["--checkpoint", "average:90"], "90 wanted");
    dev(&["--to", "fr"], "--to: not trained for `fr`, only for de");
    dev(&["--languages", "en,de"], "--languages: not trained for `de`, only for en");
    dev(&["--device", "cuda:0"], "cuda");

    let broken = PathBuf::from(trained.path("broken"));
    fs::create_dir(&broken).unwrap();
    let broken_run = broken.to_str().unwrap();
    fs::write(broken.join("model.json"), "{\"encoder\": 1}").unwrap();
    refused(&[broken_run, &manifest], "model.json");
    fs::copy(Path::new(&run).join("model.json"), broken.join("model.json")).unwrap();
    refused(&[broken_run, &manifest], "no checkpoint");
    fs::write(broken.join("weights.safetensors"), b"\xff\xff\xff\xff\xff\xff\xff\x7f{}").unwrap();
    refused(&[broken_run, &manifest], "weights.safetensors");
    fs::write(broken.join("rows.jsonl"), "{\"id\": \"a\"}\n").unwrap();
    let error = format!("{:#}", read_rows(&broken.join("rows.jsonl")).unwrap_err());
    assert!(error.contains("rows.jsonl:1: missing field"), "{error}");

    for (arguments, reason) in [
        (["--checkpoint", "newest"], "is not last, best, average:K or a step's number"),
        (["--clips", "0"], "0 is not in 1.."),
        (["--split", "all"], "not train, dev or test"),
    ] {
        let output = program(&[&["eval", &run, &manifest], &arguments[..]].concat());
        let complaint = text(&output.stderr);
        assert!(!output.status.success() && complaint.contains(reason), "{complaint}");
    }
}
