//! Which devices there are, and which of them a [`Source`] means at the moment.

use super::{CaptureError, Source};
use cpal::traits::{DeviceTrait, HostTrait};
use cpal::{ErrorKind, Host, HostId};
use std::sync::{Arc, Mutex, PoisonError};

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
    pub device: cpal::Device,
    pub info: DeviceInfo,
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
    Ok(list(&*host()?)?.into_iter().map(|found| found.info).collect())
}

/// The device that `source` means now.
pub(super) fn find(source: &Source) -> Result<Found, CaptureError> {
    let host = host()?;
    match source {
        // ALSA's default is a name that its own settings resolve; it need not be in the list.
        Source::Default => {
            let device = host.default_input_device();
            device.and_then(|device| describe(device, false)).ok_or_else(|| missing(source, &[]))
        }
        Source::System => system(&host),
        Source::Device(_) => choose(list(&host)?, source),
        Source::File(path) => {
            let reason = "a file is not a device".to_owned();
            Err(CaptureError::Device { source_name: path.display().to_string(), reason })
        }
    }
}

/// What plays by default.
fn system(host: &Host) -> Result<Found, CaptureError> {
    match kind(host).as_str() {
        SERVER => {
            let monitor = name_of(host.default_output_device()) + MONITOR;
            let found = list(host)?.into_iter().find(|found| found.info.id == monitor);
            found.ok_or_else(|| missing(&Source::System, &[]))
        }
        "alsa" => Err(CaptureError::Unsupported(
            "system: what is played can be heard through PulseAudio or PipeWire only; neither \
             answers"
                .to_owned(),
        )),
        _ => {
            let device = host.default_output_device();
            let found = device.and_then(|device| describe(device, true));
            found.ok_or_else(|| missing(&Source::System, &[]))
        }
    }
}

/// Whether `source` still means the device `id`.
///
/// # Errors
/// When the device cannot be had any more.
pub(super) fn still(source: &Source, id: &str) -> Result<bool, CaptureError> {
    let host = host()?;
    let now = match source {
        // A server may quietly lead a stream elsewhere when its device goes: so ask.
        _ if kind(&host) == SERVER => find(source)?.info.id,
        Source::Default => name_of(host.default_input_device()),
        Source::System => name_of(host.default_output_device()),
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

fn list(host: &Host) -> Result<Vec<Found>, CaptureError> {
    let all = host.devices().map_err(|error| failure("devices", &error))?;
    let (input, output) = (name_of(host.default_input_device()), name_of(host.default_output_device()));
    let monitor = format!("{output}{MONITOR}");
    let plays = kind(host) != SERVER && kind(host) != "alsa";
    let mut found: Vec<Found> = all
        .filter_map(|device| {
            let hears = device.supports_input();
            if hears || plays && device.supports_output() { describe(device, !hears) } else { None }
        })
        .filter(|found| kind(host) != "alsa" || worth_listing(&found.info.id))
        .collect();
    for Found { info, .. } in &mut found {
        info.default = info.id == if info.loopback && plays { output.as_str() } else { input.as_str() }
            || info.id == monitor;
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
    let loopback = loopback || id.ends_with(MONITOR);
    Some(Found { device, info: DeviceInfo { id, name, default: false, loopback } })
}

/// What PulseAudio and PipeWire append to the name of an output.
const MONITOR: &str = ".monitor";
/// The host that speaks to PulseAudio, or to PipeWire in PulseAudio's tongue.
const SERVER: &str = "pulseaudio";

fn kind(host: &Host) -> String {
    host.id().to_string()
}

/// The way to the sound system, and which kind of it was found first.
#[derive(Default)]
struct Way {
    open: Option<Arc<Host>>,
    kind: Option<HostId>,
}

/// One for the process: a connection to a sound server ends with the process only.
static WAY: Mutex<Way> = Mutex::new(Way { open: None, kind: None });

fn host() -> Result<Arc<Host>, CaptureError> {
    let mut way = WAY.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(host) = &way.open {
        return Ok(host.clone());
    }
    // While a sound server restarts its devices are not to be taken away from it.
    let host = match way.kind {
        Some(kind) => {
            let source_name = "the sound system".to_owned();
            cpal::host_from_id(kind)
                .map_err(|e| CaptureError::Device { source_name, reason: e.to_string() })?
        }
        None => cpal::default_host(),
    };
    way.kind = Some(host.id());
    Ok(way.open.insert(Arc::new(host)).clone())
}

/// An error of the sound system; where its connection is at fault, the next call makes a new one.
pub(super) fn failure(source_name: &str, error: &cpal::Error) -> CaptureError {
    if matches!(error.kind(), ErrorKind::HostUnavailable | ErrorKind::StreamInvalidated) {
        WAY.lock().unwrap_or_else(PoisonError::into_inner).open = None;
    }
    CaptureError::Device { source_name: source_name.to_owned(), reason: error.to_string() }
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
