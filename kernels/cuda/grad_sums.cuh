// The sums over the rows that the gradient of batch norm and ReLU begins with.

#ifndef MINISPIRAL_GRAD_SUMS_CUH
#define MINISPIRAL_GRAD_SUMS_CUH

// Of g, which is gy where the ReLU lets it pass, and of g * (x - mean).
struct GradSums {
  double g, g_centred;
};

__device__ inline GradSums merge(GradSums a, GradSums b) {
  return {a.g + b.g, a.g_centred + b.g_centred};
}

// The same of a few dozen values in the registers of a warp, in float.
struct TileGradSums {
  float g = 0, g_centred = 0;

  __device__ void add(float gradient, float centred) {
    g += gradient;
    g_centred += gradient * centred;
  }
};

// Merges the tiles (warps, columns) of a block, in shared memory, to the sums (channels,). All
// threads call it.
__device__ inline void merge_tiles(const TileGradSums *tiles, int warps, int columns, int channels,
                                   GradSums *result) {
  __syncthreads();
  const int column = threadIdx.x;
  if (column >= columns || column >= channels) return;
  GradSums all = {};
  for (int i = 0; i < warps; i++) {
    const TileGradSums tile = tiles[i * columns + column];
    all = merge(all, {tile.g, tile.g_centred});
  }
  result[column] = all;
}

#endif  // MINISPIRAL_GRAD_SUMS_CUH
