//! Processes that `mpirun` started.

use anyhow::{Context, Result, bail};
use candle_core::Tensor;
use mpi::Threading;
use mpi::collective::SystemOperation;
use mpi::datatype::PartitionMut;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives};

use super::Processes;

/// The processes of an MPI run. Sums are made in main memory, wherever the tensors are.
pub struct Mpi {
    world: SimpleCommunicator,
    rank: usize,
    size: usize,
    universe: Option<Universe>,
}

impl Mpi {
    /// Joins the run that this process belongs to; one that nobody started as part of a run is
    /// alone in it.
    ///
    /// # Errors
    /// When MPI cannot be used.
    pub fn join() -> Result<Self> {
        // Only the thread that trains talks to the others.
        let (universe, threads) = mpi::initialize_with_threading(Threading::Funneled)
            .context("MPI is in use in this process already")?;
        if threads < Threading::Funneled {
            bail!("this MPI library does not allow programs with threads");
        }
        let world = universe.world();
        let (rank, size) = (usize::try_from(world.rank())?, usize::try_from(world.size())?);
        Ok(Self { world, rank, size, universe: Some(universe) })
    }
}

impl Processes for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn gather(&self, message: &[u8]) -> Result<Vec<Vec<u8>>> {
        let own = i32::try_from(message.len()).context("too long a message for MPI")?;
        let mut lengths = vec![0_i32; self.size];
        self.world.all_gather_into(&own, &mut lengths[..]);
        let mut begins = Vec::with_capacity(self.size);
        let mut end = 0_i32;
        for length in &lengths {
            begins.push(end);
            end = end.checked_add(*length).context("too long messages for MPI")?;
        }
        let mut all = vec![0_u8; usize::try_from(end)?];
        let mut parts = PartitionMut::new(&mut all[..], &lengths[..], &begins[..]);
        self.world.all_gather_varcount_into(message, &mut parts);
        let mut rest = all.as_slice();
        let mut messages = Vec::with_capacity(self.size);
        for length in lengths {
            let (message, after) = rest.split_at(usize::try_from(length)?);
            messages.push(message.to_vec());
            rest = after;
        }
        Ok(messages)
    }

    fn sum(&self, tensor: &Tensor) -> Result<Tensor> {
        let own = tensor.flatten_all()?.to_vec1::<f32>()?;
        i32::try_from(own.len()).context("too large a tensor for MPI")?;
        let mut sum = vec![0.0_f32; own.len()];
        self.world.all_reduce_into(&own[..], &mut sum[..], SystemOperation::sum());
        Ok(Tensor::from_vec(sum, tensor.shape(), tensor.device())?)
    }

    fn end(&mut self) {
        self.universe.take();
    }
}

impl Drop for Mpi {
    fn drop(&mut self) {
        // Taking leave waits for the others, who may be waiting for what this process, which has
        // failed, will not say any more. Ending without it makes `mpirun` end all.
        std::mem::forget(self.universe.take());
    }
}
