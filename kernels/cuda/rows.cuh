// How kernels that reduce over pixels share their work.
//
// An array of `m` rows and `c` channels, channels contiguous in memory, is covered by blocks of
// blockDim.x channels by blockDim.y rows. A thread stays with one channel and walks down the rows
// in steps of gridDim.y * blockDim.y. Every sum has a fixed order, which depends on the shape alone.

#ifndef MINISPIRAL_ROWS_CUH
#define MINISPIRAL_ROWS_CUH

#include "primitives.cuh"

__device__ inline int own_channel() { return blockIdx.x * blockDim.x + threadIdx.x; }
__device__ inline int first_row() { return blockIdx.y * blockDim.y + threadIdx.y; }
__device__ inline int row_step() { return gridDim.y * blockDim.y; }

// Merges what the threads of a channel have gathered, in a tree. The threads of row 0 get the right
// result. Needs blockDim.x * blockDim.y of Part in shared memory; blockDim.y is a power of two.
template <class Part>
__device__ Part merge_rows(Part own) {
  Part *parts = dynamic_shared<Part>();
  const int at = threadIdx.y * blockDim.x + threadIdx.x;
  parts[at] = own;
  __syncthreads();
  for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
    if (threadIdx.y < half) parts[at] = merge(parts[at], parts[at + half * blockDim.x]);
    __syncthreads();
  }
  return parts[threadIdx.x];
}

// The second of two passes: merges the parts (blocks, c) that the blocks of the first have left.
template <class Part>
__device__ Part merge_blocks(const Part *parts, int blocks, int c) {
  Part own = {};
  if (own_channel() < c)
    for (int i = threadIdx.y; i < blocks; i += blockDim.y)
      own = merge(own, parts[i * c + own_channel()]);
  return merge_rows(own);
}

#endif  // MINISPIRAL_ROWS_CUH
