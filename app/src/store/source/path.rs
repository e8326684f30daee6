//! Files of a local folder.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use super::{Job, Staged, shown};
use crate::store::error::Fetch;
use crate::store::{Progress, hash, length};

pub(super) fn fetch(folder: &str, job: &Job<'_>, progress: &mut dyn Progress) -> Result<(), Fetch> {
    let folder = expand(folder)?;
    if !folder.is_dir() {
        return Err(Fetch::Absent(format!("{} is not a folder", shown(&folder))));
    }
    let mut problems = Vec::new();
    for file in &job.files {
        let path = folder.join(&file.name);
        match length(&path) {
            None => problems.push(format!("{} is not there", shown(&path))),
            Some(found) if found != file.size => {
                problems.push(format!("{} is {found} bytes, expected {}", shown(&path), file.size));
            }
            Some(_) => {
                job.room_for(file.size)?;
                let from = match File::open(&path) {
                    Ok(from) => from.take(file.size),
                    Err(error) => {
                        problems.push(format!("cannot open {}: {error}", shown(&path)));
                        continue;
                    }
                };
                let mut staged = Staged::new(job, file)?;
                progress.begin(&format!("copying {}", file.name), file.size);
                let hashers = &mut [&mut staged.hasher];
                let to = Some((&mut staged.file, staged.unfinished.as_path()));
                let poured = hash::pour(from, &path, hashers, to, &mut 0, progress);
                progress.end();
                poured?;
                match staged.finish(&shown(&path)) {
                    Err(Fetch::Failed(reason)) => problems.push(reason),
                    other => other?,
                }
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Fetch::Failed(problems.join("; "))) }
}

/// Puts in the environment variable that the folder may begin with.
fn expand(folder: &str) -> Result<PathBuf, Fetch> {
    let Some(rest) = folder.strip_prefix('$') else { return Ok(PathBuf::from(folder)) };
    let (variable, rest) = rest.split_once('/').unwrap_or((rest, ""));
    match std::env::var_os(variable).filter(|value| !value.is_empty()) {
        Some(value) => Ok(PathBuf::from(value).join(rest)),
        None => Err(Fetch::Absent(format!("{variable} is not set"))),
    }
}
