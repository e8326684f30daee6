//! Files that appear whole or not at all.

use std::io::{Result, Write};
use std::path::Path;

use tempfile::NamedTempFile;

/// A temporary file in the folder of `path`, with the rights that any new file gets. It
/// disappears when dropped.
///
/// # Errors
/// When the folder is not there, or cannot be written.
pub fn beside(path: &Path, suffix: &str) -> Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".partita-").suffix(suffix);
    #[cfg(unix)]
    {
        // Like any other new file: what the umask leaves, not the 0600 of secret files.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder(path))
}

/// Puts a finished temporary file in its place, replacing one of the same name.
///
/// # Errors
/// When the disk is full, or the place cannot be written; then what was there is still there.
pub fn place(file: NamedTempFile, path: &Path) -> Result<()> {
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Writes a file, replacing one of the same name; its folder is made when it is missing. A link is
/// followed, so that whoever keeps the file elsewhere finds it there.
///
/// # Errors
/// Those of the file system; then what was there before is still there.
///
/// ```
/// use partita_model::files::whole;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("new/notes.txt");
/// whole::write(&path, b"one")?;
/// whole::write(&path, b"two")?;
/// assert_eq!(std::fs::read(&path)?, b"two");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn write(path: &Path, content: &[u8]) -> Result<()> {
    let real = path.canonicalize();
    let path = real.as_deref().unwrap_or(path);
    std::fs::create_dir_all(folder(path))?;
    let mut file = beside(path, ".part")?;
    file.write_all(content)?;
    place(file, path)
}

fn folder(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}
