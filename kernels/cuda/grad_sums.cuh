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

#endif  // MINISPIRAL_GRAD_SUMS_CUH
