//! Which key writes what.

use std::collections::HashMap;

pub(super) const RETURN: u32 = 0xFF0D;
pub(super) const TAB: u32 = 0xFF09;
pub(super) const INSERT: u32 = 0xFF63;
pub(super) const SHIFT: u32 = 0xFFE1;
pub(super) const CAPS_LOCK: u32 = 0xFFE5;

/// The keyboard as the server has it.
#[derive(Debug, Default)]
pub(super) struct Keymap {
    /// Keys that write a symbol as they are, or with Shift.
    keys: HashMap<u32, (u8, bool)>,
    /// Keys that write nothing.
    pub free: Vec<u8>,
}

impl Keymap {
    /// Reads the symbols of all keys from `first` on, `width` a key, for the layout (group) that is
    /// switched on. The core protocol tells of the first two layouts; with others, no key but
    /// those that are the same in all is known.
    pub fn new(first: u8, width: u8, symbols: &[u32], group: u8) -> Self {
        let mut keymap = Self::default();
        let width = usize::from(width).max(1);
        for (code, symbols) in (first..=u8::MAX).zip(symbols.chunks(width)) {
            let symbol = |at: usize| symbols.get(at).copied().unwrap_or(0);
            if symbols.iter().all(|&symbol| symbol == 0) {
                // The first code is that of no key at all.
                if code > 8 {
                    keymap.free.push(code);
                }
                continue;
            }
            let level = match group {
                0 => [symbol(0), symbol(1)],
                1 => [symbol(2), symbol(3)],
                _ if symbol(2) == symbol(0) || symbol(2) == 0 && symbol(0) > 0xFF00 => {
                    [symbol(0), symbol(1)]
                }
                _ => continue,
            };
            // A key with one layout has it in every one.
            let level = if level == [0, 0] { [symbol(0), symbol(1)] } else { level };
            for (shift, symbol) in [false, true].into_iter().zip(level) {
                if symbol == 0 {
                    continue;
                }
                let entry = keymap.keys.entry(symbol).or_insert((code, shift));
                if entry.1 && !shift {
                    *entry = (code, shift);
                }
            }
        }
        keymap
    }

    /// Leaves keys out: what they mean does not stay.
    pub fn without(mut self, codes: impl Fn(u8) -> bool) -> Self {
        self.keys.retain(|_, (code, _)| !codes(*code));
        self
    }

    /// The key for a symbol, and whether it needs Shift.
    pub fn key(&self, symbol: u32) -> Option<(u8, bool)> {
        self.keys.get(&symbol).copied()
    }
}

/// The symbol that writes a character.
pub(super) fn symbol(character: char) -> Option<u32> {
    match character {
        '\n' => Some(RETURN),
        '\t' => Some(TAB),
        ' '..='~' | '\u{A0}'..='\u{FF}' => Some(character as u32),
        character if character.is_control() => None,
        character => Some(0x0100_0000 + character as u32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_for_the_layout_that_is_on() {
        let rows =
            [[0x61, 0x41, 0x6C6, 0x6E6], [RETURN, 0, 0, 0], [0, 0, 0, 0], [0x41, 0x61, 0, 0]];
        let symbols = rows.concat();
        let latin = Keymap::new(9, 4, &symbols, 0);
        assert_eq!(latin.key(0x61), Some((9, false)));
        assert_eq!(latin.key(0x41), Some((12, false)), "rather without Shift");
        assert_eq!((latin.key(RETURN), latin.free.as_slice()), (Some((10, false)), &[11][..]));
        let cyrillic = Keymap::new(9, 4, &symbols, 1);
        assert_eq!(cyrillic.key(0x6E6), Some((9, true)));
        assert_eq!(cyrillic.key(RETURN), Some((10, false)));
        let third = Keymap::new(9, 4, &symbols, 2);
        assert_eq!((third.key(0x6C6), third.key(RETURN)), (None, Some((10, false))));
        assert_eq!(latin.without(|code| code == 9).key(0x61), None);
        assert!(Keymap::new(8, 0, &[1, 2], 0).key(2).is_some());
    }

    #[test]
    fn every_character_but_controls_has_a_symbol() {
        assert_eq!(symbol('a'), Some(0x61));
        assert_eq!(symbol('é'), Some(0xE9));
        assert_eq!(symbol('я'), Some(0x0100_044F));
        assert_eq!(symbol('😀'), Some(0x0101_F600));
        assert_eq!((symbol('\n'), symbol('\u{1b}'), symbol('\u{85}')), (Some(RETURN), None, None));
    }
}
