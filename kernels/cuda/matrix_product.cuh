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

#include "grad_sums.cuh"
#include "moments.cuh"
#include "primitives.cuh"

// How a block divides its tile (m, n) of the result: into a tile (warp_m, warp_n) for each warp,
// made of products (16, 8). A step adds `k` terms of the sums; the tiles of `stages` steps are in
// shared memory. `narrow` tilings read and write number by number, since rows begin anywhere.
//
// The larger a warp's tile, the fewer numbers it loads for each product. Its sums fill most of the
// registers that a thread can have, so an SM has 8 warps.
template <int m_, int n_, int warp_m_, int warp_n_, bool precise_, bool narrow_>
struct Tiling {
  static constexpr int m = m_, n = n_, k = 16, warp_m = warp_m_, warp_n = warp_n_;
  static constexpr int stages = 4, threads = m / warp_m * (n / warp_n) * 32;
  static constexpr int blocks = 256 / threads;  // of an SM
  static constexpr bool precise = precise_, narrow = narrow_;
};

using Large = Tiling<256, 128, 64, 64, false, false>;
using Tall = Tiling<256, 64, 64, 64, false, false>;
using Small = Tiling<128, 64, 64, 32, false, false>;
using Precise = Tiling<128, 64, 64, 32, true, false>;
using NarrowSmall = Tiling<128, 64, 64, 32, false, true>;
using NarrowPrecise = Tiling<128, 64, 64, 32, true, true>;

