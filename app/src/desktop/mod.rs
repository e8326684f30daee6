//! The program among others: one instance a user, started at login, an icon of the desktop's.

mod instance;
mod login;
mod tray;

pub use instance::{Instance, Message, claim, runtime_folder, tell};
pub use login::set_start_at_login;
pub use tray::{Choice, Tray};
