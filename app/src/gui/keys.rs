//! Keys that do something anywhere in the window.

use super::pages::Page;
use eframe::egui::{Context, Key, KeyboardShortcut, Modifiers};

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
    /// Close the program.
    Quit,
}

/// What was asked for by keys since the last frame.
pub fn pressed(ctx: &Context) -> Vec<Command> {
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
        on(Modifiers::COMMAND, Key::Q, Command::Quit);
        commands
    })
}
