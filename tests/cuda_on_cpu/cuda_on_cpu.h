// What a CUDA kernel expects of its compiler, for a C++ compiler on the CPU.
//
// It is included ahead of a kernel's file, which stays as it is. `scheduler.h` runs the threads;
// here are the words of the language, the operations of a warp, and what kernels/primitives.cuh
// says in PTX on the GPU. What a GPU has beyond this is left out: to use it does not compile.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "faults.h"
#include "scheduler.h"

#define CUDA_ON_CPU

// Words of CUDA

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__ __restrict
// __shared__ is missing: an array that is declared shared could not be poisoned. Kernels ask for
// `dynamic_shared` memory instead.

struct alignas(8) float2 {
  float x, y;
};

struct alignas(16) float4 {
  float x, y, z, w;
};

inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

using std::exp;
using std::fabs;
using std::fma;
using std::isnan;
using std::log;
using std::log1p;
using std::pow;
using std::sqrt;

template <class T>
inline T max(T a, T b) {
  return a < b ? b : a;
}

template <class T>
inline T min(T a, T b) {
  return b < a ? b : a;
}

// Barriers and operations of a warp

inline void __syncthreads() {
  cuda_on_cpu::wait(cuda_on_cpu::State::at_barrier, "__syncthreads");
}

namespace cuda_on_cpu {

inline unsigned lane() { return current->number % warp_size; }

inline void warp_barrier(const char *operation, unsigned mask = ~0u) {
  if (mask != ~0u) fail("%s of some lanes only, mask %#x: this is not supported", operation, mask);
  wait(State::at_warp_operation, operation);
}

// Each lane of a warp shows a value; what all of them show is the result, lane by lane.
template <class T>
const T *exchange(const char *operation, unsigned mask, const T &value) {
  static_assert(sizeof(T) == sizeof(Shown), "or lanes would not lie one after the other");
  Shown *shown = warps[current->number / warp_size].shown[current->operations++ % 2];
  std::memcpy(&shown[lane()], &value, sizeof value);
  warp_barrier(operation, mask);
  return reinterpret_cast<const T *>(shown);
}

template <class T>
T shuffle(const char *operation, unsigned mask, T value, unsigned source) {
  union Padded {
    T value;
    Shown shown;
  };
  return exchange(operation, mask, Padded{value})[source % warp_size].value;
}

}  // namespace cuda_on_cpu

inline void __syncwarp(unsigned mask = ~0u) { cuda_on_cpu::warp_barrier("__syncwarp", mask); }

template <class T>
T __shfl_sync(unsigned mask, T value, int source) {
  return cuda_on_cpu::shuffle("__shfl_sync", mask, value, source);
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits) {
  return cuda_on_cpu::shuffle("__shfl_xor_sync", mask, value, cuda_on_cpu::lane() ^ bits);
}

template <class T>
T __shfl_down_sync(unsigned mask, T value, int distance) {
  const unsigned lane = cuda_on_cpu::lane(), source = lane + distance;
  return cuda_on_cpu::shuffle("__shfl_down_sync", mask, value,
                              source < cuda_on_cpu::warp_size ? source : lane);
}

// The primitives, in place of kernels/primitives.cuh, which has this include guard

#define MINISPIRAL_PRIMITIVES_CUH

template <class T>
T *dynamic_shared() {
  return reinterpret_cast<T *>(cuda_on_cpu::shared_memory.begin());
}

namespace cuda_on_cpu {

// The copy happens as late as it may: when its group is waited for. Until then NaN is there.
template <std::size_t bytes>
void copy_later(void *to, const void *from, bool valid) {
  const auto misaligned = [](const void *p) { return reinterpret_cast<std::uintptr_t>(p) % bytes; };
  if (misaligned(to) || (valid && misaligned(from)))
    fail("cp.async of %zu bytes between misaligned addresses: to %p, from %p", bytes, to, from);
  std::memset(to, 0xFF, bytes);
  current->copies.push_back({to, valid ? from : nullptr, bytes});
}

inline void copy_now(const Copy &copy) {
  if (copy.from != nullptr)
    std::memcpy(copy.to, copy.from, copy.bytes);
  else
    std::memset(copy.to, 0, copy.bytes);
}

}  // namespace cuda_on_cpu

