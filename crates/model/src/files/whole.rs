//! Files that appear whole or not at all.

use std::io::Write;
use std::path::Path;

use tempfile::NamedTempFile;

use super::FileError;

/// A temporary file in the folder of `path`, with the rights that any new file gets. It
/// disappears when dropped.
pub(super) fn beside(path: &Path, suffix: &str) -> Result<NamedTempFile, FileError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut builder = tempfile::Builder::new();
    builder.prefix(".partita-").suffix(suffix);
    #[cfg(unix)]
    {
        // Like any other new file: what the umask leaves, not the 0600 of secret files.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder
        .tempfile_in(folder.unwrap_or(Path::new(".")))
        .map_err(|cause| FileError::io(path, cause))
}

/// Puts a finished temporary file in its place, replacing one of the same name.
pub(super) fn place(file: NamedTempFile, path: &Path) -> Result<(), FileError> {
    file.as_file().sync_all().map_err(|cause| FileError::io(path, cause))?;
    file.persist(path).map_err(|error| FileError::io(path, error.error))?;
    Ok(())
}

/// Writes a small file, whole or not at all.
///
/// # Errors
/// When the folder cannot be written.
pub fn write(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let mut file = beside(path, ".part")?;
    file.write_all(content).map_err(|cause| FileError::io(path, cause))?;
    place(file, path)
}
