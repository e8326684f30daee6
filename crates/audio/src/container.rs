//! Opening: from bytes to a demultiplexer, its audio track and a decoder for it.

use std::io;
use std::sync::OnceLock;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::{
    AudioCodecParameters, AudioDecoder, AudioDecoderOptions, CODEC_ID_NULL_AUDIO,
};
use symphonia::core::codecs::registry::CodecRegistry;
use symphonia::core::common::Limit;
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream};
use symphonia::core::meta::MetadataOptions;

use crate::AudioError;
use crate::guard::guarded;
use crate::resample::RATES;

/// More channels than this are taken for a broken header.
const MOST_CHANNELS: usize = 64;
/// Frames that one packet may declare; real ones stay under 2^16.
const MOST_FRAMES: u64 = 1 << 20;
/// Pictures and tags are not wanted; they may not fill the memory either.
const MOST_METADATA: usize = 1 << 20;

/// An audio track with its decoder.
pub(crate) struct Selected {
    pub track: u32,
    pub decoder: Box<dyn AudioDecoder>,
    /// Frames that the container declares, at `rate` Hz.
    pub frames: Option<u64>,
    pub rate: Option<u32>,
    /// Seconds that the container declares.
    pub duration: Option<f64>,
}

/// Finds the container format of `source`.
pub(crate) fn probe(
    source: Box<dyn MediaSource>,
    extension: Option<&str>,
    name: &str,
) -> Result<Box<dyn FormatReader>, AudioError> {
    let mut hint = Hint::new();
    if let Some(extension) = extension {
        hint.with_extension(extension);
    }
    let metadata = MetadataOptions::default()
        .limit_tag_bytes(Limit::Maximum(MOST_METADATA))
        .limit_visual_bytes(Limit::Maximum(MOST_METADATA));
    let stream = MediaSourceStream::new(source, Default::default());
    let probe = symphonia::default::get_probe();
    guarded(|| probe.probe(&hint, stream, FormatOptions::default(), metadata))
        .ok_or_else(|| not_audio(name, "its header breaks the reader"))?
        .map_err(|error| match error {
            Error::IoError(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                not_audio(name, "it ends before any audio begins")
            }
            Error::IoError(reason) => AudioError::Unreadable { name: name.to_owned(), reason },
            Error::Unsupported(reason) if reason.starts_with("core (probe)") => {
                not_audio(name, "no known format")
            }
            other => not_audio(name, &other.to_string()),
        })
}

/// Picks the audio track to read: the default one, else the first whose codec is known.
pub(crate) fn select(format: &dyn FormatReader, name: &str) -> Result<Selected, AudioError> {
    let known = |track: &&Track| audio(track).is_some_and(|p| p.codec != CODEC_ID_NULL_AUDIO);
    let track = format
        .default_track(TrackType::Audio)
        .filter(known)
        .or_else(|| format.tracks().iter().find(known));
    let Some(track) = track else {
        let name = name.to_owned();
        return Err(if format.tracks().iter().any(|track| audio(track).is_some()) {
            AudioError::UnsupportedCodec { name, codec: "unknown".to_owned() }
        } else {
            AudioError::NoAudioTrack { name }
        });
    };
    let Some(parameters) = audio(track) else {
        return Err(AudioError::NoAudioTrack { name: name.to_owned() });
    };
    check(parameters, name)?;
    let decoder = decoder(parameters, name)?;
    let rate = parameters.sample_rate;
    let frames = track.num_frames.filter(|_| !placeholder(track, parameters));
    let declared = || {
        let seconds = track.time_base?.calc_duration(track.duration?)?.as_secs_f64();
        (!placeholder(track, parameters)).then_some(seconds)
    };
    let media = || {
        let info = format.media_info();
        Some(info.time_base?.calc_duration(info.duration?)?.as_secs_f64())
    };
    let counted = frames.zip(rate).map(|(frames, rate)| frames as f64 / f64::from(rate));
    let whole = || if placeholder(track, parameters) { None } else { media() };
    let duration = counted.or_else(declared).or_else(whole);
    let duration = duration.filter(|seconds| seconds.is_finite() && *seconds > 0.0);
    Ok(Selected { track: track.id, decoder, frames, rate, duration })
}

fn audio(track: &Track) -> Option<&AudioCodecParameters> {
    match &track.codec_params {
        Some(CodecParameters::Audio(parameters)) => Some(parameters),
        _ => None,
    }
}

/// Programs that write WAV into a pipe do not know its length, and declare about 2 or 4 GiB.
fn placeholder(track: &Track, parameters: &AudioCodecParameters) -> bool {
    let channels = parameters.channels.as_ref().map_or(1, |channels| channels.count()) as u64;
    let bytes = u64::from(parameters.bits_per_coded_sample.unwrap_or(0)).div_ceil(8);
    track.num_frames.is_some_and(|n| n.saturating_mul(channels * bytes) >= 0x7fff_0000)
}

/// Refuses what would make a decoder allocate without measure.
fn check(parameters: &AudioCodecParameters, name: &str) -> Result<(), AudioError> {
    let bad = |reason: String| Err(AudioError::BadHeader { name: name.to_owned(), reason });
    match parameters.channels.as_ref().map(|channels| channels.count()) {
        Some(count) if count == 0 || count > MOST_CHANNELS => {
            return bad(format!("{count} channels"));
        }
        _ => {}
    }
    match parameters.sample_rate {
        Some(rate) if !RATES.contains(&rate) => {
            return bad(format!("a sampling rate of {rate} Hz"));
        }
        _ => {}
    }
    match parameters.max_frames_per_packet.max(parameters.frames_per_block) {
        Some(frames) if frames > MOST_FRAMES => bad(format!("{frames} samples in one packet")),
        _ => Ok(()),
    }
}

fn decoder(
    parameters: &AudioCodecParameters,
    name: &str,
) -> Result<Box<dyn AudioDecoder>, AudioError> {
    static CODECS: OnceLock<CodecRegistry> = OnceLock::new();
    let codecs = CODECS.get_or_init(|| {
        let mut codecs = CodecRegistry::new();
        symphonia::default::register_enabled_codecs(&mut codecs);
        codecs.register_audio_decoder::<symphonia_adapter_libopus::OpusDecoder>();
        codecs
    });
    let reason =
        match guarded(|| codecs.make_audio_decoder(parameters, &AudioDecoderOptions::default())) {
            Some(Ok(decoder)) => return Ok(decoder),
            Some(Err(error)) => error.to_string(),
            None => "its parameters break the decoder".to_owned(),
        };
    Err(AudioError::UnsupportedCodec { name: name.to_owned(), codec: reason })
}

pub(crate) fn not_audio(name: &str, reason: &str) -> AudioError {
    AudioError::NotAudio { name: name.to_owned(), reason: reason.to_owned() }
}