// Copies a chunk of four numbers, of which the first `count` exist, or none where `valid` is 0; the
// others become 0. Where rows begin at multiples of four, all four exist.
template <class T>
__device__ void copy_chunk(float *to, const float *from, unsigned valid, int count) {
  if (T::narrow) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const bool exists = valid && i < count;
      cp_async4(to + i, exists ? from + i : from, exists);
    }
  } else {
    cp_async16(to, from, valid);
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

// Tiles in shared memory of `rows` rows (of A, or columns of B) by 16 terms, in chunks of four
// numbers that are contiguous in the source: terms of a row, or rows of a term. Chunk c lies at 4 c,
// and thread t copies the chunks t, t + threads and so on. They are in such an order that what a
// warp reads at once hits each bank once.
//
// Left and Right load the registers of a warp for the product (16, 8) of 16 rows and 8 columns, from
// `first` on, and 8 terms from k on. A lane, with g = lane / 4, has two rows of the 16, left_row(0)
// and left_row(1), and column g. What a lane's addresses have in common is computed once.

template <int rows>
struct TermsTogether {
  static constexpr int chunks = rows * 4, size = 4 * chunks;
  __device__ static int chunk_row(int chunk) { return chunk / 4; }
  __device__ static int chunk_term(int chunk) { return (chunk % 4 ^ chunk / 8 % 4) * 4; }
  __device__ static int left_row(int half) { return threadIdx.x % 32 / 4 + 8 * half; }

  // Where the chunk of a row and some terms lies.
  __device__ static int at(int row, int term) { return 4 * (row * 4 + (term / 4 ^ row / 2 % 4)); }

  struct Left {
    int own[2];  // for k of 0 and 8

    __device__ explicit Left(int first) {
      const int lane = threadIdx.x % 32, row = first + lane % 16, term = lane / 16 * 4;
      own[0] = held(at(row, term));
      own[1] = held(at(row, term + 8));
    }

    template <int count>
    __device__ void read(const float *tile, int k, float (&a)[count][4]) const {
      const float *from = tile + own[k / 8];
#pragma unroll
      for (int i = 0; i < count; i++) load_matrices(a[i], from + 16 * 16 * i);
    }
  };

  struct Right {
    int own[2];

    __device__ explicit Right(int first) {
      const int lane = threadIdx.x % 32;
      const int row = first + lane / 16 * 8 + lane % 8, term = lane / 8 % 2 * 4;
      own[0] = held(at(row, term));
      own[1] = held(at(row, term + 8));
    }

    template <int count>
    __device__ void read(const float *tile, int k, float (&b)[count][2]) const {
      const float *from = tile + own[k / 8];
#pragma unroll
      for (int j = 0; j < count; j += 2) {
        float two[4];
        load_matrices(two, from + 8 * 16 * j);
        b[j][0] = two[0];
        b[j][1] = two[1];
        b[j + 1][0] = two[2];
        b[j + 1][1] = two[3];
      }
    }
  };
};

template <int rows>
struct RowsTogether {
  static constexpr int chunks = rows * 4, size = 4 * chunks, of_term = rows / 4;
  __device__ static int chunk_row(int chunk) {
    return (chunk % of_term ^ chunk / of_term % 4 * 2) * 4;
  }
  __device__ static int chunk_term(int chunk) { return chunk / of_term; }
  __device__ static int left_row(int half) { return threadIdx.x % 32 / 4 * 2 + half; }

  // Where the number of a row lies, for the term q = lane % 4.
  __device__ static int at(int row) {
    const int q = threadIdx.x % 4;
    return q * rows + (row / 4 ^ 2 * q) * 4 + row % 4;
  }

  struct Left {
    int own[2];  // for even and odd products

    __device__ explicit Left(int first) {
      own[0] = held(at(first + left_row(0)));
      own[1] = held(at(first + left_row(0) + 16));
    }

    template <int count>
    __device__ void read(const float *tile, int k, float (&a)[count][4]) const {
#pragma unroll
      for (int i = 0; i < count; i++)
#pragma unroll
        for (int r = 0; r < 4; r += 2) {
          const float *from = tile + own[i % 2] + (i / 2 * 32 + (k + 2 * r) * rows);
          const float2 two = *reinterpret_cast<const float2 *>(from);
          a[i][r] = two.x;
          a[i][r + 1] = two.y;
        }
    }
  };

  struct Right {
    int own[4];  // for products modulo 4

    __device__ explicit Right(int first) {
#pragma unroll
      for (int j = 0; j < 4; j++) own[j] = held(at(first + threadIdx.x % 32 / 4 + 8 * j));
    }

    template <int count>
    __device__ void read(const float *tile, int k, float (&b)[count][2]) const {
#pragma unroll
      for (int j = 0; j < count; j++)
#pragma unroll
        for (int r = 0; r < 2; r++)
          b[j][r] = (tile + own[j % 4])[j / 4 * 32 + (k + 4 * r) * rows];
    }
  };
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
template <class T>
struct Matrix {
  using Tile = RowsTogether<T::n>;
  static constexpr int own = Tile::chunks / T::threads;

  const float *numbers;
  int width, left;  // columns from this thread's chunk on
  int term[own], offset[own];

  __device__ Matrix(const float *numbers, int width, int first) : numbers(numbers), width(width) {
    static_assert(T::threads / Tile::of_term % 4 == 0, "or chunks would have different columns");
    const int column = first + Tile::chunk_row(threadIdx.x);
    left = width - column;
#pragma unroll
    for (int n = 0; n < own; n++) {
      const int row = Tile::chunk_term(threadIdx.x + n * T::threads);
      term[n] = left > 0 ? row : 1 << 30;  // which no row is
      offset[n] = held(row * width + column);
    }
  }

  // The terms of the tile are the rows from `row` on, before `rows`.
  __device__ void load(float *tile, int row, int rows) const {
#pragma unroll
    for (int n = 0; n < own; n++)
      copy_chunk<T>(tile + 4 * threadIdx.x + 4 * T::threads * n,
                    numbers + (row * width + offset[n]), term[n] < rows - row, left);
  }
};

// A thread's numbers of its block's tile of the result: for each product (16, 8) of its warp, two
// neighbours in each of two rows. A and B are the kinds of tiles of the factors.
template <class T, class A, class B>
struct Result {
  static constexpr int across = T::warp_m / 16, along = T::warp_n / 8;
  float sum[across][along][4] = {};
  const typename A::Left left{warp_row()};
  const typename B::Right right{warp_column()};

  __device__ static int warp_row() { return threadIdx.x / 32 % (T::m / T::warp_m) * T::warp_m; }
  __device__ static int warp_column() { return threadIdx.x / 32 / (T::m / T::warp_m) * T::warp_n; }

  __device__ static int own_column() { return threadIdx.x % 4 * 2; }  // of each product

  // Rows of this thread, and the i-th of them.
  static constexpr int own_rows = 2 * across;
  __device__ static int own_row(int i) { return warp_row() + i / 2 * 16 + A::left_row(i % 2); }

  // Calls write(i, column, a, b) for each pair of neighbours a and b in the i-th row of this thread.
  template <class Write>
  __device__ void for_each_pair(Write write) const {
#pragma unroll
    for (int i = 0; i < across; i++)
#pragma unroll
      for (int half = 0; half < 2; half++)
#pragma unroll
        for (int j = 0; j < along; j++)
          write(2 * i + half, warp_column() + 8 * j + own_column(), sum[i][j][2 * half],
                sum[i][j][2 * half + 1]);
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
            [&](int i) { return own_row(i) - warp_row(); });
        const int column = warp_column() + 8 * j + own_column() + k;
        if (g == 0) tiles[warp_row() / T::warp_m * T::n + column] = own;
      }
  }

  // The sums of each warp's columns for the gradient of batch norm: tiles as above. `norm` knows what
  // the batch norm has read: norm.read(i, column) are two neighbours of the i-th row of this thread,
  // norm.of(column) what add(i, gradient, x, sums) needs to add one of them to the sums of a column.
  template <class Norm>
  __device__ void grad_sums_of_columns(TileGradSums *tiles, const Norm &norm) const {
#pragma unroll
    for (int j = 0; j < along; j++) {
      const int column = warp_column() + 8 * j + own_column();
      const auto first = norm.of(column), second = norm.of(column + 1);
      float2 x[own_rows];  // all are read before the first is needed
#pragma unroll
      for (int i = 0; i < own_rows; i++) x[i] = norm.read(i, column);
      TileGradSums own[2];
#pragma unroll
      for (int i = 0; i < own_rows; i++) {
        first.add(i, sum[i / 2][j][i % 2 * 2], x[i].x, own[0]);
        second.add(i, sum[i / 2][j][i % 2 * 2 + 1], x[i].y, own[1]);
      }
#pragma unroll
      for (int k = 0; k < 2; k++) {
        own[k].g = sum_of_lanes<4>(own[k].g);
        own[k].g_centred = sum_of_lanes<4>(own[k].g_centred);
        if (threadIdx.x % 32 < 4) tiles[warp_row() / T::warp_m * T::n + column + k] = own[k];
      }
      __syncwarp();  // or the compiler reads more columns ahead than there are registers for
    }
  }

  // Adds the product of two tiles, whose numbers `change` may change on the way.
  template <class Change>
  __device__ void add_product(const float *a_tile, const float *b_tile, const Change &change) {
    float step[across][along][4] = {};  // kept apart from `sum` in precise sums only
#pragma unroll
    for (int k = 0; k < T::k; k += 8) {
      float a[across][4], b[along][2];
      left.read(a_tile, k, a);
      right.read(b_tile, k, b);
      change.left(k, a);
      change.right(k, b);
      unsigned a_number[across][4], b_number[along][2];
      round(a, a_number);
      round(b, b_number);
      if (!T::precise) {
        multiply_add(a_number, b_number, sum);
        continue;
      }
      unsigned a_rest[across][4], b_rest[along][2];
      rest(a, a_number, a_rest);
      rest(b, b_number, b_rest);
      multiply_add(a_rest, b_number, step);  // the small ones first
      multiply_add(a_number, b_rest, step);
      multiply_add(a_number, b_number, step);
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

  __device__ static void multiply_add(const unsigned (&a)[across][4], const unsigned (&b)[along][2],
                                      float (&sum)[across][along][4]) {
#pragma unroll
    for (int i = 0; i < across; i++)
#pragma unroll
      for (int j = 0; j < along; j++) mma_tf32(sum[i][j], a[i], b[j]);
  }

  // To numbers that a tensor core can hold.
  template <int count, int size>
  __device__ static void round(const float (&x)[count][size], unsigned (&number)[count][size]) {
#pragma unroll
    for (int i = 0; i < count; i++)
#pragma unroll
      for (int r = 0; r < size; r++) number[i][r] = to_tf32(x[i][r]);
  }

  // What this has left of each, up to 12 bits, of which a tensor core ignores the last; rounding
  // would change it by as much.
  template <int count, int size>
  __device__ static void rest(const float (&x)[count][size], const unsigned (&number)[count][size],
                              unsigned (&rest)[count][size]) {
#pragma unroll
    for (int i = 0; i < count; i++)
#pragma unroll
      for (int r = 0; r < size; r++) rest[i][r] = bits_of(x[i][r] - float_of(number[i][r]));
  }
};

// Adds the products of `steps` pairs of tiles. `load` starts to copy the next pair each time;
// `change` is told of each step, and then changes its numbers on the way to the tensor cores.
template <class T, class A, class B, class Load, class Change>
__device__ void multiply(Result<T, A, B> &result, int steps, Load load, Change change) {
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
    change.next_step();
    cp_async_wait<T::stages - 2>();
    __syncthreads();  // all copies of this step have arrived, and the last step's are free
    load_step(step + T::stages - 1);
    const float *tiles = memory + step % T::stages * pair;
    result.add_product(tiles, tiles + A::size, change);
  }
}

#endif  // MINISPIRAL_MATRIX_PRODUCT_CUH
