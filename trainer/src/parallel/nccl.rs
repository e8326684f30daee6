//! NVIDIA cards, one a process, through NCCL.
//!
//! The launcher says who is who in the environment: `mpirun` (`OMPI_COMM_WORLD_RANK`, `…_SIZE`) or
//! `torchrun` and its like (`RANK`, `WORLD_SIZE`). The first process hands NCCL's name for the run
//! to the others over TCP, at `MASTER_ADDR` and `MASTER_PORT`.

use std::env;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use candle_core::cuda_backend::cudarc::nccl::result::NcclError;
use candle_core::cuda_backend::cudarc::nccl::{Comm, Id, ReduceOp};
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, Device, Storage, Tensor};

use super::Processes;

/// Bytes of the name of a run.
const NAME: usize = 128;
/// Where the first process waits for the others unless the environment says so.
const ADDRESS: &str = "127.0.0.1";
const PORT: &str = "29511";
/// How long processes wait for each other.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(100);

/// The processes of an NCCL run. Everything goes from card to card.
pub struct Nccl {
    comm: Comm,
    device: CudaDevice,
}

impl Nccl {
    /// Joins the run that this process belongs to, with its card.
    ///
    /// # Errors
    /// When `device` is no NVIDIA card, the environment does not say which process this is, or the
    /// others do not come within two minutes.
    pub fn join(device: &Device) -> Result<Self> {
        let Device::Cuda(device) = device else { bail!("--parallel nccl needs --device cuda") };
        let rank = number(["RANK", "OMPI_COMM_WORLD_RANK"])?;
        let size = number(["WORLD_SIZE", "OMPI_COMM_WORLD_SIZE"])?;
        if rank >= size {
            bail!("process {rank} of {size}: the launcher's environment makes no sense");
        }
        let variable = |name, value: &str| env::var(name).unwrap_or_else(|_| value.to_owned());
        let address =
            format!("{}:{}", variable("MASTER_ADDR", ADDRESS), variable("MASTER_PORT", PORT));
        let name = match rank {
            0 => hand_out(&address, size - 1),
            _ => fetch(&address),
        };
        let name = name.with_context(|| format!("processes meet at {address}"))?;
        let id = Id::uninit(name.map(|byte| std::ffi::c_char::from_ne_bytes([byte])));
        let comm = Comm::from_rank(device.cuda_stream(), rank, size, id).map_err(failed)?;
        Ok(Self { comm, device: device.clone() })
    }
}

fn failed(error: NcclError) -> anyhow::Error {
    anyhow::anyhow!("NCCL: {:?}", error.0)
}

fn number(names: [&str; 2]) -> Result<usize> {
    let found = names.into_iter().find_map(|name| Some((name, env::var(name).ok()?)));
    let (name, value) = found.with_context(|| {
        format!(
            "neither {} is set: start the processes with mpirun or torchrun",
            names.join(" nor ")
        )
    })?;
    value.parse().with_context(|| format!("{name}={value}: not a number"))
}

/// Makes the name of a run and gives it to so many others.
fn hand_out(address: &str, others: usize) -> Result<[u8; NAME]> {
    let id = Id::new().map_err(failed)?;
    let name = id.internal().map(|byte| byte.to_ne_bytes()[0]);
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let (begun, mut given) = (Instant::now(), 0);
    while given < others {
        match listener.accept() {
            Ok((mut other, _)) => {
                other.set_nonblocking(false)?;
                other.write_all(&name)?;
                given += 1;
            }
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => {
                return Err(error.into());
            }
            Err(_) if begun.elapsed() > PATIENCE => {
                bail!("{given} of {others} other processes came")
            }
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
    Ok(name)
}

fn fetch(address: &str) -> Result<[u8; NAME]> {
    let begun = Instant::now();
    loop {
        match TcpStream::connect(address) {
            Ok(mut first) => {
                first.set_read_timeout(Some(PATIENCE))?;
                let mut name = [0; NAME];
                first.read_exact(&mut name)?;
                return Ok(name);
            }
            // The first process may not be there yet.
            Err(error) if begun.elapsed() > PATIENCE => return Err(error.into()),
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

impl Processes for Nccl {
    fn rank(&self) -> usize {
        self.comm.rank()
    }

    fn size(&self) -> usize {
        self.comm.world_size()
    }

    fn gather(&self, message: &[u8]) -> Result<Vec<Vec<u8>>> {
        let own = self.device.clone_htod(&[message.len() as u64])?;
        let mut lengths = self.device.alloc_zeros::<u64>(self.size())?;
        self.comm.all_gather(&own, &mut lengths).map_err(failed)?;
        let lengths = self.device.clone_dtoh(&lengths)?;
        // All send as much as the longest message has.
        let longest = usize::try_from(lengths.iter().copied().max().unwrap_or(0))?;
        let mut padded = message.to_vec();
        padded.resize(longest, 0);
        let own = self.device.clone_htod(&padded)?;
        let mut all = self.device.alloc_zeros::<u8>(longest * self.size())?;
        self.comm.all_gather(&own, &mut all).map_err(failed)?;
        let all = self.device.clone_dtoh(&all)?;
        let messages = all.chunks(longest.max(1)).zip(lengths);
        let cut = |(padded, length): (&[u8], u64)| {
            Some(padded.get(..usize::try_from(length).ok()?)?.to_vec())
        };
        messages.map(|message| cut(message).context("a message that is cut off")).collect()
    }

    fn sum(&self, tensor: &Tensor) -> Result<Tensor> {
        let tensor = tensor.contiguous()?;
        let sum = {
            let (storage, layout) = tensor.storage_and_layout();
            let (Storage::Cuda(storage), Some((start, end))) =
                (&*storage, layout.contiguous_offsets())
            else {
                bail!("a gradient that is not on a card");
            };
            let values = storage.as_cuda_slice::<f32>()?;
            let own = values.try_slice(start..end).context("a gradient behind its memory")?;
            let mut sum = self.device.alloc_zeros::<f32>(end - start)?;
            self.comm.all_reduce(&own, &mut sum, &ReduceOp::Sum).map_err(failed)?;
            sum
        };
        let storage = Storage::Cuda(CudaStorage::wrap_cuda_slice(sum, self.device.clone()));
        Ok(Tensor::from_storage(storage, tensor.shape(), BackpropOp::none(), false))
    }
}
