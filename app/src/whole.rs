//! Files that appear whole or not at all.

use std::io::{Error, Write};
use std::path::Path;

/// Writes a file, replacing one of the same name; its folder is made when it is missing. A link is
/// followed, so that whoever keeps the file elsewhere finds it there.
///
/// # Errors
/// Those of the file system; then what was there before is still there.
pub fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    let real = path.canonicalize();
    let path = real.as_deref().unwrap_or(path);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".partita-");
    #[cfg(unix)]
    {
        // Like any other new file: what the umask leaves, not the 0600 of secret files.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
