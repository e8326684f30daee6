//! PulseAudio, and PipeWire that speaks as PulseAudio does: its sources, monitors of outputs among
//! them, and streams from them.
//!
//! Not through cpal, which asks the server to keep no more than two blocks of a stream: whenever the
//! server's blocks do not fit into those, it drops a few samples and tells nobody.

use super::devices::DeviceInfo;
use super::ring::Inlet;
use pollster::block_on;
use pulseaudio::protocol::stream::{BufferAttr, StreamFlags};
use pulseaudio::protocol::{
    ChannelMap, RecordStreamParams, SampleFormat, SampleSpec, ServerInfo, SourceInfo,
};
use pulseaudio::{Client, ClientError, RecordStream, socket_path_from_env};
use std::ffi::CStr;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// What a stream asks for, in milliseconds: half of it becomes the latency of the device, half the
/// length of a block. Left to itself the server takes a quarter of a second.
const LATENCY_MS: u32 = 80;
/// How long the server may take to answer the first call.
const PATIENCE: Duration = Duration::from_secs(2);

/// A connection to the sound server of this session.
#[derive(Clone)]
pub(super) struct Server {
    client: Client,
}

/// A source of the server.
pub(super) struct ServerSource {
    server: Server,
    source: SourceInfo,
}

/// One for the process: a connection that is closed leaves its thread behind.
static CONNECTION: Mutex<Connection> = Mutex::new(Connection { server: None, known: false });

struct Connection {
    server: Option<Server>,
    /// There was a server once: then nothing else is to be tried while it restarts.
    known: bool,
}

impl Server {
    /// The server; `None` where there is none.
    ///
    /// # Errors
    /// A line, when there should be one and it does not answer.
    pub(super) fn find() -> Result<Option<Self>, String> {
        let mut connection = CONNECTION.lock().unwrap_or_else(PoisonError::into_inner);
        if connection.server.is_none() {
            if socket_path_from_env().is_none() && !connection.known {
                return Ok(None);
            }
            match connect() {
                Ok(server) => connection.server = Some(server),
                // A socket without a server behind it.
                Err(_) if !connection.known => return Ok(None),
                Err(error) => return Err(error),
            }
            connection.known = true;
        }
        Ok(connection.server.clone())
    }

    /// Its sources, and which of them are the default: to be listened to, and of what is played.
    pub(super) fn sources(&self) -> Result<Vec<(ServerSource, DeviceInfo)>, String> {
        let ask =
            async || Ok((self.client.server_info().await?, self.client.list_sources().await?));
        let (about, sources) = block_on(ask()).map_err(failed)?;
        let listed = sources.into_iter().map(|source| {
            let info = describe(&source, &about);
            (ServerSource { server: self.clone(), source }, info)
        });
        Ok(listed.collect())
    }

    /// The names of the default source and of the monitor of the default output.
    pub(super) fn defaults(&self) -> Result<(String, String), String> {
        let about = block_on(self.client.server_info()).map_err(failed)?;
        let sources = block_on(self.client.list_sources()).map_err(failed)?;
        let sink = about.default_sink_name.unwrap_or_default();
        let monitor =
            sources.iter().find(|source| source.monitor_of_sink_name.as_ref() == Some(&sink));
        let monitor = monitor.map(|source| text(&source.name)).unwrap_or_default();
        Ok((text(&about.default_source_name.unwrap_or_default()), monitor))
    }
}

impl ServerSource {
    /// Frames a second.
    pub(super) fn rate(&self) -> u32 {
        self.source.sample_spec.sample_rate
    }

    /// Lets it flow into the ring, as one channel. It ends when what is returned goes.
    pub(super) fn open(&self, mut inlet: Inlet) -> Result<RecordStream, String> {
        let sample_spec =
            SampleSpec { format: SampleFormat::Float32Le, channels: 1, sample_rate: self.rate() };
        let params = RecordStreamParams {
            sample_spec,
            channel_map: ChannelMap::mono(),
            source_index: Some(self.source.index),
            buffer_attr: BufferAttr {
                fragment_size: self.rate() * LATENCY_MS / 1000 * 4,
                ..BufferAttr::default()
            },
            // Not to be led elsewhere when the device goes: that it goes is to be told.
            flags: StreamFlags { adjust_latency: true, no_move: true, ..StreamFlags::default() },
            ..RecordStreamParams::default()
        };
        let sink = move |data: &[u8]| inlet.take_bytes(data);
        block_on(self.server.client.create_record_stream(params, sink)).map_err(failed)
    }
}

/// The handshake, which a server that hangs never ends, on a thread of its own.
fn connect() -> Result<Server, String> {
    let (sender, connected) = crossbeam_channel::bounded(1);
    let greet = move || sender.send(Client::from_env(c"Partita")).ok();
    let thread = thread::Builder::new().name("capture-connect".to_owned()).spawn(greet);
    thread.map_err(|error| format!("no thread: {error}"))?;
    match connected.recv_timeout(PATIENCE) {
        Ok(Ok(client)) => Ok(Server { client }),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the sound server does not answer".to_owned()),
    }
}

fn describe(source: &SourceInfo, about: &ServerInfo) -> DeviceInfo {
    let monitor = source.monitor_of_sink_name.as_ref();
    let default = about.default_source_name.as_ref() == Some(&source.name)
        || monitor.is_some() && monitor == about.default_sink_name.as_ref();
    DeviceInfo {
        id: text(&source.name),
        name: source.description.as_ref().map_or_else(|| text(&source.name), |name| text(name)),
        default,
        loopback: monitor.is_some(),
    }
}

fn text(name: &CStr) -> String {
    name.to_string_lossy().into_owned()
}

/// What went wrong; where the connection is at fault, the next call makes a new one.
fn failed(error: ClientError) -> String {
    if !matches!(error, ClientError::ServerError(_)) {
        CONNECTION.lock().unwrap_or_else(PoisonError::into_inner).server = None;
    }
    error.to_string()
}
