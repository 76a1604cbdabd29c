// What the kernels need of the GPU beyond CUDA C: shared memory whose size the launch gives, copies
// to it in the background, and the tensor cores. PTX, so that no header of CUDA is included.
//
// Tests replace this file, by its include guard, with the same functions for the CPU.

#ifndef MINISPIRAL_PRIMITIVES_CUH
#define MINISPIRAL_PRIMITIVES_CUH

// The shared memory of the block, as many bytes as the launch asked for, aligned to 16.
template <class T>
__device__ __forceinline__ T *dynamic_shared() {
  extern __shared__ __align__(16) unsigned char memory[];
  return reinterpret_cast<T *>(memory);
}

// x, which the compiler keeps in a register from here on: it may not compute it again.
__device__ __forceinline__ int held(int x) {
  asm volatile("" : "+r"(x));
  return x;
}

#if __CUDA_ARCH__ >= 800  // the rest needs an Ampere GPU or a later one

// Copies 16 (or 4) bytes from global to shared memory in the background, or zeros where `valid` is
// 0, and then reads nothing. Both addresses are multiples of 16 (or 4). The copy belongs to the
// group that the next cp_async_commit of this thread closes.
__device__ __forceinline__ void cp_async16(void *to, const void *from, unsigned valid) {
  asm volatile(
      "{ .reg .pred none; setp.eq.u32 none, %2, 0;"
      " cp.async.cg.shared.global [%0], [%1], 16, none; }" ::"r"(
                   static_cast<unsigned>(__cvta_generic_to_shared(to))),
               "l"(from), "r"(valid)
               : "memory");
}

__device__ __forceinline__ void cp_async4(void *to, const void *from, bool valid) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(
                   static_cast<unsigned>(__cvta_generic_to_shared(to))),
               "l"(from), "r"(valid ? 4 : 0)
               : "memory");
}

__device__ __forceinline__ void cp_async_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

// Waits until all groups of this thread but the last `pending` ones have arrived. Other threads see
// them after the next barrier.
template <int pending>
__device__ __forceinline__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

__device__ __forceinline__ unsigned bits_of(float x) { return __float_as_uint(x); }
__device__ __forceinline__ float float_of(unsigned bits) { return __uint_as_float(bits); }

// To the nearest number with 10 bits of fraction, ties to even; as bits, for mma_tf32.
__device__ __forceinline__ unsigned to_tf32(float x) {
#if __CUDA_ARCH__ >= 900
  unsigned bits;
  asm("cvt.rn.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return bits;
#else  // has no such instruction
  const unsigned bits = bits_of(x);
  const bool finite = (bits & 0x7f800000) != 0x7f800000;
  return finite ? (bits + 0xfff + (bits >> 13 & 1)) & 0xffffe000 : bits;
#endif
}

// Four matrices (8, 4) from shared memory, spread over the warp: lane l has the number in row l / 4
// and column l % 4 of each. Row i of matrix k is the 16 bytes to which `from` of lane 8 k + i points.
__device__ __forceinline__ void load_matrices(float (&x)[4], const float *from) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=f"(x[0]), "=f"(x[1]), "=f"(x[2]), "=f"(x[3])
               : "r"(static_cast<unsigned>(__cvta_generic_to_shared(from))));
}

// D (16, 8) += A (16, 8) B (8, 8), spread over the warp. With g = lane / 4 and q = lane % 4:
//
//     a[0] = A[g][q]   a[1] = A[g + 8][q]   a[2] = A[g][q + 4]   a[3] = A[g + 8][q + 4]
//     b[0] = B[q][g]   b[1] = B[q + 4][g]
//     d[0] = D[g][2q]  d[1] = D[g][2q + 1]  d[2] = D[g + 8][2q]  d[3] = D[g + 8][2q + 1]
__device__ __forceinline__ void mma_tf32(float (&d)[4], const unsigned (&a)[4],
                                         const unsigned (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

#endif  // __CUDA_ARCH__ >= 800
#endif  // MINISPIRAL_PRIMITIVES_CUH
