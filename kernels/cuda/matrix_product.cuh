// The product of two matrices on the tensor cores: C (m, n) = A (m, k) B (k, n), in float.
//
// A block computes a tile of C. In each step it gathers a tile of A and one of B into shared
// memory, from wherever the kernel says; the copies for the next steps run while the tensor cores
// work on this one.
//
// A tensor core rounds its factors to 10 bits of fraction. Where that is too little (`precise`),
// each factor is split into two such numbers and three of the four products are taken; and since
// tensor cores truncate long sums, the sum of each step is added up outside of them.

#ifndef MINISPIRAL_MATRIX_PRODUCT_CUH
#define MINISPIRAL_MATRIX_PRODUCT_CUH

#include "moments.cuh"
#include "primitives.cuh"

// How a block divides its tile (m, n) of the result: into a tile (warp_m, warp_n) for each warp,
// made of products (16, 8). A step adds `k` terms of the sums; the tiles of `stages` steps are in
// shared memory. `narrow` tilings read and write number by number, since rows begin anywhere.
template <int m_, int n_, int warp_m_, int warp_n_, bool precise_, bool narrow_>
struct Tiling {
  static constexpr int m = m_, n = n_, k = 16, warp_m = warp_m_, warp_n = warp_n_;
  static constexpr int stages = 4, threads = m / warp_m * (n / warp_n) * 32;
  static constexpr bool precise = precise_, narrow = narrow_;
};

using Large = Tiling<128, 128, 64, 32, false, false>;
using Medium = Tiling<128, 64, 32, 32, false, false>;
using Precise = Tiling<128, 64, 32, 32, true, false>;
using NarrowMedium = Tiling<128, 64, 32, 32, false, true>;
using NarrowPrecise = Tiling<128, 64, 32, 32, true, true>;

// The same with the roles of m and n exchanged.
template <class T>
using Transposed = Tiling<T::n, T::m, T::warp_n, T::warp_m, T::precise, T::narrow>;

// Copies a chunk of four numbers, of which the first `count` exist; the others become 0.
template <class T>
__device__ void copy_chunk(float *to, const float *from, int count) {
  if (T::narrow) {
#pragma unroll
    for (int i = 0; i < 4; i++) cp_async4(to + i, i < count ? from + i : from, i < count);
  } else {
    cp_async16(to, from, count > 0);
  }
}

// Writes two neighbours, of which the first `count` exist.
template <class T>
__device__ void write_pair(float *to, float a, float b, int count) {
  if (T::narrow) {
    if (count > 0) to[0] = a;
    if (count > 1) to[1] = b;
  } else if (count > 0) {
    *reinterpret_cast<float2 *>(to) = make_float2(a, b);
  }
}

// A tile in shared memory of `rows` rows (of A, or columns of B) by `k` terms: the terms of a row
// or the rows of a term are contiguous, as they are in the source. The pitch is such that a warp
// that loads its registers for the tensor core hits each of the 32 banks once. Thread t copies the
// chunks t, t + 256 and so on, of four numbers each.
template <int rows, int k>
struct TermsTogether {
  static constexpr int pitch = k + 4, size = rows * pitch, chunks = rows * k / 4;
  __device__ static int at(int row, int term) { return row * pitch + term; }
  __device__ static int chunk_row(int chunk) { return chunk / (k / 4); }
  __device__ static int chunk_term(int chunk) { return chunk % (k / 4) * 4; }
};

template <int rows, int k>
struct RowsTogether {
  static constexpr int pitch = rows + 8, size = k * pitch, chunks = rows * k / 4;
  __device__ static int at(int row, int term) { return term * pitch + row; }
  __device__ static int chunk_row(int chunk) { return chunk % (rows / 4) * 4; }
  __device__ static int chunk_term(int chunk) { return chunk / (rows / 4); }
};

// This block's share of `steps` steps.
struct Share {
  int first, count;

  __device__ explicit Share(int steps) {
    const int each = (steps + gridDim.z - 1) / gridDim.z;
    first = min(int(blockIdx.z) * each, steps);
    count = min(each, steps - first);
  }
};

// A contiguous matrix with rows of `width` numbers; the tile has the columns from `first` on.
template <class T, class Tile>
struct Matrix {
  const float *numbers;
  int width, first;

  // The terms of the tile are the rows from `row` on, before `rows`.
  __device__ void load(float *tile, int row, int rows) const {
#pragma unroll
    for (int i = 0; i < Tile::chunks / T::threads; i++) {
      const int chunk = threadIdx.x + i * T::threads;
      const int term = Tile::chunk_term(chunk), column = Tile::chunk_row(chunk);
      const int count = row + term < rows ? width - first - column : 0;
      const float *from = numbers + (count > 0 ? (row + term) * width + first + column : 0);
      copy_chunk<T>(tile + Tile::at(column, term), from, count);
    }
  }
};

// A thread's numbers of its block's tile of the result: for each product (16, 8) of its warp, two
// neighbours in row g = lane / 4 and two in row g + 8.
template <class T>
struct Result {
  static constexpr int across = T::warp_m / 16, along = T::warp_n / 8;
  float sum[across][along][4] = {};

