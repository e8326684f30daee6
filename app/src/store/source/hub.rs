//! Files of a repository on the model hub, gone on with where an earlier pull broke off.
//!
//! `hf-hub` knows the addresses. Its own download cannot be cancelled, waits for ever and writes
//! whatever the server sends, so bytes are moved here. No token is ever sent: every model of the
//! catalogue is open to all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Cache, Repo, RepoType};
use sha2::{Digest, Sha256};

use super::Job;
use crate::store::catalogue::ModelFile;
use crate::store::error::{Fetch, in_one_line};
use crate::store::{Progress, StoreError, hash, length};

/// How long the hub may take to be reached.
const CONNECT: Duration = Duration::from_secs(8);
/// How long it may say nothing.
const PATIENCE: Duration = Duration::from_secs(30);
const PIECE: usize = 1 << 18;

/// Where on the hub.
pub(super) struct Place<'a> {
    pub repo: &'a str,
    pub revision: &'a str,
    pub endpoint: Option<&'a str>,
    pub files: &'a BTreeMap<String, String>,
}

impl Place<'_> {
    fn address(&self, file: &str, job: &Job<'_>) -> Result<String, Fetch> {
        let mirror = || std::env::var("HF_ENDPOINT").ok().filter(|mirror| !mirror.is_empty());
        let mut api = ApiBuilder::from_cache(Cache::new(job.work.clone()));
        if let Some(endpoint) = self.endpoint.map(str::to_owned).or_else(mirror) {
            api = api.with_endpoint(endpoint.trim_end_matches('/').to_owned());
        }
        let api = api.build().map_err(|error| Fetch::Failed(in_one_line(&error)))?;
        let revision = self.revision.to_owned();
        let repo = Repo::with_revision(self.repo.to_owned(), RepoType::Model, revision);
        Ok(api.repo(repo).url(self.files.get(file).map_or(file, String::as_str)))
    }
}

pub(super) fn fetch(
    place: &Place<'_>,
    job: &Job<'_>,
    progress: &mut dyn Progress,
) -> Result<(), Fetch> {
    job.room_for(job.bytes())?;
    for file in &job.files {
        let address = place.address(&file.name, job)?;
        progress.begin(&format!("{}: {}", job.name, file.name), file.size);
        let fetched = fetch_file(&address, file, job, progress);
        progress.end();
        if let Err(failure) = fetched {
            let part = part_of(job, file);
            if length(&part) == Some(0) {
                let _ = fs::remove_file(part);
            }
            return Err(failure);
        }
    }
    Ok(())
}

/// What has come of a file so far.
fn part_of(job: &Job<'_>, wanted: &ModelFile) -> PathBuf {
    job.work.join(format!("{}.part", wanted.sha256))
}

/// Fetches one file by way of a `.part` that outlives a broken connection.
fn fetch_file(
    address: &str,
    wanted: &ModelFile,
    job: &Job<'_>,
    progress: &mut dyn Progress,
) -> Result<(), Fetch> {
    let part = part_of(job, wanted);
    let io = |cause| StoreError::io("write", &part, cause);
    let mut file = File::options().create(true).append(true).open(&part).map_err(io)?;
    let mut done = length(&part).unwrap_or(0);
    let mut hasher = Sha256::new();
    if done > wanted.size {
        file.set_len(0).map_err(io)?;
        done = 0;
    } else if done > 0 {
        let begun = File::open(&part).map_err(io)?;
        hash::pour(begun, &part, &mut [&mut hasher], None, &mut 0, progress)?;
    }
    let pieces = (done < wanted.size).then(|| transfer(address, done));
    let mut heard = Instant::now();
    while let Some(pieces) = &pieces {
        if progress.cancelled() {
            return Err(StoreError::Cancelled.into());
        }
        match pieces.recv_timeout(Duration::from_millis(100)) {
            Ok(Piece::FromStart) => {
                file.set_len(0).map_err(io)?;
                hasher = Sha256::new();
                done = 0;
            }
            Ok(Piece::Bytes(bytes)) => {
                done = done.saturating_add(bytes.len() as u64);
                if done > wanted.size {
                    let _ = fs::remove_file(&part);
                    let size = wanted.size;
                    return Err(Fetch::Failed(format!("{address}: more than {size} bytes came")));
                }
                file.write_all(&bytes).map_err(io)?;
                hasher.update(&bytes);
                progress.position(done);
                heard = Instant::now();
            }
            Ok(Piece::Failed(reason)) => {
                return Err(Fetch::Failed(format!("{address}: {reason}")));
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) if heard.elapsed() > PATIENCE => {
                let seconds = PATIENCE.as_secs();
                return Err(Fetch::Failed(format!("{address}: silent for {seconds} s")));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
    if done < wanted.size {
        let size = wanted.size;
        return Err(Fetch::Failed(format!("{address}: broke off after {done} of {size} bytes")));
    }
    file.sync_all().map_err(io)?;
    let found = hash::hex(hasher);
    if found != wanted.sha256 {
        let _ = fs::remove_file(&part);
        let expected = &wanted.sha256;
        return Err(Fetch::Failed(format!(
            "{address}: sha256 is {found}, expected {expected}; deleted"
        )));
    }
    Ok(fs::rename(&part, job.staged.join(&wanted.name)).map_err(io)?)
}

/// What the transfer tells.
enum Piece {
    /// The server does not go on where asked: it begins at the first byte.
    FromStart,
    Bytes(Vec<u8>),
    Failed(String),
}

/// Reads from the network on a thread of its own, so that a silent server cannot keep anyone from
/// cancelling. The thread ends when the receiver is dropped, at the latest at its next piece.
fn transfer(address: &str, start: u64) -> Receiver<Piece> {
    let (sender, receiver) = sync_channel(4);
    let address = address.to_owned();
    thread::spawn(move || {
        if let Err(reason) = read(&address, start, &sender) {
            let _ = sender.send(Piece::Failed(reason));
        }
    });
    receiver
}

fn read(address: &str, start: u64, pieces: &SyncSender<Piece>) -> Result<(), String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(CONNECT))
        .timeout_resolve(Some(CONNECT))
        .timeout_per_read(Some(PATIENCE))
        .build()
        .into();
    // Compressed, the range asked for would be one of other bytes.
    let mut request = agent.get(address).header("accept-encoding", "identity");
    if start > 0 {
        request = request.header("range", format!("bytes={start}-"));
    }
    let response = request.call().map_err(|error| in_one_line(&error))?;
    if start > 0 && response.status().as_u16() != 206 && pieces.send(Piece::FromStart).is_err() {
        return Ok(());
    }
    let mut body = response.into_body().into_reader();
    let mut buffer = vec![0_u8; PIECE];
    loop {
        let read = body.read(&mut buffer).map_err(|error| in_one_line(&error))?;
        let bytes = buffer.get(..read).unwrap_or_default().to_vec();
        if bytes.is_empty() || pieces.send(Piece::Bytes(bytes)).is_err() {
            return Ok(());
        }
    }
}
