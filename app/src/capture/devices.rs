//! Which devices there are, and which of them a [`Source`] means at the moment.

use super::{CaptureError, Source};
use cpal::traits::{DeviceTrait, HostTrait};

/// A device that can be listened to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// What the system calls it; stays the same between starts. [`Source::Device`] takes it.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Whether it is what [`Source::Default`] or [`Source::System`] means now.
    pub default: bool,
    /// Whether it gives what the system plays, rather than what a microphone hears.
    pub loopback: bool,
}

impl DeviceInfo {
    /// The source that names this device, whichever is the default.
    pub fn source(&self) -> Source {
        Source::Device(self.id.clone())
    }
}

/// A device together with what is known about it.
pub(super) struct Found {
    pub device: Device,
    pub info: DeviceInfo,
}

/// How a device is reached.
pub(super) enum Device {
    Plain(cpal::Device),
    #[cfg(target_os = "linux")]
    Server(Box<super::server::ServerSource>),
}

/// Devices that can be listened to: microphones and, where the platform offers it, what the system
/// plays (monitors of PulseAudio and PipeWire; outputs themselves on macOS and Windows, untested).
///
/// Asks the sound server, which takes milliseconds, or two seconds when it hangs: not for the
/// thread that draws.
///
/// # Errors
/// [`CaptureError::Device`] when the sound system does not answer.
pub fn devices() -> Result<Vec<DeviceInfo>, CaptureError> {
    Ok(list()?.into_iter().map(|found| found.info).collect())
}

/// The device that `source` means now.
pub(super) fn find(source: &Source) -> Result<Found, CaptureError> {
    #[cfg(target_os = "linux")]
    if let Some(server) = server()? {
        let (default, monitor) = server.defaults().map_err(silent)?;
        let wanted = match source {
            Source::Default => default,
            Source::System => monitor,
            _ => return choose(list()?, source),
        };
        let found = list()?.into_iter().find(|found| found.info.id == wanted);
        return found.ok_or_else(|| missing(source, &[]));
    }
    let host = cpal::default_host();
    let (device, loopback) = match source {
        // ALSA's default is a name that its own settings resolve; it need not be in the list.
        Source::Default => (host.default_input_device(), false),
        Source::System if cfg!(target_os = "linux") => {
            return Err(CaptureError::Unsupported(
                "system: what is played can be heard through PulseAudio or PipeWire only; neither \
                 answers"
                    .to_owned(),
            ));
        }
        Source::System => (host.default_output_device(), true),
        _ => return choose(list()?, source),
    };
    let found = device.and_then(|device| describe(device, loopback));
    found.ok_or_else(|| missing(source, &[]))
}

/// Whether `source` still means the device `id`.
///
/// # Errors
/// When the device cannot be had any more.
pub(super) fn still(source: &Source, id: &str) -> Result<bool, CaptureError> {
    #[cfg(target_os = "linux")]
    if server()?.is_some() {
        return Ok(find(source)?.info.id == id);
    }
    let host = cpal::default_host();
    let now = match source {
        Source::Default => name_of(host.default_input_device()),
        Source::System => name_of(host.default_output_device()),
        // Its stream tells.
        Source::Device(_) | Source::File(_) => return Ok(true),
    };
    Ok(now == id || now.is_empty())
}

fn name_of(device: Option<cpal::Device>) -> String {
    device.and_then(|device| device.id().ok()).map(|id| id.id().to_owned()).unwrap_or_default()
}

/// The first that fits best: by id, by name, by a part of the name.
fn choose(found: Vec<Found>, source: &Source) -> Result<Found, CaptureError> {
    let infos: Vec<DeviceInfo> = found.iter().map(|found| found.info.clone()).collect();
    let place = position(&infos, source).ok_or_else(|| missing(source, &infos))?;
    found.into_iter().nth(place).ok_or_else(|| missing(source, &infos))
}

/// Which of the devices a name means.
fn position(infos: &[DeviceInfo], source: &Source) -> Option<usize> {
    let Source::Device(wanted) = source else { return None };
    let wanted = wanted.to_lowercase();
    let by = |fits: &dyn Fn(&DeviceInfo) -> bool| infos.iter().position(fits);
    by(&|info| info.id.to_lowercase() == wanted)
        .or_else(|| by(&|info| info.name.to_lowercase() == wanted))
        .or_else(|| by(&|info| info.name.to_lowercase().contains(&wanted)))
        .or_else(|| by(&|info| info.id.to_lowercase().contains(&wanted)))
}

fn missing(source: &Source, infos: &[DeviceInfo]) -> CaptureError {
    let names: Vec<&str> = infos.iter().map(|info| info.name.as_str()).collect();
    let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    CaptureError::NotFound { wanted: source.to_string(), known }
}

fn list() -> Result<Vec<Found>, CaptureError> {
    #[cfg(target_os = "linux")]
    if let Some(server) = server()? {
        let sources = server.sources().map_err(silent)?;
        let found = |(source, info)| Found { device: Device::Server(Box::new(source)), info };
        return Ok(sources.into_iter().map(found).collect());
    }
    let host = cpal::default_host();
    let all = host.devices().map_err(|error| silent(error.to_string()))?;
    let (input, output) =
        (name_of(host.default_input_device()), name_of(host.default_output_device()));
    let linux = cfg!(target_os = "linux");
    let mut found: Vec<Found> = all
        .filter_map(|device| {
            let hears = device.supports_input();
            (hears || !linux && device.supports_output()).then(|| describe(device, !hears))?
        })
        .filter(|found| !linux || worth_listing(&found.info.id))
        .collect();
    for Found { info, .. } in &mut found {
        info.default = info.id == if info.loopback { output.as_str() } else { input.as_str() };
    }
    Ok(found)
}

/// ALSA lists dozens of names for one microphone, and its converters.
fn worth_listing(id: &str) -> bool {
    let names = ["default", "pulse", "pipewire", "sysdefault:", "plughw:"];
    names.iter().any(|name| id == *name || name.ends_with(':') && id.starts_with(name))
}

fn describe(device: cpal::Device, loopback: bool) -> Option<Found> {
    let id = device.id().ok()?.id().to_owned();
    let name = device.description().map_or_else(|_| id.clone(), |about| about.name().to_owned());
    let info = DeviceInfo { id, name, default: false, loopback };
    Some(Found { device: Device::Plain(device), info })
}

#[cfg(target_os = "linux")]
fn server() -> Result<Option<super::server::Server>, CaptureError> {
    super::server::Server::find().map_err(silent)
}

/// The sound system does not answer.
fn silent(reason: String) -> CaptureError {
    CaptureError::Device { source_name: "the sound system".to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::{DeviceInfo, position};
    use crate::capture::Source;

    #[test]
    fn names_mean_the_device_that_fits_best() {
        let device = |id: &str, name: &str| DeviceInfo {
            id: id.to_owned(),
            name: name.to_owned(),
            default: false,
            loopback: false,
        };
        let infos = [
            device("usb.2", "Microphone of the Camera"),
            device("usb.1", "Microphone"),
            device("mic", "Line"),
        ];
        let place = |name: &str| position(&infos, &Source::Device(name.to_owned()));
        assert_eq!(place("microphone"), Some(1));
        assert_eq!(place("camera"), Some(0));
        assert_eq!(place("mic"), Some(2));
        assert_eq!(place("USB.1"), Some(1));
        assert_eq!(place("headset"), None);
    }
}
