//! Pressing keys, also those that no keyboard has.
//!
//! A character that no key writes is put on one of the keys that write nothing. A program looks up
//! what a key means when it comes to the event, not when the key was pressed: so a key keeps its
//! meaning until programs have had time to catch up, and the one whose last use is longest ago is
//! given the next new character.

use super::keymap::{CAPS_LOCK, INSERT, Keymap, SHIFT, symbol};
use crate::dictate::DictateError;
use std::thread::sleep;
use std::time::{Duration, Instant};
use x11rb::connection::Connection;
use x11rb::errors::{ConnectionError, ReplyError};
use x11rb::protocol::xkb::{ConnectionExt as _, ID};
use x11rb::protocol::xproto::{ConnectionExt as _, KEY_PRESS_EVENT, KEY_RELEASE_EVENT, KeyButMask};
use x11rb::protocol::xtest::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

/// A key's meaning is not changed for this long after it was pressed.
const CAUGHT_UP: Duration = Duration::from_millis(500);
/// Programs learn of new meanings before they are used.
const LEARNT: Duration = Duration::from_millis(30);
/// Between keys: some programs lose keys that come faster.
const KEYS: Duration = Duration::from_millis(2);
/// Keys mean nothing again when they were not needed for this long.
const GIVEN_BACK: Duration = Duration::from_secs(5);
/// Keys that are borrowed at most: enough, and others may need some.
const MOST: usize = 48;
/// With fewer, too much waiting would be needed.
const FEWEST: usize = 4;
/// How long somebody may hold Ctrl while we want to type.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) struct Keyboard {
    root: u32,
    first: u8,
    count: u8,
    has_layouts: bool,
    borrowed: Vec<Borrowed>,
}

/// A key that writes nothing by itself.
struct Borrowed {
    code: u8,
    /// What it writes now; 0 for nothing.
    symbol: u32,
    used: Option<Instant>,
}

/// A key to press.
#[derive(Clone, Copy)]
struct Key {
    code: u8,
    shift: bool,
}

impl Keyboard {
    pub fn open(connection: &RustConnection, root: u32) -> Result<Self, DictateError> {
        let no_test = |_| DictateError::NoDesktop("the display takes no keys from programs".into());
        let version = connection.xtest_get_version(2, 2).map_err(ReplyError::from);
        version.and_then(|cookie| cookie.reply()).map_err(no_test)?;
        let layouts = connection.xkb_use_extension(1, 0).map_err(ReplyError::from);
        let has_layouts = layouts.and_then(|cookie| cookie.reply()).is_ok_and(|r| r.supported);
        let setup = connection.setup();
        let first = setup.min_keycode;
        let count = setup.max_keycode.saturating_sub(first).saturating_add(1);
        let mut keyboard = Self { root, first, count, has_layouts, borrowed: Vec::new() };
        let free = keyboard.keymap(connection).map_err(failed)?.free;
        let borrowed = free.into_iter().rev().take(MOST);
        keyboard.borrowed = borrowed.map(|code| Borrowed { code, symbol: 0, used: None }).collect();
        Ok(keyboard)
    }

    /// Whether no key is held that would make others mean something else.
    pub fn is_free(&self, connection: &RustConnection) -> bool {
        let held = KeyButMask::SHIFT
            | KeyButMask::CONTROL
            | KeyButMask::MOD1
            | KeyButMask::MOD4
            | KeyButMask::MOD5;
        self.mask(connection).is_ok_and(|mask| u16::from(mask & held) == 0)
    }

    fn mask(&self, connection: &RustConnection) -> Result<KeyButMask, ReplyError> {
        Ok(connection.query_pointer(self.root)?.reply()?.mask)
    }

    fn keymap(&self, connection: &RustConnection) -> Result<Keymap, ReplyError> {
        let group = match self.has_layouts {
            true => connection.xkb_get_state(u16::from(ID::USE_CORE_KBD))?.reply()?.group.into(),
            false => 0,
        };
        let reply = connection.get_keyboard_mapping(self.first, self.count)?.reply()?;
        let keymap = Keymap::new(self.first, reply.keysyms_per_keycode, &reply.keysyms, group);
        // Those that we borrowed change while we type.
        Ok(keymap.without(|code| self.borrowed.iter().any(|key| key.code == code)))
    }

    /// Types a text; control characters but new lines and tabs are left out.
    pub fn type_text(
        &mut self,
        connection: &RustConnection,
        text: &str,
    ) -> Result<(), DictateError> {
        self.wait_until_free(connection)?;
        let keymap = self.keymap(connection).map_err(failed)?;
        let locked = self.mask(connection).map_err(failed)?.contains(KeyButMask::LOCK);
        let caps = keymap.key(CAPS_LOCK).filter(|_| locked);
        let symbols: Vec<u32> = text.chars().filter_map(symbol).collect();
        let mut rest = symbols.as_slice();
        if let Some((code, _)) = caps {
            self.press(connection, &keymap, Key { code, shift: false }).map_err(failed)?;
        }
        let mut typed = Ok(());
        while !rest.is_empty() && typed.is_ok() {
            typed = self.assign(connection, &keymap, rest).and_then(|keys| {
                let count = keys.len();
                for key in keys {
                    self.press(connection, &keymap, key).map_err(failed)?;
                    sleep(KEYS);
                }
                rest = rest.get(count..).unwrap_or_default();
                Ok(())
            });
        }
        if let Some((code, _)) = caps {
            self.press(connection, &keymap, Key { code, shift: false }).map_err(failed)?;
        }
        typed
    }