inline void cp_async16(void *to, const void *from, unsigned valid) {
  cuda_on_cpu::copy_later<16>(to, from, valid != 0);
}

inline void cp_async4(void *to, const void *from, bool valid) {
  cuda_on_cpu::copy_later<4>(to, from, valid);
}

inline void cp_async_commit() {
  cuda_on_cpu::current->groups.push_back(cuda_on_cpu::current->copies.size());
}

template <int pending>
void cp_async_wait() {
  auto &copies = cuda_on_cpu::current->copies;
  auto &groups = cuda_on_cpu::current->groups;
  if (groups.size() <= pending) return;
  const auto finished = groups.end() - pending;
  const std::size_t count = finished[-1];
  for (std::size_t i = 0; i < count; i++) cuda_on_cpu::copy_now(copies[i]);
  copies.erase(copies.begin(), copies.begin() + count);
  groups.erase(groups.begin(), finished);
  for (std::size_t &end : groups) end -= count;
}

inline int held(int x) { return x; }

inline std::uint32_t bits_of(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

inline float float_of(std::uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// To the nearest number with 10 bits of fraction, ties to even (cvt.rn.tf32.f32).
inline std::uint32_t to_tf32(float x) {
  const std::uint32_t bits = bits_of(x);
  const bool finite = (bits & 0x7F800000) != 0x7F800000;
  return finite ? (bits + 0xFFF + (bits >> 13 & 1)) & ~0x1FFFu : bits;
}

// Four matrices (8, 4) from shared memory, spread over the warp as the PTX manual has it: lane l has
// the number in row l / 4 and column l % 4 of each. Lane 8 k + i says where row i of matrix k is.
inline void load_matrices(float (&x)[4], const float *from) {
  using namespace cuda_on_cpu;
  if (reinterpret_cast<std::uintptr_t>(from) % 16)
    fail("ldmatrix of a row at a misaligned address: %p", static_cast<const void *>(from));
  struct Row {
    alignas(sizeof(Shown)) const float *numbers;
  };
  const Row *rows = exchange("ldmatrix", ~0u, Row{from});
  for (unsigned k = 0; k < 4; k++) x[k] = rows[8 * k + lane() / 4].numbers[lane() % 4];
}

// D (16, 8) += A (16, 8) B (8, 8), spread over a warp as the PTX manual has it. With g = lane / 4
// and q = lane % 4:
//
//     a[0] = A[g][q]   a[1] = A[g + 8][q]   a[2] = A[g][q + 4]   a[3] = A[g + 8][q + 4]
//     b[0] = B[q][g]   b[1] = B[q + 4][g]
//     d[0] = D[g][2q]  d[1] = D[g][2q + 1]  d[2] = D[g + 8][2q]  d[3] = D[g + 8][2q + 1]
//
// The low 13 bits of a and b are ignored. The sum is taken in double and rounded once.
inline void mma_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  using namespace cuda_on_cpu;
  struct Operands {
    float a[4], b[2], unused[2];
  };
  Operands own;
  for (int i = 0; i < 4; i++) own.a[i] = float_of(a[i] & ~0x1FFFu);
  for (int i = 0; i < 2; i++) own.b[i] = float_of(b[i] & ~0x1FFFu);
  const Operands *of_lane = exchange("mma", ~0u, own);
  const unsigned g = lane() / 4, q = lane() % 4;
  for (unsigned i = 0; i < 4; i++) {
    const unsigned row = g + i / 2 * 8, column = 2 * q + i % 2;
    double sum = d[i];
    for (unsigned k = 0; k < 8; k++) {
      const double left = of_lane[row % 8 * 4 + k % 4].a[row / 8 + k / 4 * 2];
      const double right = of_lane[column * 4 + k % 4].b[k / 4];
      sum += left * right;
    }
    d[i] = float(sum);
  }
}
