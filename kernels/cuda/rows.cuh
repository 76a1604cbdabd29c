// How kernels that reduce over pixels share their work.
//
// An array of `m` rows and `c` channels, channels contiguous in memory, is covered by blocks of
// blockDim.x channels by blockDim.y rows. A thread stays with one channel and walks down the rows
// in steps of gridDim.y * blockDim.y. Every sum has a fixed order, which depends on the shape alone.

#ifndef MINISPIRAL_ROWS_CUH
#define MINISPIRAL_ROWS_CUH

#include "primitives.cuh"

__device__ inline int own_element() { return blockIdx.x * blockDim.x + threadIdx.x; }
__device__ inline int own_channel() { return blockIdx.x * blockDim.x + threadIdx.x; }
__device__ inline int first_row() { return blockIdx.y * blockDim.y + threadIdx.y; }
__device__ inline int row_step() { return gridDim.y * blockDim.y; }

constexpr int batch = 4;  // BATCH in rows.py

// Calls use(i, load(i)) for i = first, first + step, .. below `stop`, in this order. The numbers of
// `size` calls are on their way from memory together.
template <int size, class Load, class Use>
__device__ void in_batches(int first, int stop, int step, Load load, Use use) {
  for (int start = first; start < stop; start += size * step) {
    decltype(load(0)) loaded[size] = {};
#pragma unroll
    for (int j = 0; j < size; j++)
      if (start + j * step < stop) loaded[j] = load(start + j * step);
#pragma unroll
    for (int j = 0; j < size; j++)
      if (start + j * step < stop) use(start + j * step, loaded[j]);
  }
}

// Numbers that lie side by side in memory, aligned to all of their bytes, to be read and written at
// once.
template <class T, int n>
struct alignas(n * sizeof(T)) Adjacent {
  T numbers[n];

  __device__ T &operator[](int i) { return numbers[i]; }
  __device__ T operator[](int i) const { return numbers[i]; }
};

template <class Numbers, class T>
__device__ Numbers load(const T *from) {
  return *reinterpret_cast<const Numbers *>(from);
}

template <class T, class Numbers>
__device__ void store(T *to, const Numbers &numbers) {
  *reinterpret_cast<Numbers *>(to) = numbers;
}

// Merges what the threads of a channel have gathered, in a tree; all of them get the result. Needs
// blockDim.x * blockDim.y of Part in shared memory; blockDim.y is a power of two.
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

// The second of two passes: merges what see(part) makes of the parts (blocks, c) of the first, those
// of own_channel(). All threads call it, and those of a channel get the result.
template <class Part, class See>
__device__ auto merge_seen(const Part *__restrict__ parts, int blocks, int c, See see) {
  decltype(see(Part{})) own = {};
  if (own_channel() < c)
    in_batches<batch>(
        threadIdx.y, blocks, blockDim.y, [&](int i) { return parts[i * c + own_channel()]; },
        [&](int, const Part &part) { own = merge(own, see(part)); });
  return merge_rows(own);
}

// The same for parts as they are.
template <class Part>
__device__ Part merge_blocks(const Part *parts, int blocks, int c) {
  return merge_seen(parts, blocks, c, [](const Part &part) { return part; });
}

#endif  // MINISPIRAL_ROWS_CUH
