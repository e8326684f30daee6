//! The `partita` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    partita::cli::main()
}