    /// Presses the keys that paste in terminals as elsewhere.
    pub fn shift_insert(&mut self, connection: &RustConnection) -> Result<(), DictateError> {
        self.wait_until_free(connection)?;
        let keymap = self.keymap(connection).map_err(failed)?;
        let keys = self.assign(connection, &keymap, &[INSERT])?;
        for key in keys {
            let key = Key { shift: true, ..key };
            self.press(connection, &keymap, key).map_err(failed)?;
        }
        Ok(())
    }

    fn wait_until_free(&self, connection: &RustConnection) -> Result<(), DictateError> {
        let since = Instant::now();
        while !self.is_free(connection) {
            if since.elapsed() > PATIENCE {
                let held = "Ctrl, Alt, Shift or another key is held: nothing was typed";
                return Err(DictateError::Typing(held.into()));
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Keys for as many of the next symbols as can be typed without changing the meaning of a key
    /// twice; at least one.
    fn assign(
        &mut self,
        connection: &RustConnection,
        keymap: &Keymap,
        symbols: &[u32],
    ) -> Result<Vec<Key>, DictateError> {
        let mut keys = Vec::new();
        let mut fresh = vec![false; self.borrowed.len()];
        let mut changed = false;
        for &symbol in symbols {
            if let Some((code, shift)) = keymap.key(symbol) {
                keys.push(Key { code, shift });
                continue;
            }
            let known = self.borrowed.iter().position(|key| key.symbol == symbol);
            let place = known.or_else(|| {
                let free = self
                    .borrowed
                    .iter()
                    .enumerate()
                    .filter(|(at, _)| !fresh.get(*at).copied().unwrap_or(true));
                free.min_by_key(|(_, key)| (key.used, key.symbol != 0)).map(|(at, _)| at)
            });
            if self.borrowed.len() < FEWEST {
                return Err(DictateError::Typing(
                    "the keyboard layout leaves no keys for other characters; let dictation paste"
                        .into(),
                ));
            }
            // All are taken by what comes before: that is typed first.
            let Some(key) = place.and_then(|at| {
                *fresh.get_mut(at)? = true;
                self.borrowed.get_mut(at)
            }) else {
                break;
            };
            if key.symbol != symbol {
                let pressed = key.used.map_or(CAUGHT_UP, |used| used.elapsed());
                sleep(CAUGHT_UP.saturating_sub(pressed));
                bind(connection, key.code, symbol).map_err(failed)?;
                (key.symbol, changed) = (symbol, true);
            }
            keys.push(Key { code: key.code, shift: false });
        }
        if changed {
            connection.sync().map_err(failed)?;
            sleep(LEARNT);
        }
        Ok(keys)
    }

    fn press(
        &mut self,
        connection: &RustConnection,
        keymap: &Keymap,
        key: Key,
    ) -> Result<(), ReplyError> {
        let fake = |kind: u8, code: u8| {
            connection.xtest_fake_input(kind, code, x11rb::CURRENT_TIME, x11rb::NONE, 0, 0, 0)
        };
        let shift = keymap.key(SHIFT).map(|(code, _)| code).filter(|_| key.shift);
        if let Some(code) = shift {
            fake(KEY_PRESS_EVENT, code)?;
        }
        fake(KEY_PRESS_EVENT, key.code)?;
        fake(KEY_RELEASE_EVENT, key.code)?;
        if let Some(code) = shift {
            fake(KEY_RELEASE_EVENT, code)?;
        }
        if let Some(borrowed) = self.borrowed.iter_mut().find(|own| own.code == key.code) {
            borrowed.used = Some(Instant::now());
        }
        connection.sync()
    }

    /// Gives keys back that have not been needed for a while.
    pub fn rest(&mut self, connection: &RustConnection) {
        let last = self.borrowed.iter().filter_map(|key| key.used).max();
        if last.is_some_and(|used| used.elapsed() >= GIVEN_BACK) {
            self.give_back(connection);
        }
    }

    /// Makes borrowed keys mean nothing again, once programs have caught up.
    pub fn give_back(&mut self, connection: &RustConnection) {
        if let Some(last) = self.borrowed.iter().filter_map(|key| key.used).max() {
            sleep(CAUGHT_UP.saturating_sub(last.elapsed()));
        }
        for key in self.borrowed.iter_mut().filter(|key| key.symbol != 0) {
            let _ = bind(connection, key.code, 0);
            (key.symbol, key.used) = (0, None);
        }
        let _ = connection.sync();
    }
}

/// Gives a key a meaning, with and without Shift: with one symbol alone the server would make
/// capital letters of its own.
fn bind(connection: &RustConnection, code: u8, symbol: u32) -> Result<(), ConnectionError> {
    connection.change_keyboard_mapping(1, code, 2, &[symbol, symbol]).map(|_| ())
}

fn failed(error: impl std::fmt::Display) -> DictateError {
    DictateError::Typing(error.to_string())
}
