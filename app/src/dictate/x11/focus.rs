//! The window that has the focus.

use crate::dictate::desk::Window;
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{AtomEnum, ConnectionExt};
use x11rb::rust_connection::RustConnection;

/// Windows within windows, at most.
const DEEPEST: usize = 32;

/// The active window as the window manager has it (`_NET_ACTIVE_WINDOW`), or the one with the input
/// focus where none runs; the class is that of the first window around it that has one.
pub(super) fn window(connection: &RustConnection, root: u32) -> Option<Window> {
    let mut window = active(connection, root).or_else(|| focused(connection))?;
    let id = u64::from(window);
    for _ in 0..DEEPEST {
        if let Some(class) = class(connection, window) {
            return Some(Window { id, class });
        }
        let tree = connection.query_tree(window).ok()?.reply().ok()?;
        if tree.parent == tree.root || tree.parent == 0 {
            break;
        }
        window = tree.parent;
    }
    Some(Window { id, class: String::new() })
}

fn active(connection: &RustConnection, root: u32) -> Option<u32> {
    let atom = connection.intern_atom(true, b"_NET_ACTIVE_WINDOW").ok()?.reply().ok()?.atom;
    let property = connection.get_property(false, root, atom, AtomEnum::WINDOW, 0, 1).ok()?;
    property.reply().ok()?.value32()?.next().filter(|&window| window != 0)
}

fn focused(connection: &RustConnection) -> Option<u32> {
    let focus = connection.get_input_focus().ok()?.reply().ok()?.focus;
    let is_window =
        focus > 1 && !connection.setup().roots.iter().any(|screen| screen.root == focus);
    is_window.then_some(focus)
}

fn class(connection: &RustConnection, window: u32) -> Option<String> {
    let property =
        connection.get_property(false, window, AtomEnum::WM_CLASS, AtomEnum::STRING, 0, 256);
    let value = property.ok()?.reply().ok()?.value;
    let names = value.split(|&byte| byte == 0).filter(|name| !name.is_empty());
    // Latin-1, as all properties of that type.
    let names: Vec<String> =
        names.map(|name| name.iter().map(|&byte| char::from(byte)).collect()).collect();
    (!names.is_empty()).then(|| names.join(" "))
}
