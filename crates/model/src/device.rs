//! Devices by their names on command lines.

use crate::error::ModelError;
use candle_core::Device;

/// `cpu`, `cuda` or `cuda:N`, `metal`.
///
/// ```
/// assert!(partita_model::device::named("cpu")?.is_cpu());
/// assert!(partita_model::device::named("toaster").is_err());
/// # Ok::<(), partita_model::ModelError>(())
/// ```
///
/// # Errors
/// When there is no such name, or the device is not there (or this program was not built for it).
pub fn named(name: &str) -> Result<Device, ModelError> {
    let unknown =
        || ModelError::Unsupported(format!("`{name}` is no device: use cpu, cuda:N or metal"));
    let absent = |cause| ModelError::Unsupported(format!("cannot use device {name}: {cause}"));
    match name.split_once(':').unwrap_or((name, "0")) {
        ("cpu", "0") => Ok(Device::Cpu),
        ("cuda", index) => Device::new_cuda(index.parse().map_err(|_| unknown())?).map_err(absent),
        ("metal", "0") => Device::new_metal(0).map_err(absent),
        _ => Err(unknown()),
    }
}
