//! Settings survive whatever is in their file.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use partita::capture::Source;
use partita::settings::{Profile, Settings, SharedSettings, Theme, Word};
use proptest::prelude::*;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("settings.toml");
    (folder, path)
}

fn files(folder: &TempDir) -> Vec<String> {
    let names = fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<_> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn changed() -> Settings {
    let mut settings = Settings::default();
    settings.audio.sources = vec![Source::System, Source::Device("Mikrofon ä".into())];
    settings.speech.languages = vec!["de".into(), "zh".into()];
    settings.look.theme = Theme::Dark;
    settings.overlay.place = Some([-200.0, 10.5, 640.0, 120.0]);
    settings.dictation.vocabulary.push(Word {
        write: "Kärcher \"K2\"".into(),
        heard: vec!["kercher k zwei".into()],
        fuzzy: true,
    });
    settings.dictation.profiles.push(Profile {
        window_class: "xterm".into(),
        capitals: Some(false),
        ..Profile::default()
    });
    settings
}

#[test]
fn what_is_saved_is_read_again() {
    let (folder, path) = folder();
    let nested = folder.path().join("not/there/yet/settings.toml");
    for path in [&path, &nested] {
        changed().save(path).unwrap();
        assert_eq!(Settings::load(path), (changed(), vec![]));
    }
    assert_eq!(files(&folder), ["not", "settings.toml"]);
}

#[test]
fn a_missing_file_is_no_news() {
    let (folder, path) = folder();
    assert_eq!(Settings::load(&path), (Settings::default(), vec![]));
    assert!(files(&folder).is_empty());
}

#[test]
fn a_broken_file_is_set_aside() {
    let (folder, path) = folder();
    for (number, content) in [&b"overlay = {"[..], b"\xff\xfe\x00", b"\0\0\0\0"].iter().enumerate()
    {
        fs::write(&path, content).unwrap();
        let (settings, notices) = Settings::load(&path);
        assert_eq!(settings, Settings::default());
        let backup = format!("settings.backup-{}.toml", number + 1);
        assert!(notices[0].contains(&backup) && notices.len() == 1, "{notices:?}");
        assert!(!notices[0].contains('\n'), "{notices:?}");
        assert_eq!(fs::read(folder.path().join(backup)).unwrap(), *content);
        assert!(!path.exists());
    }
}

#[test]
fn only_keys_that_make_no_sense_are_reset() {
    let (folder, path) = folder();
    let text = "version = 1\n[overlay]\nlines = \"many\"\nfont_size = 40\nopacity = 7\n\
                [speech]\nlanguages = [\"de\"]\nnovel = 1\n";
    fs::write(&path, text).unwrap();
    let (settings, notices) = Settings::load(&path);
    assert_eq!(settings.overlay.lines, Settings::default().overlay.lines);
    assert_eq!(settings.overlay.font_size, 40.0);
    assert_eq!(settings.overlay.opacity, 1.0);
    assert_eq!(settings.speech.languages, ["de"]);
    let all = notices.join("\n");
    assert!(all.contains("overlay.lines: reset"), "{all}");
    assert!(all.contains("overlay.opacity: moved"), "{all}");
    assert!(all.contains("speech.novel: unknown"), "{all}");
    assert_eq!(files(&folder), ["settings.backup-1.toml", "settings.toml"]);
    assert_eq!(fs::read_to_string(folder.path().join("settings.backup-1.toml")).unwrap(), text);
}

#[test]
fn a_newer_file_is_copied_before_it_is_used() {
    let (folder, path) = folder();
    fs::write(&path, "version = 99\n[overlay]\nlines = 3\nwings = true\n").unwrap();
    let (settings, notices) = Settings::load(&path);
    assert_eq!(settings.overlay.lines, 3);
    assert!(notices[0].contains("newer program (version 99"), "{notices:?}");
    assert_eq!(files(&folder), ["settings.backup-1.toml", "settings.toml"]);
}

#[test]
fn a_folder_in_its_place_is_reported() {
    let (_folder, path) = folder();
    fs::create_dir(&path).unwrap();
    let (settings, notices) = Settings::load(&path);
    assert_eq!((settings, notices.len()), (Settings::default(), 1));
    let (shared, _) = SharedSettings::open(&path);
    shared.change(|settings| settings.overlay.lines = 1);
    assert!(shared.save().is_err());
    assert!(shared.failure().unwrap().contains("settings.toml: not written"));
}

#[test]
fn changes_are_seen_by_all_and_written_after_a_moment() {
    let (_folder, path) = folder();
    let (settings, _) = SharedSettings::open(&path);
    let other = settings.clone();
    let changes = other.watch();
    for size in 20..60 {
        settings.change(|settings| settings.look.font_size = size as f32);
    }
    assert!(!settings.change(|_| {}));
    assert_eq!(changes.try_iter().count(), 1);
    assert_eq!(other.get().look.font_size, 59.0);
    assert_eq!(other.generation(), 40);
    let patience = Instant::now() + Duration::from_secs(20);
    while !path.exists() && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(Settings::load(&path).0.look.font_size, 59.0);
}

#[test]
fn the_last_handle_writes_what_is_left() {
    let (_folder, path) = folder();
    let (settings, _) = SharedSettings::open(&path);
    settings.change(|settings| settings.overlay.lines = 77);
    assert_eq!(settings.get().overlay.lines, 4);
    drop(settings);
    assert_eq!(Settings::load(&path).0.overlay.lines, 4);
}

#[cfg(unix)]
#[test]
fn a_link_stays_a_link() {
    let (folder, path) = folder();
    let real = folder.path().join("elsewhere.toml");
    fs::write(&real, "").unwrap();
    std::os::unix::fs::symlink(&real, &path).unwrap();
    changed().save(&path).unwrap();
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    assert_eq!(Settings::load(&real).0, changed());
}

/// Whatever the bytes: settings in range, which are the same once saved and read again.
fn survives(content: &[u8]) {
    let (_folder, path) = folder();
    fs::write(&path, content).unwrap();
    let (settings, notices) = Settings::load(&path);
    assert_eq!(settings.clone().into_range(), (settings.clone(), vec![]));
    assert!(notices.iter().all(|notice| !notice.contains('\n')), "{notices:?}");
    settings.save(&path).unwrap();
    assert_eq!(Settings::load(&path), (settings, vec![]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_bytes_give_settings(content in proptest::collection::vec(any::<u8>(), 0..400)) {
        survives(&content);
    }

    #[test]
    fn any_damage_to_a_file_gives_settings(
        at in any::<prop::sample::Index>(),
        length in 0usize..12,
        with in ".{0,12}",
    ) {
        let mut text = toml::to_string_pretty(&changed()).unwrap().into_bytes();
        let start = at.index(text.len());
        let end = (start + length).min(text.len());
        text.splice(start..end, with.into_bytes());
        survives(&text);
    }

    #[test]
    fn any_values_give_settings(
        key in prop::sample::select(vec![
            "overlay.lines", "overlay.opacity", "overlay.place", "look.font_size", "look.theme",
            "voice.threshold", "voice.pause_ms", "engine.threads", "engine.name", "engine.backend",
            "engine.provider", "audio.sources",
            "dictation.vocabulary", "dictation.profiles", "storage.audio_limit_mib", "version",
        ]),
        value in prop::sample::select(vec![
            "nan", "-inf", "1e300", "-1", "9223372036854775807", "0", "''", "'x'", "[]", "[[]]",
            "{}", "[{}]", "true", "1979-05-27", "[0.0, nan, 1.0, 2.0]", "[1, 2, 3]",
        ]),
    ) {
        survives(format!("{key} = {value}\n").as_bytes());
    }
}
