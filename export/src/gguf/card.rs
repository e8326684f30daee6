//! What whoever ships a model says of it: keys `general.*` by hand, and what its name holds.

use anyhow::{Result, bail};
use partita_model::files::Value;

/// Keys that may be given, without `general.`.
pub const KEYS: [&str; 13] = [
    "author",
    "basename",
    "description",
    "doi",
    "finetune",
    "license",
    "license.link",
    "license.name",
    "organization",
    "repo_url",
    "source.url",
    "url",
    "version",
];
/// Longest text of one.
const LONGEST: usize = 4096;

/// A key without `general.` and its text, of `KEY=TEXT`.
///
/// ```
/// use partita_export::gguf::card::entry;
/// let found = entry("author=Ada Lovelace").unwrap();
/// assert_eq!(found, ("author".to_owned(), "Ada Lovelace".to_owned()));
/// assert!(entry("colour=red").unwrap_err().to_string().contains("version"));
/// ```
///
/// # Errors
/// When the key is not among [`KEYS`], or there is no text.
pub fn entry(text: &str) -> Result<(String, String)> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    let (key, value) = (key.trim(), value.trim());
    if !KEYS.contains(&key) {
        bail!("known are {}", KEYS.join(", "));
    }
    if value.is_empty() || value.len() > LONGEST {
        bail!("`{key}=` takes a text of 1 to {LONGEST} bytes");
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// Puts what was said into a file's keys, in the place of what they said.
pub fn say(keys: &mut Vec<(String, Value)>, card: &[(String, String)]) {
    for (key, text) in card {
        let key = format!("general.{key}");
        match keys.iter_mut().find(|(known, _)| *known == key) {
            Some((_, value)) => *value = text.as_str().into(),
            None => keys.push((key, text.as_str().into())),
        }
    }
}

/// Base name and version of a name as llama.cpp's tools write them: `BASE-SIZE-TUNING-VERSION`, of
/// which all but the first may be missing.
///
/// ```
/// use partita_export::gguf::card::parts;
/// assert_eq!(parts("mine-0.3B-speech-v1.2"), ("mine", Some("v1.2")));
/// assert_eq!(parts("part-small"), ("part-small", None));
/// ```
pub fn parts(name: &str) -> (&str, Option<&str>) {
    let number = |text: &str| text.parse::<f64>().is_ok_and(|number| number >= 0.0);
    let is_size = |part: &&str| part.strip_suffix(['K', 'M', 'B', 'T']).is_some_and(number);
    let is_version = |part: &&str| {
        let numbers = part.strip_prefix('v').map(|rest| rest.split('.'));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        numbers.is_some_and(|mut numbers| numbers.all(is_number))
    };
    let version = name.split('-').skip(1).find(is_version);
    let mut end = 0;
    for (place, part) in name.split('-').enumerate() {
        if place > 0 && (is_size(&part) || is_version(&part)) {
            break;
        }
        end += part.len() + usize::from(place > 0);
    }
    (name.get(..end).unwrap_or(name), version)
}
