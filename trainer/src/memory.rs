//! The memory that this process has in use.

use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

/// Asks the system, where it answers.
pub(crate) struct Memory(Option<System>);

impl Memory {
    /// Ready to ask.
    pub fn new() -> Self {
        Self(System::new().ok())
    }

    /// MiB; 0 where the system does not say.
    pub fn mebibytes(&mut self) -> u64 {
        let (Some(system), Ok(process)) = (&mut self.0, sysinfo::get_current_pid()) else {
            return 0;
        };
        let only = ProcessesToUpdate::Some(&[process]);
        system.refresh_processes_specifics(only, true, ProcessRefreshKind::nothing().with_memory());
        system.process(process).map_or(0, |process| process.memory() >> 20)
    }
}
