//! The file that settings are kept in.

use super::migrate::{Age, STEPS, migrate};
use super::{Settings, VERSION};
use partita_model::files::whole;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// A file larger than this is not ours.
const LARGEST: u64 = 16 << 20;
/// Backups that are kept of files that could not be read.
const MOST_BACKUPS: u32 = 100;

/// Why settings could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The system names no folder for settings.
    #[error("no folder for settings; set PARTITA_CONFIG to a file")]
    NoFolder,
    /// They could not be put into TOML.
    #[error("{path}: not written: {cause}")]
    Form {
        /// The file.
        path: PathBuf,
        /// What was in the way.
        cause: toml::ser::Error,
    },
    /// The file could not be written.
    #[error("{path}: not written: {cause}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

/// Where this user's settings are: `$PARTITA_CONFIG`, or `settings.toml` in the folder for
/// configuration that the system names (Linux: `~/.config/partita`).
///
/// # Errors
/// [`SettingsError::NoFolder`].
pub fn path() -> Result<PathBuf, SettingsError> {
    match std::env::var_os("PARTITA_CONFIG").filter(|path| !path.is_empty()) {
        Some(path) => Ok(path.into()),
        None => {
            let folders = directories::ProjectDirs::from("", "", "partita");
            Ok(folders.ok_or(SettingsError::NoFolder)?.config_dir().join("settings.toml"))
        }
    }
}

impl Settings {
    /// Reads settings. Whatever the file holds, what comes back makes sense; the second value says
    /// to the user what was wrong, a line each.
    ///
    /// A file that is no TOML is renamed (`settings.backup-1.toml`) and defaults take its place. In
    /// one that is, only the keys that make no sense get their defaults, and a copy is kept.
    pub fn load(path: &Path) -> (Self, Vec<String>) {
        let name = path.display();
        let bytes = match read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Default::default(),
            Err(error) => {
                return (Self::default(), vec![format!("{name}: {error}; defaults are used")]);
            }
        };
        let text = String::from_utf8(bytes).map_err(|error| error.to_string());
        match text.and_then(|text| text.parse().map_err(|error| one_line(&error))) {
            Ok(table) => understand(table, path),
            Err(reason) => {
                let kept = set_aside(path, true);
                (Self::default(), vec![format!("{name}: {reason}; settings were reset{kept}")])
            }
        }
    }

    /// Writes settings, whole or not at all. The folder is made when it is missing.
    ///
    /// # Errors
    /// [`SettingsError::Form`], [`SettingsError::Write`]; then the file is as it was.
    pub fn save(&self, path: &Path) -> Result<(), SettingsError> {
        let form = |cause| SettingsError::Form { path: path.to_owned(), cause };
        let text = toml::to_string_pretty(self).map_err(form)?;
        let failed = |cause| SettingsError::Write { path: path.to_owned(), cause };
        whole::write(path, text.as_bytes()).map_err(failed)
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    if size > LARGEST {
        return Err(io::Error::other(format!("{size} bytes are no settings")));
    }
    let mut bytes = Vec::new();
    // A pipe says 0 and never ends.
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Takes of a table what makes sense.
fn understand(mut table: Table, path: &Path) -> (Settings, Vec<String>) {
    let name = path.display();
    let mut notices = Vec::new();
    let age = migrate(&mut table, &STEPS);
    let wrong = drop_senseless(&mut table);
    let settings: Settings = table.clone().try_into().unwrap_or_default();
    let (settings, moved) = settings.into_range();
    let unknown = Table::try_from(&settings).map(|known| unknown_keys(&table, &known));
    let unknown = unknown.unwrap_or_default();
    match age {
        Age::Current => {}
        Age::Older(version) => {
            tracing::info!("{name}: version {version} becomes version {VERSION}");
        }
        Age::Newer(version) => notices.push(format!(
            "{name}: written by a newer program (version {version}, this one knows {VERSION}); \
             what it does not know is left out{}",
            set_aside(path, false)
        )),
    }
    if !wrong.is_empty() {
        let kept = set_aside(path, false);
        notices.push(format!("{name}: {}: reset, as the value makes no sense{kept}", list(&wrong)));
    }
    if !moved.is_empty() {
        notices
            .push(format!("{name}: {}: moved into the range that makes sense", moved.join(", ")));
    }
    if !unknown.is_empty() && !matches!(age, Age::Newer(_)) {
        notices.push(format!("{name}: {}: unknown and ignored", list(&unknown)));
    }
    (settings, notices)
}

/// Removes keys whose value has the wrong kind: whole sections if they are no tables.
fn drop_senseless(table: &mut Table) -> Vec<String> {
    let fits = |table: Table| table.try_into::<Settings>().is_ok();
    if fits(table.clone()) {
        return Vec::new();
    }
    let mut dropped = Vec::new();
    for (section, value) in std::mem::take(table) {
        match value {
            Value::Table(mut keys) => {
                keys.retain(|key, value| {
                    let alone = Table::from_iter([(key.to_string(), value.clone())]);
                    let sense = fits(Table::from_iter([(section.clone(), alone.into())]));
                    if !sense {
                        dropped.push(format!("{section}.{key}"));
                    }
                    sense
                });
                table.insert(section, keys.into());
            }
            value if fits(Table::from_iter([(section.clone(), value.clone())])) => {
                table.insert(section, value);
            }
            _ => dropped.push(section),
        }
    }
    dropped
}

/// Keys that the settings made of a table do not have.
fn unknown_keys(table: &Table, known: &Table) -> Vec<String> {
    let mut unknown = Vec::new();
    for (section, value) in table {
        match (value, known.get(section)) {
            (Value::Table(keys), Some(Value::Table(known))) => {
                // `place` is left out when there is none.
                let missing =
                    keys.keys().filter(|key| !known.contains_key(*key) && *key != "place");
                unknown.extend(missing.map(|key| format!("{section}.{key}")));
            }
            (_, Some(_)) => {}
            (_, None) => unknown.push(section.clone()),
        }
    }
    unknown
}

/// Gives a file another name (or copies it) and says which, for the end of a notice.
fn set_aside(path: &Path, away: bool) -> String {
    let names =
        || (1..=MOST_BACKUPS).map(|number| path.with_extension(format!("backup-{number}.toml")));
    let content = read(path).ok();
    if !away
        && let Some(same) = names().find(|name| content.is_some() && read(name).ok() == content)
    {
        return format!("; the old file is {}", same.display());
    }
    let Some(backup) = names().find(|backup| !backup.exists()) else {
        return "; no copy was kept, as there are many".to_owned();
    };
    let done = if away { fs::rename(path, &backup) } else { fs::copy(path, &backup).map(drop) };
    match done {
        Ok(()) => format!("; the old file is {}", backup.display()),
        Err(error) => format!("; no copy could be kept: {error}"),
    }
}

/// A few names for people, however many there are.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = names.iter().take(SHOWN).map(|name| name.escape_debug().to_string());
    let text = text.by_ref().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

/// What the reader of TOML has against a text, without the picture of it.
fn one_line(error: &toml::de::Error) -> String {
    error.message().lines().collect::<Vec<_>>().join(" ")
}
