//! Languages to choose from, in words.

use partita_model::languages::LANGUAGES;
pub use partita_model::languages::name;

/// Codes and names to choose from, behind a first choice that stands for none.
pub fn options(none: &str) -> Vec<(String, String)> {
    let rest = LANGUAGES.iter().map(|(code, name)| ((*code).to_owned(), (*name).to_owned()));
    std::iter::once((String::new(), none.to_owned())).chain(rest).collect()
}

/// Languages in words: `any`, one, or several.
pub fn listed(codes: &[String]) -> String {
    match codes {
        [] => "Any language".to_owned(),
        codes => codes.iter().map(|code| name(code)).collect::<Vec<_>>().join(", "),
    }
}
