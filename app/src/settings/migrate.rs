//! Files of earlier versions become files of this one, a version at a time.

use toml::{Table, Value};

/// Turns the table of one version into that of the next.
pub(super) type Step = fn(&mut Table);

/// The step from version `n` is the one at `n - 1`; there has been one version so far.
pub(super) const STEPS: [Step; super::VERSION as usize - 1] = [];

/// What a file's version means to this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    /// It is of this version.
    Current,
    /// It was of that version and has been brought to this one.
    Older(u32),
    /// A newer program wrote it; what can be understood of it is.
    Newer(i64),
}

/// Brings a table to the version after the last of `steps`. A file without a version, or with one
/// that makes no sense, is taken for the first.
pub(super) fn migrate(table: &mut Table, steps: &[Step]) -> Age {
    let newest = steps.len() + 1;
    let found = table.get("version").and_then(Value::as_integer).unwrap_or(1).max(1);
    let Some(version) = usize::try_from(found).ok().filter(|version| *version <= newest) else {
        table.insert("version".to_owned(), Value::Integer(newest as i64));
        return Age::Newer(found);
    };
    for step in steps.iter().skip(version - 1) {
        step(table);
    }
    table.insert("version".to_owned(), Value::Integer(newest as i64));
    if version == newest { Age::Current } else { Age::Older(version as u32) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rename(table: &mut Table) {
        if let Some(value) = table.remove("font") {
            table.insert("font_size".to_owned(), value);
        }
    }

    fn double(table: &mut Table) {
        if let Some(Value::Integer(size)) = table.get_mut("font_size") {
            *size *= 2;
        }
    }

    fn migrated(text: &str) -> (Age, Option<i64>, Option<i64>) {
        let mut table: Table = text.parse().unwrap();
        let age = migrate(&mut table, &[rename, double]);
        let number = |key: &str| table.get(key).and_then(Value::as_integer);
        (age, number("version"), number("font_size"))
    }

    #[test]
    fn each_version_takes_the_steps_that_are_ahead_of_it() {
        assert_eq!(migrated("version = 1\nfont = 9"), (Age::Older(1), Some(3), Some(18)));
        assert_eq!(migrated("version = 2\nfont_size = 9"), (Age::Older(2), Some(3), Some(18)));
        assert_eq!(migrated("version = 3\nfont_size = 9"), (Age::Current, Some(3), Some(9)));
    }

    #[test]
    fn what_has_no_version_is_the_first_and_what_is_newer_is_left_as_it_is() {
        assert_eq!(migrated("font = 9"), (Age::Older(1), Some(3), Some(18)));
        assert_eq!(migrated("version = 'x'\nfont = 9"), (Age::Older(1), Some(3), Some(18)));
        assert_eq!(migrated("version = -4\nfont = 9"), (Age::Older(1), Some(3), Some(18)));
        assert_eq!(migrated("version = 7\nfont_size = 9"), (Age::Newer(7), Some(3), Some(9)));
    }
}