  __device__ static int warp_row() { return threadIdx.x / 32 % (T::m / T::warp_m) * T::warp_m; }
  __device__ static int warp_column() { return threadIdx.x / 32 / (T::m / T::warp_m) * T::warp_n; }

  __device__ static int own_column() { return threadIdx.x % 4 * 2; }  // of each product

  // Calls write(row, column, a, b) for each pair of neighbours a and b in a row.
  template <class Write>
  __device__ void for_each_pair(Write write) const {
    const int g = threadIdx.x % 32 / 4;
#pragma unroll
    for (int i = 0; i < across; i++)
#pragma unroll
      for (int half = 0; half < 2; half++)
#pragma unroll
        for (int j = 0; j < along; j++)
          write(warp_row() + 16 * i + 8 * half + g, warp_column() + 8 * j + own_column(),
                sum[i][j][2 * half], sum[i][j][2 * half + 1]);
  }

  // Replaces each x by change(column, x).
  template <class Change>
  __device__ void change(Change change) {
#pragma unroll
    for (int j = 0; j < along; j++)
#pragma unroll
      for (int r = 0; r < 4; r++)
#pragma unroll
        for (int i = 0; i < across; i++)
          sum[i][j][r] = change(warp_column() + 8 * j + own_column() + r % 2, sum[i][j][r]);
  }

  // The moments of each warp's columns, over those of its rows that are among the first `rows` of
  // the tile: tiles (T::m / T::warp_m, T::n).
  __device__ void moments_of_columns(int rows, TileMoments *tiles) const {
    const int count = rows_among(rows, warp_row(), T::warp_m);
    const int g = threadIdx.x % 32 / 4;
#pragma unroll
    for (int j = 0; j < along; j++)
#pragma unroll
      for (int k = 0; k < 2; k++) {
        const TileMoments own = moments_of_lanes<2 * across, 4>(
            count, [&](int i) { return sum[i / 2][j][i % 2 * 2 + k]; },
            [&](int i) { return 8 * i + g; });
        const int column = warp_column() + 8 * j + own_column() + k;
        if (g == 0) tiles[warp_row() / T::warp_m * T::n + column] = own;
      }
  }

  // Adds the product of two tiles.
  template <class A, class B>
  __device__ void add_product(const float *a_tile, const float *b_tile) {
    const int g = threadIdx.x % 32 / 4, q = threadIdx.x % 4;
    float step[across][along][4] = {};  // kept apart from `sum` in precise sums only
#pragma unroll
    for (int k = 0; k < T::k; k += 8) {
      unsigned a[across][4], b[along][2], a_rest[across][4], b_rest[along][2];
#pragma unroll
      for (int i = 0; i < across; i++)
#pragma unroll
        for (int r = 0; r < 4; r++) {
          const int row = warp_row() + 16 * i + g + r % 2 * 8, term = k + q + r / 2 * 4;
          split(a_tile[A::at(row, term)], a[i][r], a_rest[i][r]);
        }
#pragma unroll
      for (int j = 0; j < along; j++)
#pragma unroll
        for (int r = 0; r < 2; r++)
          split(b_tile[B::at(warp_column() + 8 * j + g, k + q + r * 4)], b[j][r], b_rest[j][r]);
#pragma unroll
      for (int i = 0; i < across; i++)
#pragma unroll
        for (int j = 0; j < along; j++) {
          if (T::precise) {
            mma_tf32(step[i][j], a_rest[i], b[j]);  // the small ones first
            mma_tf32(step[i][j], a[i], b_rest[j]);
            mma_tf32(step[i][j], a[i], b[j]);
          } else {
            mma_tf32(sum[i][j], a[i], b[j]);
          }
        }
    }
    if (T::precise) {
#pragma unroll
      for (int i = 0; i < across; i++)
#pragma unroll
        for (int j = 0; j < along; j++)
#pragma unroll
          for (int r = 0; r < 4; r++) sum[i][j][r] += step[i][j][r];
    }
  }

  // x as a number that a tensor core can hold and, for precise sums, the rest of it as another.
  __device__ static void split(float x, unsigned &number, unsigned &rest) {
    number = to_tf32(x);
    if (T::precise) rest = to_tf32(x - float_of(number));
  }
};

// Adds the products of `steps` pairs of tiles. `load` starts to copy the next pair each time.
template <class A, class B, class T, class Load>
__device__ void multiply(Result<T> &result, int steps, Load load) {
  constexpr int pair = A::size + B::size;
  float *memory = dynamic_shared<float>();
  const auto load_step = [&](int step) {
    if (step < steps) {
      float *tiles = memory + step % T::stages * pair;
      load(tiles, tiles + A::size);
    }
    cp_async_commit();  // also where nothing is left to copy, since groups are counted
  };
  for (int step = 0; step < T::stages - 1; step++) load_step(step);
  for (int step = 0; step < steps; step++) {
    cp_async_wait<T::stages - 2>();
    __syncthreads();  // all copies of this step have arrived, and the last step's are free
    load_step(step + T::stages - 1);
    const float *tiles = memory + step % T::stages * pair;
    result.template add_product<A, B>(tiles, tiles + A::size);
  }
}

#endif  // MINISPIRAL_MATRIX_PRODUCT_CUH
