//! Starting when the user logs in.

use anyhow::{Context, Result};

/// Makes the program start, or not start, when the user logs in: on Linux by a file in the folder
/// `autostart` of the configuration, elsewhere as the system has it (untested there).
///
/// # Errors
/// When the program's own place is not known or the system refuses.
pub fn set_start_at_login(wanted: bool) -> Result<()> {
    let program = std::env::current_exe().context("where this program is")?;
    #[cfg(target_os = "linux")]
    {
        let folders = directories::BaseDirs::new().context("no folder for configuration")?;
        linux::set(&folders.config_dir().join("autostart"), &program, wanted)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let launch = auto_launch::AutoLaunchBuilder::new()
            .set_app_name("Partita")
            .set_app_path(&program.to_string_lossy())
            .build()?;
        Ok(if wanted { launch.enable()? } else { launch.disable()? })
    }
}

/// By ourselves: `auto-launch` knows neither `XDG_CONFIG_HOME` nor paths with spaces.
#[cfg(target_os = "linux")]
mod linux {
    use anyhow::{Context, Result};
    use std::fs;
    use std::io::ErrorKind;
    use std::path::Path;

    pub(super) fn set(folder: &Path, program: &Path, wanted: bool) -> Result<()> {
        let path = folder.join("partita.desktop");
        let shown = || path.display().to_string();
        if !wanted {
            return match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error).with_context(shown),
                _ => Ok(()),
            };
        }
        let program = program.to_str().context("the program's path is no text")?;
        let entry = format!(
            "[Desktop Entry]\nType=Application\nName=Partita\nExec={}\nIcon=partita\n\
             Terminal=false\nX-GNOME-Autostart-enabled=true\n",
            quoted(program)
        );
        partita_model::files::whole::write(&path, entry.as_bytes()).with_context(shown)
    }

    /// An argument of `Exec` as the Desktop Entry Specification has it: first quoted for the
    /// command line, then for the file.
    fn quoted(argument: &str) -> String {
        let mut out = "\"".to_owned();
        for character in argument.chars() {
            match character {
                '"' | '`' | '$' => out.extend(['\\', '\\', character]),
                '\\' => out.push_str("\\\\\\\\"),
                '%' => out.push_str("%%"),
                '\n' => out.push_str("\\n"),
                character => out.push(character),
            }
        }
        out.push('"');
        out
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn it_comes_and_goes() {
            let folder = tempfile::tempdir().unwrap();
            let folder = folder.path().join("not there yet");
            let program = Path::new("/opt/my $programs/100%/partita");
            set(&folder, program, true).unwrap();
            set(&folder, program, true).unwrap();
            let entry = fs::read_to_string(folder.join("partita.desktop")).unwrap();
            let exec = "Exec=\"/opt/my \\\\$programs/100%%/partita\"\n";
            assert!(entry.contains(exec), "{entry}");
            set(&folder, program, false).unwrap();
            set(&folder, program, false).unwrap();
            assert!(!folder.join("partita.desktop").exists());
        }
    }
}
