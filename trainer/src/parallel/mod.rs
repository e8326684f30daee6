//! Training by several processes, each on its share of the micro-batches of every step.
//!
//! All processes do the same: they read the same recipe, hold the same parameters and walk through
//! the same order of micro-batches, but compute only their own. Gradients, tokens and losses are
//! summed over all before the optimiser's step, so parameters stay the same everywhere, and `n`
//! processes that accumulate `k` micro-batches make the steps of one that accumulates `n · k`. The
//! first process alone measures and writes.
//!
//! Whatever one of them finds out alone (a failure, the clock, an evaluation) goes through
//! [`exchange`], so that all of them take the same way from there.
//!
//! ```text
//! mpirun -n 2 --bind-to none partita-train train part.toml --parallel mpi
//! ```

mod alone;
#[cfg(feature = "mpi")]
mod mpi;
#[cfg(feature = "nccl")]
mod nccl;

use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor};
use clap::ValueEnum;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use alone::Alone;

/// Processes that train together. Each method is called by all of them, in the same order.
pub trait Processes {
    /// Which one this is, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn size(&self) -> usize;

    /// What each of them says, in the order of ranks.
    ///
    /// # Errors
    /// When another one cannot be reached.
    fn gather(&self, message: &[u8]) -> Result<Vec<Vec<u8>>>;

    /// The sum of an f32 tensor over all of them, the same to the bit for each. The tensors have
    /// the same shape.
    ///
    /// # Errors
    /// When another one cannot be reached, or a device fails.
    fn sum(&self, tensor: &Tensor) -> Result<Tensor>;

    /// Takes leave of the others when the work is done. After an error it is not called: a process
    /// that ends without it makes the launcher end all.
    fn end(&mut self) {}
}

/// What processes talk through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// MPI, started by `mpirun`; sums in main memory.
    Mpi,
    /// NCCL, between NVIDIA cards; started by `mpirun` or `torchrun`.
    Nccl,
}

/// Joins the other processes, if this is to be one of several, and opens the device. `cuda`
/// without a number is the card of the process's place on its machine.
///
/// # Errors
/// When the program was built without the engine, the others cannot be reached, or there is no
/// such device.
pub fn join(engine: Option<Engine>, device: &str) -> Result<(Box<dyn Processes>, Device)> {
    let place = |name: &str| std::env::var(name).ok()?.parse::<usize>().ok();
    let card = place("LOCAL_RANK").or_else(|| place("OMPI_COMM_WORLD_LOCAL_RANK"));
    let device = match (engine, device, card) {
        (Some(_), "cuda", Some(card)) => format!("cuda:{card}"),
        _ => device.to_owned(),
    };
    let device = partita_model::device::named(&device)?;
    let processes: Box<dyn Processes> = match engine {
        None => Box::new(Alone),
        #[cfg(feature = "mpi")]
        Some(Engine::Mpi) => Box::new(mpi::Mpi::join()?),
        #[cfg(feature = "nccl")]
        Some(Engine::Nccl) => Box::new(nccl::Nccl::join(&device)?),
        #[cfg(not(all(feature = "mpi", feature = "nccl")))]
        Some(engine) => {
            let name = engine.to_possible_value().context("an engine without a name")?;
            let name = name.get_name();
            bail!(
                "--parallel {name}: this program was built without it; build it with \
                 `cargo build --release --workspace --features partita-train/{name}`"
            )
        }
    };
    Ok((processes, device))
}

/// What every process has to say, in the order of ranks. The error of one is an error of all: its
/// own for the process that has it, and its text for the others.
///
/// # Errors
/// Those of any process; when another one cannot be reached.
pub fn exchange<T>(processes: &dyn Processes, own: Result<T>) -> Result<Vec<T>>
where
    T: Serialize + DeserializeOwned,
{
    if processes.size() == 1 {
        return Ok(vec![own?]);
    }
    let said = own.as_ref().map_err(|error| format!("{error:#}"));
    let all = processes.gather(&serde_json::to_vec(&said)?)?;
    own?;
    let understood = all.iter().enumerate().map(|(rank, message)| {
        let said: Result<T, String> = serde_json::from_slice(message)
            .with_context(|| format!("process {rank} says something unexpected"))?;
        said.map_err(|error| anyhow::anyhow!("process {rank}: {error}"))
    });
    understood.collect()
}

/// A result that counts only if all processes have one.
///
/// # Errors
/// As [`exchange`].
pub fn together<T>(processes: &dyn Processes, own: Result<T>) -> Result<T> {
    let (own, said) = match own {
        Ok(value) => (Some(value), Ok(())),
        Err(error) => (None, Err(error)),
    };
    exchange(processes, said)?;
    own.context("a failure that nobody was told")
}

/// A number that is the same to the bit for who is told it, and may be none (JSON knows no NaN).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Exact(u64);

impl From<f64> for Exact {
    fn from(value: f64) -> Self {
        Self(value.to_bits())
    }
}

impl From<Exact> for f64 {
    fn from(value: Exact) -> Self {
        Self::from_bits(value.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of two processes, where the other one says always the same.
    struct Pair(Vec<u8>);

    impl Processes for Pair {
        fn rank(&self) -> usize {
            0
        }
        fn size(&self) -> usize {
            2
        }
        fn gather(&self, message: &[u8]) -> Result<Vec<Vec<u8>>> {
            Ok(vec![message.to_vec(), self.0.clone()])
        }
        fn sum(&self, tensor: &Tensor) -> Result<Tensor> {
            Ok((tensor * 2.0)?)
        }
    }

    #[test]
    fn the_error_of_one_is_an_error_of_all() {
        let pair = Pair(br#"{"Ok":7}"#.to_vec());
        assert_eq!(exchange(&pair, Ok(3)).unwrap(), [3, 7]);
        let own = exchange::<u32>(&pair, Err(anyhow::anyhow!("mine"))).unwrap_err();
        assert_eq!(own.to_string(), "mine");
        let pair = Pair(br#"{"Err":"a disk is full"}"#.to_vec());
        let others = exchange(&pair, Ok(3)).unwrap_err();
        assert_eq!(others.to_string(), "process 1: a disk is full");
        assert!(together(&pair, Ok("kept")).is_err());
        let error = exchange(&Pair(b"nonsense".to_vec()), Ok(3)).unwrap_err();
        assert!(error.to_string().contains("process 1 says something unexpected"), "{error}");
    }

    #[test]
    fn alone_nothing_is_said() {
        assert_eq!(exchange(&Alone, Ok(f64::INFINITY)).unwrap(), [f64::INFINITY]);
        assert_eq!(
            together(&Alone, Err::<(), _>(anyhow::anyhow!("x"))).unwrap_err().to_string(),
            "x"
        );
    }

    #[test]
    fn numbers_arrive_as_they_are() {
        for value in [0.1 + 0.2, -0.0, f64::NAN, f64::NEG_INFINITY, f64::MIN_POSITIVE / 8.0] {
            let text = serde_json::to_string(&Exact::from(value)).unwrap();
            let back = f64::from(serde_json::from_str::<Exact>(&text).unwrap());
            assert_eq!(back.to_bits(), value.to_bits());
        }
    }
}
