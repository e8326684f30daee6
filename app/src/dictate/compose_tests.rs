use super::super::spoken::Commands;
use super::*;
use crate::settings;
use proptest::prelude::*;

fn vocabulary() -> Vocabulary {
    let word = |write: &str, heard: &[&str], fuzzy| settings::Word {
        write: write.to_owned(),
        heard: heard.iter().map(|&text| text.to_owned()).collect(),
        fuzzy,
    };
    Vocabulary::new(&[
        word("iPhone", &["eye phone"], false),
        word("Partita", &[], true),
        word("", &["um"], false),
        word("北京", &["背景"], false),
    ])
}

/// What several utterances become in one place.
fn typed(said: &[&str], lang: &str, capitals: Option<bool>) -> String {
    let vocabulary = vocabulary();
    let commands = Commands::built_in().of(lang);
    let style = Style { commands, vocabulary: &vocabulary, capitals };
    let mut cursor = Cursor::default();
    said.iter().map(|text| Composer::default().take(text, true, style, &mut cursor)).collect()
}

#[test]
fn commands_become_what_they_name() {
    for (lang, said, expected) in [
        (
            "en",
            "Hello comma world full stop new line how are you question mark",
            "Hello, world.\nHow are you?",
        ),
        (
            "en",
            "Hello, comma, world. Period. New paragraph. How are you? Question mark.",
            "Hello, world.\n\nHow are you?",
        ),
        (
            "en",
            "he said colon open quote well hyphen known close quote dash yes",
            "he said: “well-known” – yes",
        ),
        (
            "en",
            "see open parenthesis page 5 close parenthesis period thanks",
            "see (page 5). Thanks",
        ),
        ("en", "Dear John, new line I write", "Dear John,\nI write"),
        ("en", "new", "new"),
        ("en", "a new idea", "a new idea"),
        ("de", "Hallo Komma neue Zeile wie geht’s Fragezeichen", "Hallo,\nWie geht’s?"),
        (
            "de",
            "er sagte Doppelpunkt Anführungszeichen auf Ja Anführungszeichen zu",
            "er sagte: „Ja“",
        ),
        ("fr", "ça va point d’interrogation oui point", "ça va\u{202F}? Oui."),
        ("es", "abrir interrogación cómo estás cerrar interrogación", "¿cómo estás?"),
        ("it", "ciao virgola punto e virgola a capo", "ciao,;\n"),
        ("pt", "olá vírgula mundo ponto final", "olá, mundo."),
        ("nl", "hallo komma nieuwe regel dag punt", "hallo,\nDag."),
        ("ru", "привет запятая мир точка с запятой", "привет, мир;"),
        ("zh", "你好逗号世界句号换行再见", "你好，世界。\n再见"),
        ("zh", "你好，逗号，世界。句号。", "你好，世界。"),
        ("xx", "Hello comma world", "Hello comma world"),
    ] {
        assert_eq!(typed(&[said], lang, None), expected, "{said}");
    }
}

#[test]
fn utterances_are_joined_to_what_is_there() {
    assert_eq!(typed(&["Hello.", "How are you?"], "", None), "Hello. How are you?");
    assert_eq!(typed(&["你好。", "世界"], "", None), "你好。世界");
    assert_eq!(typed(&["one", "comma two", "period three"], "en", None), "one, two. Three");
    assert_eq!(typed(&["Hello.", "period", "new line", "again"], "en", None), "Hello.\nAgain");
    assert_eq!(typed(&["see open bracket", "here close bracket"], "en", None), "see (here)");
    assert_eq!(typed(&["well hyphen", "known"], "en", None), "well-known");
    assert_eq!(typed(&["", "  ", "a"], "", None), "a");
}

#[test]
fn capitals_are_as_asked_for() {
    let said = ["the end. we meet", "I do", "NATO and Berlin."];
    assert_eq!(typed(&said, "", None), "the end. we meet I do NATO and Berlin.");
    assert_eq!(typed(&said, "", Some(true)), "The end. We meet I do NATO and Berlin.");
    let said = ["The end. We meet", "I do.", "NATO. I'm", "“Yes."];
    assert_eq!(typed(&said, "", Some(false)), "the end. we meet I do. NATO. I'm “Yes.");
}

#[test]
fn the_vocabulary_is_written_as_it_is() {
    assert_eq!(
        typed(&["My eye phone, um, plays a partida."], "", Some(true)),
        "My iPhone, plays a Partita."
    );
    assert_eq!(typed(&["Eye, phone"], "", None), "Eye, phone");
    assert_eq!(typed(&["我爱背景。"], "", None), "我爱北京。");
}

#[test]
fn a_word_is_typed_once_it_is_known_what_it_is() {
    let vocabulary = Vocabulary::default();
    let commands = Commands::built_in().of("en");
    let style = Style { commands, vocabulary: &vocabulary, capitals: None };
    let (mut composer, mut cursor) = (Composer::default(), Cursor::default());
    let mut take = |text: &str, complete| composer.take(text, complete, style, &mut cursor);
    assert_eq!(take("Hel", false), "");
    assert_eq!(take("Hello", false), "");
    assert_eq!(take("Hello th", false), "Hello");
    assert_eq!(take("Hello there,", false), "");
    assert_eq!(take("Hello there, new", false), " there");
    assert_eq!(take("Hello there, new li", false), "");
    assert_eq!(take("Hello there, new lines ", false), ", new lines");
    assert_eq!(take("Hello there, new lines new line", false), "");
    assert_eq!(take("Hello there, new lines new line.", true), "\n");
}

#[test]
fn nobody_can_have_keys_pressed() {
    assert_eq!(typed(&["a\nb\u{1b}[31m\tc\r\u{85}d"], "", None), "a b [31m c d");
}

proptest! {
    #[test]
    fn however_it_arrives_the_same_is_typed(
        words in proptest::collection::vec(prop::sample::select(vec![
            "new", "line", "paragraph", "comma", "Period.", "open", "quote", "close", "um",
            "eye", "phone,", "partida", "a", "-", "...", "逗号", "换行，", "你好。「世」", "É", "\u{7f}\u{85}",
            "full", "stop", "?", "(b)", "par", "tita", "I",
        ]), 0..14),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
        zh in any::<bool>(),
        capitals in any::<Option<bool>>(),
    ) {
        let text = words.join(" ");
        let vocabulary = vocabulary();
        let commands = Commands::built_in().of(if zh { "zh" } else { "en" });
        let style = Style { commands, vocabulary: &vocabulary, capitals };
        let mut places: Vec<_> = text.char_indices().map(|(at, _)| at).collect();
        places.push(text.len());
        let mut cuts: Vec<_> = cuts.iter().map(|cut| *cut.get(&places)).collect();
        cuts.sort_unstable();
        let (mut composer, mut cursor) = (Composer::default(), Cursor::default());
        let mut typed = String::new();
        for cut in cuts {
            typed.push_str(&composer.take(&text[..cut], false, style, &mut cursor));
        }
        typed.push_str(&composer.take(&text, true, style, &mut cursor));
        let (mut composer, mut cursor) = (Composer::default(), Cursor::default());
        prop_assert_eq!(typed, composer.take(&text, true, style, &mut cursor));
    }

    #[test]
    fn any_text_is_typed_without_control_characters(text in any::<String>(), capitals in any::<Option<bool>>()) {
        let typed = typed(&[&text, &text], "", capitals);
        prop_assert!(!typed.contains(char::is_control));
    }
}
