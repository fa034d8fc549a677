//! Chunks whose memory is used again.

use std::{
    mem,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, PoisonError},
};

use crate::csv::Chunk;

/// Free chunks, shared by the connections that fill them and the consumer that empties them.
#[derive(Debug, Clone, Default)]
pub(crate) struct ChunkPool(Arc<Mutex<Vec<Chunk>>>);

/// A chunk that goes back to its pool when it is dropped.
#[derive(Debug)]
pub struct PooledChunk {
    chunk: Chunk,
    pool: ChunkPool,
}

impl ChunkPool {
    /// Takes an empty chunk, or makes one.
    pub(crate) fn take(&self) -> PooledChunk {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        PooledChunk { chunk: free.unwrap_or_else(Chunk::new), pool: self.clone() }
    }
}

impl Deref for PooledChunk {
    type Target = Chunk;

    fn deref(&self) -> &Chunk {
        &self.chunk
    }
}

impl DerefMut for PooledChunk {
    fn deref_mut(&mut self) -> &mut Chunk {
        &mut self.chunk
    }
}

impl Drop for PooledChunk {
    fn drop(&mut self) {
        let mut chunk = mem::replace(&mut self.chunk, Chunk::without_memory());
        chunk.clear();
        self.pool.0.lock().unwrap_or_else(PoisonError::into_inner).push(chunk);
    }
}
