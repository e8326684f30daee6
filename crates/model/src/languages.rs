//! Names of languages, in English, by their codes, and which one a text is in.

use whatlang::{Detector, Lang};

/// Languages that speech can be in (those of Whisper, the most), in the order of their names.
#[rustfmt::skip]
pub const LANGUAGES: [(&str, &str); 100] = [
    ("af", "Afrikaans"), ("sq", "Albanian"), ("am", "Amharic"), ("ar", "Arabic"),
    ("hy", "Armenian"), ("as", "Assamese"), ("az", "Azerbaijani"), ("ba", "Bashkir"),
    ("eu", "Basque"), ("be", "Belarusian"), ("bn", "Bengali"), ("bs", "Bosnian"),
    ("br", "Breton"), ("bg", "Bulgarian"), ("my", "Burmese"), ("yue", "Cantonese"),
    ("ca", "Catalan"), ("zh", "Chinese"), ("hr", "Croatian"), ("cs", "Czech"),
    ("da", "Danish"), ("nl", "Dutch"), ("en", "English"), ("et", "Estonian"),
    ("fo", "Faroese"), ("fi", "Finnish"), ("fr", "French"), ("gl", "Galician"),
    ("ka", "Georgian"), ("de", "German"), ("el", "Greek"), ("gu", "Gujarati"),
    ("ht", "Haitian Creole"), ("ha", "Hausa"), ("haw", "Hawaiian"), ("he", "Hebrew"),
    ("hi", "Hindi"), ("hu", "Hungarian"), ("is", "Icelandic"), ("id", "Indonesian"),
    ("it", "Italian"), ("ja", "Japanese"), ("jw", "Javanese"), ("kn", "Kannada"),
    ("kk", "Kazakh"), ("km", "Khmer"), ("ko", "Korean"), ("lo", "Lao"),
    ("la", "Latin"), ("lv", "Latvian"), ("ln", "Lingala"), ("lt", "Lithuanian"),
    ("lb", "Luxembourgish"), ("mk", "Macedonian"), ("mg", "Malagasy"), ("ms", "Malay"),
    ("ml", "Malayalam"), ("mt", "Maltese"), ("mi", "Māori"), ("mr", "Marathi"),
    ("mn", "Mongolian"), ("ne", "Nepali"), ("no", "Norwegian"), ("nn", "Nynorsk"),
    ("oc", "Occitan"), ("ps", "Pashto"), ("fa", "Persian"), ("pl", "Polish"),
    ("pt", "Portuguese"), ("pa", "Punjabi"), ("ro", "Romanian"), ("ru", "Russian"),
    ("sa", "Sanskrit"), ("sr", "Serbian"), ("sn", "Shona"), ("sd", "Sindhi"),
    ("si", "Sinhala"), ("sk", "Slovak"), ("sl", "Slovenian"), ("so", "Somali"),
    ("es", "Spanish"), ("su", "Sundanese"), ("sw", "Swahili"), ("sv", "Swedish"),
    ("tl", "Tagalog"), ("tg", "Tajik"), ("ta", "Tamil"), ("tt", "Tatar"),
    ("te", "Telugu"), ("th", "Thai"), ("bo", "Tibetan"), ("tr", "Turkish"),
    ("tk", "Turkmen"), ("uk", "Ukrainian"), ("ur", "Urdu"), ("uz", "Uzbek"),
    ("vi", "Vietnamese"), ("cy", "Welsh"), ("yi", "Yiddish"), ("yo", "Yoruba"),
];

/// The name of a language; its code where it has none here.
pub fn name(code: &str) -> &str {
    LANGUAGES.iter().find(|(own, _)| *own == code).map_or(code, |(_, name)| name)
}

/// Whether there is a name for a language's code.
pub fn is_known(code: &str) -> bool {
    LANGUAGES.iter().any(|(own, _)| *own == code)
}

/// Which of these languages a text is in, and how sure that is (0 to 1). `None` for a text of no
/// letters, or where none of the languages can be told.
///
/// ```
/// use partita_model::languages::detected;
///
/// let among = ["en", "de", "zh"].map(str::to_owned);
/// assert_eq!(detected("Der Zug war gestern wieder zu spät.", &among).unwrap().0, "de");
/// assert_eq!(detected("1984", &among), None);
/// ```
pub fn detected(text: &str, among: &[String]) -> Option<(String, f32)> {
    let known = among.iter().filter_map(|code| Some((told(code)?, code)));
    let known: Vec<(Lang, &String)> = known.collect();
    let allowed = known.iter().map(|(lang, _)| *lang).collect();
    let found = Detector::with_allowlist(allowed).detect(text)?;
    let (_, code) = known.iter().find(|(lang, _)| *lang == found.lang())?;
    Some(((*code).clone(), found.confidence() as f32))
}

/// The language of a code as the detector calls it, if it can tell it.
fn told(code: &str) -> Option<Lang> {
    let name = match name(code) {
        "Chinese" => "Mandarin",
        "Norwegian" => "Bokmal",
        "Sinhala" => "Sinhalese",
        "Slovenian" => "Slovene",
        name => name,
    };
    Lang::all().iter().copied().find(|lang| lang.eng_name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_that_can_be_told_has_its_code() {
        let codes: Vec<String> = LANGUAGES.iter().map(|(code, _)| (*code).to_owned()).collect();
        let mut missing: Vec<&str> = Lang::all()
            .iter()
            .filter(|lang| !codes.iter().any(|code| told(code) == Some(**lang)))
            .map(|lang| lang.eng_name())
            .collect();
        missing.sort_unstable();
        // What Whisper does not know.
        assert_eq!(missing, ["Akan", "Esperanto", "Oriya", "Zulu"]);
    }
}
