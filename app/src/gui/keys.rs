//! Keys that do something anywhere in the window.

use super::pages::Page;
use eframe::egui::{Context, Id, Key, KeyboardShortcut, Modifiers, Vec2, vec2};

/// Copies all lines.
pub const COPY_ALL: KeyboardShortcut =
    KeyboardShortcut::new(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::C);

const PAGES: [Key; 5] = [Key::Num1, Key::Num2, Key::Num3, Key::Num4, Key::Num5];

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Another page.
    Go(Page),
    /// Begin or end listening.
    Toggle,
    /// Find something on the page.
    Find,
    /// Text larger or smaller.
    Size(bool),
    /// Open or close the overlay.
    Overlay,
    /// Move the overlay by so many points, or make it so much larger.
    Place(Vec2, Vec2),
    /// Pause or go on.
    Pause,
    /// Write what the page shows into a file.
    Export,
    /// Close the program.
    Quit,
}

/// Keys that move the overlay, and where to.
const MOVES: [(Key, Vec2); 4] = [
    (Key::ArrowLeft, vec2(-1.0, 0.0)),
    (Key::ArrowRight, vec2(1.0, 0.0)),
    (Key::ArrowUp, vec2(0.0, -1.0)),
    (Key::ArrowDown, vec2(0.0, 1.0)),
];
/// Keys that change its size. Arrows with Alt belong to window managers.
const SIZES: [(Key, Vec2); 4] = [
    (Key::Home, vec2(-1.0, 0.0)),
    (Key::End, vec2(1.0, 0.0)),
    (Key::PageUp, vec2(0.0, -1.0)),
    (Key::PageDown, vec2(0.0, 1.0)),
];
/// How far one press goes, in points.
const STEP: f32 = 20.0;

fn left() -> Id {
    Id::unique("keys-left-to-a-page")
}

/// Keys of the next frame ask for nothing: a page takes them, to learn which they are.
pub fn leave_to_page(ctx: &Context) {
    let until = ctx.cumulative_frame_nr() + 1;
    ctx.data_mut(|data| data.insert_temp(left(), until));
}

/// What was asked for by keys since the last frame.
pub fn pressed(ctx: &Context) -> Vec<Command> {
    let until = ctx.data(|data| data.get_temp::<u64>(left()));
    if until.is_some_and(|until| ctx.cumulative_frame_nr() <= until) {
        return Vec::new();
    }
    // Where one writes, and on a button, space is theirs.
    let free = ctx.memory(|memory| memory.focused().is_none());
    ctx.input_mut(|input| {
        let mut commands = Vec::new();
        for (key, page) in PAGES.into_iter().zip(Page::ALL) {
            if input.consume_key(Modifiers::COMMAND, key) {
                commands.push(Command::Go(page));
            }
        }
        let mut on = |modifiers, key, command| {
            if input.consume_key(modifiers, key) {
                commands.push(command);
            }
        };
        on(Modifiers::NONE, Key::F5, Command::Toggle);
        if free {
            on(Modifiers::NONE, Key::Space, Command::Toggle);
        }
        on(Modifiers::COMMAND, Key::F, Command::Find);
        on(Modifiers::COMMAND, Key::Plus, Command::Size(true));
        on(Modifiers::COMMAND, Key::Equals, Command::Size(true));
        on(Modifiers::COMMAND, Key::Minus, Command::Size(false));
        on(Modifiers::COMMAND, Key::O, Command::Overlay);
        on(Modifiers::COMMAND, Key::P, Command::Pause);
        on(Modifiers::COMMAND, Key::E, Command::Export);
        on(Modifiers::COMMAND, Key::Q, Command::Quit);
        // Where one writes, they select words.
        let with = Modifiers::COMMAND | Modifiers::SHIFT;
        for (key, towards) in MOVES.into_iter().filter(|_| free) {
            on(with, key, Command::Place(towards * STEP, Vec2::ZERO));
        }
        for (key, towards) in SIZES.into_iter().filter(|_| free) {
            on(with, key, Command::Place(Vec2::ZERO, towards * STEP));
        }
        commands
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use eframe::egui::{Event, RawInput};

    #[test]
    fn keys_move_the_overlay_and_none_counts_that_a_page_takes() {
        let ctx = Context::default();
        let commands = |key, modifiers| {
            let event =
                Event::Key { key, physical_key: None, pressed: true, repeat: false, modifiers };
            let mut found = Vec::new();
            let input = RawInput { events: vec![event], ..Default::default() };
            let _ = ctx.run_ui(input, |ui| found.extend(pressed(ui.ctx())));
            found
        };
        let ctrl = Modifiers::CTRL | Modifiers::COMMAND;
        let moved = Command::Place(vec2(STEP, 0.0), Vec2::ZERO);
        assert_eq!(commands(Key::ArrowRight, ctrl | Modifiers::SHIFT), [moved]);
        let lower = Command::Place(Vec2::ZERO, vec2(0.0, -STEP));
        assert_eq!(commands(Key::PageUp, ctrl | Modifiers::SHIFT), [lower]);
        assert_eq!(commands(Key::ArrowUp, ctrl), []);
        assert_eq!(commands(Key::P, ctrl), [Command::Pause]);
        // In a frame, as pages do.
        let _ = ctx.run_ui(RawInput::default(), |ui| leave_to_page(ui.ctx()));
        assert_eq!(commands(Key::P, ctrl), []);
        assert_eq!(commands(Key::P, ctrl), [Command::Pause]);
    }
}
