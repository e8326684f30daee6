//! Capture over a real sound server: a virtual microphone (`scripts/virtual-mic.sh`).
//!
//! Every test runs a server of its own and, under its environment, one of the ignored tests below
//! in a process of its own. Without PulseAudio they are skipped, and say so.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod capture_support;

use capture_support::{Take, find, signal, write_wav};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use partita::capture::{Capture, OpenOptions, Source, Watch, devices, open};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const REASON: &str = "run by the tests above, with a sound server";
const LIVE: OpenOptions = OpenOptions { speed: 1.0 };

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/virtual-mic.sh")
}

fn there(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}

/// Runs one of the ignored tests of this file with a sound server around it.
fn with_server(test: &str) {
    if let Some(missing) = ["pulseaudio", "pactl", "paplay"].iter().find(|name| !there(name)) {
        println!("skipped: {missing} is not installed, so there is no virtual microphone");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let run = |command: &str| {
        Command::new("bash")
            .args(["-euc", command])
            .env("SCRIPT", script())
            .env("TEST", std::env::current_exe().unwrap())
            .env("NAME", test)
            .env("XDG_RUNTIME_DIR", folder.path())
            .env("HOME", folder.path())
            .env_remove("PULSE_SERVER")
            .status()
            .unwrap()
    };
    let status = run(
        r#"eval "$("$SCRIPT" start)"; "$TEST" --exact "$NAME" --ignored --nocapture --test-threads 1"#,
    );
    run(r#""$SCRIPT" stop"#);
    if !status.success() {
        let log = std::fs::read_to_string(folder.path().join("pulse.log")).unwrap_or_default();
        println!("the server said:\n{log}");
    }
    assert!(status.success(), "{test} failed; what it said is above");
}

#[test]
fn a_virtual_microphone_is_heard() {
    with_server("inside_hearing");
}

#[test]
fn a_device_may_go_and_come_back() {
    with_server("inside_unplugging");
}

#[test]
fn the_default_device_is_followed() {
    with_server("inside_following");
}

#[test]
fn a_stopped_process_knows_what_it_lost() {
    with_server("inside_stopping");
}

/// A file to be played, and its samples.
struct Clip {
    samples: Vec<f32>,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Clip {
    fn new(seconds: f64, seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.wav");
        let samples = signal(seconds, seed);
        write_wav(&path, &samples);
        Self { samples, path, _folder: folder }
    }

    fn play(&self, sink: &str) -> Child {
        Command::new("paplay").arg(format!("--device={sink}")).arg(&self.path).spawn().unwrap()
    }
}

fn pactl(arguments: &[&str]) -> String {
    let output = Command::new("pactl").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn add_sink(name: &str) -> String {
    let (name, about) =
        (format!("sink_name={name}"), format!("sink_properties=device.description={name}"));
    pactl(&["load-module", "module-null-sink", "rate=44100", "channels=1", &name, &about])
}

#[test]
#[ignore = "run by the tests above, with a sound server"]
fn inside_hearing() {
    let list = devices().unwrap();
    println!("{list:?}");
    let monitor = list.iter().find(|device| device.id == "vmic.monitor").expect("it is listed");
    assert!(monitor.default && monitor.loopback);
    let clip = Clip::new(3.0, 1);
    let watch = Watch::open(&[monitor.source(), Source::Device("nobody".to_owned())]).unwrap();
    for source in [Source::Default, Source::System, Source::Device("Monitor of vmic".to_owned())] {
        let mut capture = open(std::slice::from_ref(&source), &LIVE).unwrap();
        let begin = Instant::now();
        let mut take = Take::default();
        take.read(&mut *capture, 1.0, |_| false);
        let played = begin.elapsed().as_secs_f64();
        let mut player = clip.play("vmic");
        let meter = capture.meter();
        let (mut level, mut watched) = (0.0_f32, 0.0_f32);
        take.read(&mut *capture, 5.0, |_| {
            level = level.max(meter.level(0).peak);
            watched = watched.max(watch.meter().level(0).peak);
            false
        });
        let elapsed = begin.elapsed().as_secs_f64();
        player.wait().unwrap();
        let (place, likeness) = find(&clip.samples, &take.samples);
        println!(
            "{source}: {:?}, likeness {likeness:.3}, at {place:.2} s, played at {played:.2} s, {} \
             lost, peak {level:.2}",
            capture.names(),
            take.lost
        );
        assert!(likeness > 0.9);
        assert!(place > played - 0.1 && place < played + 0.8);
        assert!((take.seconds() - elapsed).abs() < 0.4);
        assert!(level > 0.5 && watched > 0.5);
        assert!(!watch.meter().level(1).present);
        assert!(take.told.is_empty(), "{:?}", take.told);
        let begin = Instant::now();
        drop(capture);
        assert!(begin.elapsed() < Duration::from_millis(900), "{:?}", begin.elapsed());
    }
    let mixed = [Source::Device("vmic.monitor".to_owned()), Source::File(clip.path.clone())];
    let mut capture = open(&mixed, &LIVE).unwrap();
    let mut take = Take::default();
    take.read(&mut *capture, 5.0, |_| false);
    let (place, likeness) = find(&clip.samples, &take.samples);
    println!("mixed with a file: likeness {likeness:.3} at {place:.2} s, {:.2} s", take.seconds());
    assert!(likeness > 0.99 && place < 0.3 && take.seconds() > 4.0);
}

/// Lets the first block of a new sink pass, which is two seconds long: what is played meanwhile
/// sounds late.
fn settle(take: &mut Take, capture: &mut dyn Capture) {
    take.read(capture, 3.0, |_| false);
}

#[test]
#[ignore = "run by the tests above, with a sound server"]
fn inside_unplugging() {
    let (before, after) = (Clip::new(2.0, 2), Clip::new(2.0, 3));
    let module = add_sink("second");
    let mut capture = open(&[Source::Device("second.monitor".to_owned())], &LIVE).unwrap();
    let begin = Instant::now();
    let mut take = Take::default();
    settle(&mut take, &mut *capture);
    let first = begin.elapsed().as_secs_f64();
    let mut player = before.play("second");
    take.read(&mut *capture, 4.0, |_| false);
    player.wait().unwrap();

    pactl(&["unload-module", &module]);
    let unplugged = Instant::now();
    take.read(&mut *capture, 10.0, Take::gone);
    println!("gone after {:.2} s: {:?}", unplugged.elapsed().as_secs_f64(), take.told);
    assert!(take.gone() && take.back().is_none());
    let (given, since) = (take.samples.len(), Instant::now());
    take.read(&mut *capture, 4.0, |_| false);
    let silence = (take.samples.len() - given) as f64 / 16_000.0;
    println!("{silence:.2} s of silence in {:.2} s", since.elapsed().as_secs_f64());
    assert!((silence - since.elapsed().as_secs_f64()).abs() < 0.5);

    add_sink("second");
    let plugged = Instant::now();
    take.read(&mut *capture, 10.0, |take| take.back().is_some());
    println!("back after {:.2} s: {:?}", plugged.elapsed().as_secs_f64(), take.told);
    assert!(take.back().is_some_and(|name| name.contains("second")));
    settle(&mut take, &mut *capture);
    let second = begin.elapsed().as_secs_f64();
    let mut player = after.play("second");
    take.read(&mut *capture, 5.0, |_| false);
    let elapsed = begin.elapsed().as_secs_f64();
    player.wait().unwrap();

    let ((a, like_a), (b, like_b)) =
        (find(&before.samples, &take.samples), find(&after.samples, &take.samples));
    println!(
        "likeness {like_a:.3} and {like_b:.3}; played at {first:.2} and {second:.2}, heard at \
         {a:.2} and {b:.2}; {} lost",
        take.lost
    );
    assert!(like_a > 0.9 && like_b > 0.9);
    assert!(((b - a) - (second - first)).abs() < 0.4);
    assert!((take.seconds() - elapsed).abs() < 0.4);
    assert_eq!(take.told.len(), 2, "{:?}", take.told);
}

#[test]
#[ignore = "run by the tests above, with a sound server"]
fn inside_following() {
    let clip = Clip::new(2.0, 4);
    add_sink("second");
    let mut capture = open(&[Source::Default], &LIVE).unwrap();
    let begin = Instant::now();
    let mut take = Take::default();
    take.read(&mut *capture, 1.0, |_| false);
    pactl(&["set-default-source", "second.monitor"]);
    take.read(&mut *capture, 10.0, |take| take.back().is_some());
    println!("{:?} after {:.2} s", take.told, begin.elapsed().as_secs_f64());
    assert!(take.back().is_some_and(|name| name.contains("second")));
    assert!(capture.names()[0].contains("second"));
    assert!(!take.gone());
    take.read(&mut *capture, 0.5, |_| false);
    let mut player = clip.play("second");
    take.read(&mut *capture, 4.0, |_| false);
    let elapsed = begin.elapsed().as_secs_f64();
    player.wait().unwrap();
    let (place, likeness) = find(&clip.samples, &take.samples);
    println!("likeness {likeness:.3} at {place:.2} s; {} lost", take.lost);
    assert!(likeness > 0.9);
    assert!((take.seconds() - elapsed).abs() < 0.4);
}

/// Listens for as many seconds as the environment says, and leaves what it heard in a file.
#[test]
#[ignore = "run by the tests above, with a sound server"]
fn inside_listener() {
    let Ok(path) = std::env::var("HEARD") else { panic!("{REASON}") };
    let mut capture = open(&[Source::Default], &LIVE).unwrap();
    let begin = Instant::now();
    println!("listening");
    let mut take = Take::default();
    let stop = format!("{path}.stop");
    take.read(&mut *capture, 120.0, |_| Path::new(&stop).exists());
    let (lost, elapsed) = (take.lost as f64 / 16_000.0, begin.elapsed().as_secs_f64());
    assert_eq!(take.lost, capture.meter().lost());
    write_wav(Path::new(&path), &take.samples);
    std::fs::write(format!("{path}.txt"), format!("{lost} {elapsed} {:?}", take.told)).unwrap();
}

#[test]
#[ignore = "run by the tests above, with a sound server"]
fn inside_stopping() {
    let (before, after) = (Clip::new(2.0, 5), Clip::new(2.0, 6));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heard.wav");
    let mut listener = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "inside_listener", "--ignored", "--nocapture", "--test-threads", "1"])
        .env("HEARD", &path)
        .spawn()
        .unwrap();
    let id = Pid::from_raw(listener.id().try_into().unwrap());
    std::thread::sleep(Duration::from_secs(3));
    let begin = Instant::now();
    before.play("vmic").wait().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    kill(id, Signal::SIGSTOP).unwrap();
    std::thread::sleep(Duration::from_secs(10));
    kill(id, Signal::SIGCONT).unwrap();
    std::thread::sleep(Duration::from_secs(3));
    let second = begin.elapsed().as_secs_f64();
    after.play("vmic").wait().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    std::fs::write(format!("{}.stop", path.display()), "").unwrap();
    assert!(listener.wait().unwrap().success());

    let heard = partita_audio::read_all(&path).unwrap();
    let said = std::fs::read_to_string(format!("{}.txt", path.display())).unwrap();
    let mut words = said.split(' ');
    let mut number = || words.next().unwrap().parse::<f64>().unwrap();
    let (lost, elapsed) = (number(), number());
    let ((a, like_a), (b, like_b)) = (find(&before.samples, &heard), find(&after.samples, &heard));
    let seconds = heard.len() as f64 / 16_000.0;
    println!(
        "{seconds:.2} s in {elapsed:.2} s, {lost:.2} s lost; likeness {like_a:.3} and {like_b:.3}; \
         {:.2} s apart for {second:.2} s; {said}",
        b - a
    );
    assert!(like_a > 0.9 && like_b > 0.9);
    assert!((seconds - elapsed).abs() < 0.4);
    assert!(((b - a) - second).abs() < 0.4);
    assert!(lost < 10.5);
}
