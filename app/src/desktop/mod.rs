//! The program among others: one instance a user, started at login, an icon of the desktop's, files
//! opened by other programs.

mod instance;
mod login;
mod opener;
mod tray;

pub use instance::{Instance, Message, claim, runtime_folder, tell};
pub use login::set_start_at_login;
pub use opener::open;
pub use tray::{Choice, Tray};
