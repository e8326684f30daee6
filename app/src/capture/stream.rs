//! An open device: its callback fills a ring, and who owns the [`Tap`] empties that.

use super::devices::{Found, failure, find};
use super::ring::{Inlet, Outlet, ring};
use super::{CaptureError, Meter, Source};
use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{BufferSize, FromSample, I24, SampleFormat, SizedSample, StreamConfig, U24};
use crossbeam_channel::{Receiver, Sender, bounded};
use partita_audio::resample::RATES;
use std::sync::Arc;
use std::thread::{self, Thread};
use std::time::Duration;

/// Audio that the ring holds when nobody empties it: longer than a machine is ever too busy.
const RING_SECONDS: usize = 20;
/// What PulseAudio is asked to bring at a time, in milliseconds. It makes half of it the latency of
/// the device and half the size of a block. Its own default is a quarter of a second; with 20 ms a
/// busy machine loses audio.
const SERVER_BLOCK_MS: u32 = 80;
/// How long a device may take to open.
const PATIENCE: Duration = Duration::from_secs(5);

/// A device that is open and running.
pub(super) struct Tap {
    /// First, so that the callback has ended before what it writes to goes.
    _stream: cpal::Stream,
    /// What it brings.
    pub outlet: Outlet,
    errors: Receiver<cpal::Error>,
    /// Frames a second.
    pub rate: u32,
    /// The device's name for people.
    pub name: String,
    /// The device's name for the system.
    pub id: String,
    /// Whether it gives nothing at all while nothing is played.
    pub quiet: bool,
}

impl Tap {
    /// Opens what `source` means now. The calling thread is woken whenever audio comes.
    ///
    /// # Errors
    /// [`CaptureError::NotFound`], [`CaptureError::Device`]; the latter also when it takes too long.
    pub(super) fn open(source: &Source, meter: &Arc<Meter>) -> Result<Self, CaptureError> {
        // Some systems wait for the first sample, for ever if need be.
        let (sender, opened) = bounded(1);
        let (wanted, meter, reader) = (source.clone(), meter.clone(), thread::current());
        let failed = |reason: String| {
            Err(CaptureError::Device { source_name: source.to_string(), reason })
        };
        let opener = thread::Builder::new().name("capture-open".to_owned());
        // Nobody waits any more for what comes too late: it is closed at once.
        let opening = opener.spawn(move || sender.send(Self::build(&wanted, meter, reader)).ok());
        if let Err(error) = opening {
            return failed(format!("no thread: {error}"));
        }
        let late = |_| failed("it gives no audio".to_owned());
        opened.recv_timeout(PATIENCE).unwrap_or_else(late)
    }

    fn build(source: &Source, meter: Arc<Meter>, reader: Thread) -> Result<Self, CaptureError> {
        let Found { device, info } = find(source)?;
        let failed = |error: cpal::Error| failure(&info.name, &error);
        let supported = device
            .default_input_config()
            .or_else(|error| device.default_output_config().map_err(|_| error))
            .map_err(failed)?;
        let mut config: StreamConfig = supported.config();
        let rate = config.sample_rate;
        if !RATES.contains(&rate) || config.channels == 0 {
            let reason = format!("{rate} Hz and {} channels", config.channels);
            return Err(CaptureError::Device { source_name: info.name, reason });
        }
        if device.id().is_ok_and(|id| id.host().to_string() == "pulseaudio") {
            config.buffer_size = BufferSize::Fixed(rate * SERVER_BLOCK_MS / 1000);
        }
        let (told, errors) = bounded(8);
        let frames = rate as usize * RING_SECONDS;
        let (inlet, outlet) = ring(frames, config.channels.into(), meter, reader);
        let stream = build(&device, config, supported.sample_format(), inlet, told)
            .and_then(|stream| stream.play().map(|()| stream))
            .map_err(failed)?;
        // WASAPI brings nothing of an output that plays nothing.
        let quiet = info.loopback && cfg!(windows);
        let (name, id) = (info.name, info.id);
        Ok(Self { _stream: stream, outlet, errors, rate, name, id, quiet })
    }

    /// What ended the stream, if it has ended.
    pub(super) fn fault(&self) -> Option<cpal::Error> {
        use cpal::ErrorKind::{DeviceChanged, RealtimeDenied, Xrun};
        // The clock tells what an overrun cost.
        let harmless = |error: &cpal::Error| {
            matches!(error.kind(), DeviceChanged | RealtimeDenied | Xrun)
        };
        self.errors.try_iter().find(|error| !harmless(error))
    }
}

fn build(
    device: &cpal::Device,
    config: StreamConfig,
    format: SampleFormat,
    inlet: Inlet,
    told: Sender<cpal::Error>,
) -> Result<cpal::Stream, cpal::Error> {
    match format {
        SampleFormat::F32 => build_as::<f32>(device, config, inlet, told),
        SampleFormat::F64 => build_as::<f64>(device, config, inlet, told),
        SampleFormat::I8 => build_as::<i8>(device, config, inlet, told),
        SampleFormat::I16 => build_as::<i16>(device, config, inlet, told),
        SampleFormat::I24 => build_as::<I24>(device, config, inlet, told),
        SampleFormat::I32 => build_as::<i32>(device, config, inlet, told),
        SampleFormat::I64 => build_as::<i64>(device, config, inlet, told),
        SampleFormat::U8 => build_as::<u8>(device, config, inlet, told),
        SampleFormat::U16 => build_as::<u16>(device, config, inlet, told),
        SampleFormat::U24 => build_as::<U24>(device, config, inlet, told),
        SampleFormat::U32 => build_as::<u32>(device, config, inlet, told),
        SampleFormat::U64 => build_as::<u64>(device, config, inlet, told),
        other => Err(cpal::Error::with_message(
            cpal::ErrorKind::UnsupportedConfig,
            format!("samples of the kind {other} cannot be read"),
        )),
    }
}

fn build_as<T>(
    device: &cpal::Device,
    config: StreamConfig,
    mut inlet: Inlet,
    told: Sender<cpal::Error>,
) -> Result<cpal::Stream, cpal::Error>
where
    T: SizedSample,
    f32: FromSample<T>,
{
    let reader = inlet.reader.clone();
    device.build_input_stream::<T, _, _>(
        config,
        move |data, _| inlet.take(data),
        move |error| {
            // When eight errors wait already the stream is known to be broken.
            told.try_send(error).ok();
            reader.unpark();
        },
        None,
    )
}
