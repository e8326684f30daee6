//! Two pages as they look, against the pictures in `tests/snapshots`: `UPDATE_SNAPSHOTS=1` draws them
//! anew, to be looked at. What differs between machines and moments is not in them.

use crate::support::{Desk, status, utterance};
use partita::gui::pages::Page;
use partita::settings::Theme;

#[test]
fn text_with_its_translation_and_a_dim_end() {
    let mut desk = Desk::new();
    desk.settings.change(|settings| settings.look.theme = Theme::Light);
    desk.listen();
    let said = "Für die Suppe brauchen wir Kartoffeln.";
    desk.say(utterance(0, "de", said, Some("We need potatoes for the soup.")));
    desk.say(utterance(1, "fr", "La réunion commence à neuf heures.", None)[..3].to_vec());
    desk.say([status()]);
    desk.look("live-light");
}

#[test]
fn settings_in_the_dark() {
    let mut desk = Desk::new();
    desk.settings.change(|settings| settings.look.theme = Theme::Dark);
    desk.listen();
    desk.say([status()]);
    desk.press(Page::Settings.name());
    desk.look("settings-dark");
}
