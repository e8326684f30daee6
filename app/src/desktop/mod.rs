//! The program among others: one instance a user, started at login.

mod instance;
mod login;

pub use instance::{Instance, Message, claim, runtime_folder, tell};
pub use login::set_start_at_login;
